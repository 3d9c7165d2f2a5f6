"""The operations that cannot be run for many examples at once, each with the reason."""

from __future__ import annotations

from ndgrad.testing.samples.registry import OPERATIONS

_SHAPE = "the shape of the result depends on values, which differ between the examples"
_ANSWER = "gives one answer, where each example has its own"
_MEMORY = "is about memory, of which a single example has none of its own"

for _name, _reason in {
    **dict.fromkeys(("argwhere", "nonzero", "masked_select", "unique", "unique_consecutive", "__getitem__"), _SHAPE),
    "nn.functional.one_hot": "unless it is told, the number of classes depends on values",
    **dict.fromkeys(("__contains__", "allclose", "equal", "is_nonzero"), _ANSWER),
    **dict.fromkeys(("__dlpack__", "__dlpack_device__", "is_set_to", "resize_", "resize_as_", "set_"), _MEMORY),
    **dict.fromkeys(("apply_", "map_"), "calls a Python function with each number"),
}.items():
    OPERATIONS[_name].except_for["vmap"] = _reason

_LAYOUT = "depends on the memory of an example, which is another one where two levels share it"
for _name in ("as_strided", "as_strided_", "view_as_complex"):
    OPERATIONS[_name].except_for["vmap_twice"] = _LAYOUT
OPERATIONS["linalg.matrix_norm"].except_for["third"] = "the slope of a tangent is a third derivative of singular values"
