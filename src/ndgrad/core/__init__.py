"""The nouns and the one door: tensors, nodes, primitives, families, views, in-place. Knows no operation by name."""

from ndgrad.core.copying import deep_copy, reduce, set_state, shallow_copy
from ndgrad.core.tensor import Tensor
from ndgrad.core.views import outdate_views

for _name, _method in {
    "__copy__": shallow_copy,
    "__deepcopy__": deep_copy,
    "__reduce_ex__": reduce,
    "__setstate__": set_state,
    "_outdate_views": outdate_views,
}.items():
    setattr(Tensor, _name, _method)
