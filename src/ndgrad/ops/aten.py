"""`torch.ops.aten`: operations as objects, `aten.mm.default`, which is how policies of selective checkpointing tell them apart.

What ndgrad runs is a primitive; as an object it goes by the name that PyTorch's node has, so that `aten.sum.dim_IntList` is what `x.sum(0)`
runs. Overloads of one name are equal to each other (`aten.mul.Tensor == aten.mul.Scalar`), and an operation equals the public function of
its name (`aten.mm.default == ndgrad.mm`). An in-place operation is the one that it is made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from ndgrad.core.inplace import refused_as
from ndgrad.core.node import backward_name
from ndgrad.core.primitive import Primitive
from ndgrad.ops.declare import primitives, table


def key_of(name: str) -> str:
    """What is left of a name once nothing but its letters and digits counts: `_to_copy` and ToCopyBackward0 are the same operation."""
    return name.replace("_", "").lower()


#: Operations of PyTorch whose names begin with an underscore, which the names of their nodes do not tell.
UNDERSCORED = {"to_copy": "_to_copy", "reshape_alias": "_reshape_alias"}


@cache
def primitive_name(primitive: Primitive) -> str:
    """What PyTorch calls an operation: as its node, if the declaration gave that a name of its own."""
    words = re.sub(r"Backwards?\d*$", "", primitive.node_name.rpartition("::")[2])
    if primitive.node_name == backward_name(primitive.name) or words == "NotImplemented":
        return primitive.name if primitive.name in table else primitive.title
    for known in (primitive.title, primitive.name):
        if key_of(known) == key_of(words):
            return known
    own = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\dD)(?=[A-Z])|(?<=\d)(?=[A-Z][a-z])", "_", words).lower()
    return UNDERSCORED.get(own, own)


class Overload:
    """One operation, such as `aten.mm.default`; calling it runs the public function of its name."""

    __slots__ = ("key", "overload", "packet")

    namespace = "aten"

    def __init__(self, packet: str, overload: str = "default") -> None:
        self.packet, self.overload, self.key = packet, overload, key_of(packet)

    @property
    def __name__(self) -> str:
        return f"{self.packet}.{self.overload}"

    @property
    def overloadpacket(self) -> Packet:
        """All operations of the name."""
        return Packet(self.packet)

    def name(self) -> str:
        """The name as PyTorch's dispatcher writes it: `aten::mm`, `aten::add.Tensor`."""
        return f"aten::{self.packet}" + ("" if self.overload == "default" else f".{self.overload}")

    def function(self) -> Callable[..., Any] | None:
        """The public function of the same name; None where there is none."""
        entry = table.get(self.packet) or table.get(self.packet.strip("_"))
        return None if entry is None else entry.function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        function = self.function()
        if function is None:
            raise RuntimeError(f"{self} is no public operation of ndgrad; it is only run as a part of others")
        return function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Overload):
            return self.key == other.key
        return callable(other) and other is self.function()

    def __hash__(self) -> int:
        return hash(self.function() or self.key)

    def __str__(self) -> str:
        return f"aten.{self.packet}.{self.overload}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='aten.{self.packet}', overload='{self.overload}')>"


class Packet:
    """All operations of one name, `aten.mm`: its attributes are the single ones, `aten.mm.default`."""

    __slots__ = ("packet",)

    def __init__(self, packet: str) -> None:
        self.packet = packet

    def __getattr__(self, name: str) -> Overload:
        if name.startswith("__"):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return Overload(self.packet, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Overload(self.packet)(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packet) and key_of(other.packet) == key_of(self.packet)

    def __hash__(self) -> int:
        return hash(key_of(self.packet))

    def __str__(self) -> str:
        return f"aten.{self.packet}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self.packet}')>"


@cache
def operator(primitive: Primitive) -> Overload:
    """A primitive as such an object."""
    return Overload(primitive_name(primitive))


@cache
def known_keys() -> frozenset[str]:
    """The names that something goes by."""
    return frozenset(map(key_of, [*table, *(primitive_name(primitive) for primitive in primitives.values())]))


def __getattr__(name: str) -> Packet:
    if name.startswith("__") or key_of(name) not in known_keys():
        raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
    return Packet(name)


# ---------------------------------------------------------------- names in errors
# what `vmap` refuses to do in place: some operations are called by their name, some arithmetic, all others `aten::name_`
_ARITHMETIC = {"add_", "sub_", "mul_", "div_", "multiply_", "divide_", "true_divide_", "copy_", "masked_fill_", "clamp_min_", "clamp_max_"}
_ARITHMETIC |= {"zero_", "logical_and_", "logical_or_", "logical_xor_", "bitwise_and_", "bitwise_or_", "bitwise_xor_", "gcd_", "lcm_"}
_ARITHMETIC |= {"atan2_", "arctan2_", "copysign_", "bitwise_left_shift_", "bitwise_right_shift_"}
refused_as.update(dict.fromkeys(_ARITHMETIC, "inplace arithmetic"))
refused_as.update({name: name for name in ("fill_", "index_add_", "index_fill_", "index_put_", "scatter_add_", "scatter_reduce_")})
refused_as["__setitem__"] = "index_put_"
