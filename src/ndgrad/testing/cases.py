"""An operation together with one sample, ready to be called, differentiated and pushed forward."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from ndgrad.autograd.duals import Level
from ndgrad.autograd.gradients import grad
from ndgrad.autograd.transposition import push_any
from ndgrad.base import modes
from ndgrad.base.dtypes import dtype, float64
from ndgrad.base.types import Array
from ndgrad.core.observers import Observer, observing, unobserved
from ndgrad.core.primitive import Primitive
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops.declare import table
from ndgrad.testing.inputs import Maker, Sample, Spec
from ndgrad.testing.samples import function_of, spec_of


class Case:
    """One call of an operation."""

    def __init__(self, name: str, function: Callable[..., Any], sample: Sample, *, random: bool = False, warns: str = "") -> None:
        self.name = name
        self.function = function
        self.sample = sample
        self.random = random
        self.warns = warns
        self.leaves = sample.leaves()
        # an operation that writes into its first argument gets a copy of it
        self.mutates = is_in_place(name)

    def __repr__(self) -> str:
        return f"{self.name}{self.sample}"

    @property
    def arrays(self) -> list[Array]:
        return [np.asarray(leaf._a) for leaf in self.leaves]

    def call(self, leaves: Sequence[Any] | None = None) -> Any:
        sample = self.sample if leaves is None else self.sample.replace(self.leaves, leaves)
        args = sample.args
        if self.mutates:
            args = (args[0].clone(), *args[1:])
        self.seed()
        with warnings.catch_warnings():
            if self.warns:
                warnings.filterwarnings("ignore", re.escape(self.warns))
            result = self.function(*args, **sample.kwargs)
        if result is None and self.mutates:
            return args[0]
        return tuple(result) if isinstance(result, Iterator) else result

    def seed(self) -> None:
        """Make an operation that draws random numbers draw the same ones again."""
        if self.random:
            table["manual_seed"].function(7)

    def moved(self, old: Sequence[Any], new: Sequence[Any]) -> Case:
        """The same call on other leaves."""
        return Case(self.name, self.function, self.sample.replace(old, new), random=self.random, warns=self.warns)

    def outputs(self, leaves: Sequence[Any] | None = None) -> list[Tensor]:
        """The outputs that can have a derivative."""
        return [out for out in flatten(self.call(leaves)) if out._a.dtype.kind in "fc"]

    def on_arrays(self, arrays: list[Array]) -> list[Array]:
        """The function of arrays whose derivatives are in question."""
        with no_recording():
            return [np.array(out._a) for out in self.outputs([wrap(np.array(array)) for array in arrays])]

    def pull(self, cotangents: Sequence[Any], *, create_graph: bool = False) -> list[Any]:
        """The gradients of the leaves for cotangents of the outputs that require grad; zeros where there is none."""
        outs = self.outputs()
        pairs = [(out, g) for out, g in zip(outs, cotangents, strict=True) if out.requires_grad]
        if not pairs:
            return [wrap(np.zeros_like(array)) for array in self.arrays]
        return list(
            grad(
                [out for out, _ in pairs],
                self.leaves,
                [g if isinstance(g, Tensor) else wrap(g) for _, g in pairs],
                create_graph=create_graph,
                materialize_grads=True,
            )
        )

    def push(self, tangents: Sequence[Any], *, recorded: bool = False) -> list[Any]:
        """Tangents of the outputs: in forward mode, with `recorded` so that they have a history; or by the rules on payloads."""
        if not recorded and not self.mutates:
            return self.push_payloads(tangents)
        level = self.level(tangents)
        with observing(level), no_recording() if not recorded else nullcontext():
            outs = self.outputs()
            found = [level.tangent(out) for out in outs]
        return [np.zeros_like(np.asarray(out._a)) if t is None else t._a for out, t in zip(outs, found, strict=True)]

    def level(self, tangents: Sequence[Any]) -> Level:
        """A level at which the leaves have these tangents."""
        level = Level()
        for leaf, t in zip(self.leaves, tangents, strict=True):
            level.set_tangent(leaf, wrap(t))
        return level

    def push_payloads(self, tangents: Sequence[Any]) -> list[Any]:
        """The same by pushing bare arrays through every primitive that the call runs."""
        known: dict[int, Any] = {id(leaf): t for leaf, t in zip(self.leaves, tangents, strict=True)}
        alive: list[Any] = []  # an id means a tensor only as long as the tensor is there

        def watch(primitive: Primitive, operands: Sequence[Any], payloads: list[Any], params: dict[str, Any], out: Any) -> None:
            alive.append((operands, out))
            given = [known.get(id(x)) for x in operands]
            if not any(t is not None for t in given):
                return
            with unobserved():
                results = push_any(primitive, payloads, given, params, out._a if primitive.outputs == 1 else tuple(y._a for y in out))
            for y, t in zip((out,) if primitive.outputs == 1 else out, (results,) if primitive.outputs == 1 else results, strict=True):
                if t is not None:
                    known[id(y)] = t

        with observing(Watch(watch)):
            outs = self.outputs()
        return [np.zeros_like(np.asarray(out._a)) if known.get(id(out)) is None else known[id(out)] for out in outs]


def is_in_place(name: str) -> bool:
    """Whether the operation writes into its first argument, by PyTorch's naming."""
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


def flatten(value: Any) -> list[Tensor]:
    """All tensors in a result."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for item in value for t in flatten(item)]
    return []


class Watch(Observer):
    """Calls a function with every operation, once it is done."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def done(self, *call: Any) -> None:
        self.function(*call)


@contextmanager
def no_recording() -> Iterator[None]:
    previous = modes.set_mode("grad", False)
    try:
        yield
    finally:
        modes.set_mode("grad", previous)


def cases_of(name: str, wanted: dtype = float64, **options: Any) -> list[Case]:
    """The samples of an operation."""
    spec = spec_of(name)
    function = function_of(name)
    return [
        Case(name, function, sample, random=spec.random, warns=spec.warns) for sample in make_samples(name, spec, Maker(wanted, **options))
    ]


def make_samples(name: str, spec: Spec, maker: Maker) -> list[Sample]:
    made = spec.make(maker)
    if not made:
        raise AssertionError(f"{name}: its entry in ndgrad.testing.samples makes no samples")
    return made
