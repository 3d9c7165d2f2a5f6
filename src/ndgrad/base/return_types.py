"""The tuples with named entries that operations with several results return, printed as PyTorch prints them."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, ClassVar


class ReturnType(tuple[Any, ...]):
    """A tuple whose entries have names. Made from its entries, or from one sequence of them."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()
    n_fields: ClassVar[int] = 0
    n_sequence_fields: ClassVar[int] = 0
    n_unnamed_fields: ClassVar[int] = 0

    def __new__(cls, *values: Any) -> ReturnType:
        entries: Iterable[Any] = values[0] if len(values) == 1 else values
        made = tuple.__new__(cls, entries)
        if len(made) != cls.n_fields:
            raise TypeError(f"torch.return_types.{cls.__name__}() takes a {cls.n_fields}-sequence ({len(made)}-sequence given)")
        return made

    def __repr__(self) -> str:
        entries = ",\n".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{entries})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self),)


def return_type(name: str, *fields: str) -> type[ReturnType]:
    """Make one such type."""
    count = len(fields)
    members: dict[str, Any] = {field: property(itemgetter(at)) for at, field in enumerate(fields)}
    members |= {"__slots__": (), "__module__": __name__, "_fields": fields}
    members |= {"n_fields": count, "n_sequence_fields": count, "n_unnamed_fields": 0}
    return type(name, (ReturnType,), members)


max = return_type("max", "values", "indices")
min = return_type("min", "values", "indices")
aminmax = return_type("aminmax", "min", "max")
median = return_type("median", "values", "indices")
nanmedian = return_type("nanmedian", "values", "indices")
mode = return_type("mode", "values", "indices")
kthvalue = return_type("kthvalue", "values", "indices")
sort = return_type("sort", "values", "indices")
topk = return_type("topk", "values", "indices")
cummax = return_type("cummax", "values", "indices")
cummin = return_type("cummin", "values", "indices")
