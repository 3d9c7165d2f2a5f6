"""Random programs of views, writes, detached aliases, grad modes, hooks and backward calls, for whatever library is to run them.

A program is a list of instructions, tuples of plain values. An instruction names tensors by numbers taken modulo how many there are, so
that any program can be run by anybody, and shortened; negative ones count from the newest.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from hypothesis import strategies as st

VIEWS = [
    "flat", "pairs", "transpose", "reverse", "select", "narrow", "step", "unsqueeze", "squeeze", "expand", "diagonal", "windows", "strided",
    "indexed", "same",
]  # fmt: skip
PIECES = ["unbind", "split", "chunk"]
COMPUTE = ["add", "mul", "mul", "matmul", "sin", "tanh", "sum", "sum_first", "stack", "where", "gather", "clone"]
WRITES = [
    "double", "add", "add_scaled", "mul", "mul_itself", "copy", "sin", "tanh", "neg", "zero", "fill", "masked", "set", "set_mask",
    "set_list", "set_number",
]  # fmt: skip

#: The leaves, their values chosen so that no two are alike.
LEAVES = [((2, 3), 0.0), ((3,), 10.0), ((3,), 20.0)]


def values_of(shape: tuple[int, ...], start: float) -> Any:
    size = int(np.prod(shape))
    return np.cos(start + 0.7 * np.arange(size)).reshape(shape)


def weights_of(shape: tuple[int, ...]) -> Any:
    """What a tensor is multiplied with before it is summed to a scalar, so that each element counts differently."""
    return values_of(shape, 5.0) + 1.5


def mask_of(shape: tuple[int, ...]) -> Any:
    return (np.arange(int(np.prod(shape))) % 2 == 0).reshape(shape)


def instructions(more: list[Any] | None = None) -> Any:
    """Programs; `more` are further kinds of instructions."""
    which, flag = st.integers(-6, -1).map(lambda k: -7 - k), st.booleans()  # the newest are the simplest
    operand = st.one_of(which, st.integers(0, 2))
    small = st.integers(0, 3)
    view = st.tuples(st.just("view"), which, st.sampled_from(VIEWS), small, small)
    factor = st.sampled_from([None, None, None, 2.0, -0.5])
    compute = st.tuples(st.just("compute"), which, operand, st.sampled_from(COMPUTE), flag, factor)
    write = st.tuples(st.just("write"), which, operand, st.sampled_from(WRITES))
    subset = st.one_of(st.none(), st.sets(st.integers(0, 4), min_size=1, max_size=3).map(sorted))
    backward = st.tuples(st.just("backward"), which, st.sampled_from([True, True, False]), subset)
    grad = st.tuples(st.just("grad"), which, subset, flag)
    kinds = [
        *[view] * 6, *[compute] * 7, *[write] * 7, *[backward] * 3, *[grad] * 3,
        st.tuples(st.just("pieces"), which, st.sampled_from(PIECES)),
        st.tuples(st.just("detach"), which),
        st.tuples(st.just("mode"), st.sampled_from([True, True, False])),
        st.tuples(st.just("step"), small),
        *(more or []),
    ]  # fmt: skip
    return st.lists(st.sampled_from(kinds).flatmap(lambda kind: kind), min_size=6, max_size=20)


BACKWARD = ("backward", -1, True, None)
#: Programs with what random ones seldom have.
EXAMPLES = [
    # two leaves that receive the same gradient, twice
    [("compute", 1, 2, "add", False, None), BACKWARD, BACKWARD],
    # the base is overwritten, then its view is used; the view is written to, then its base is used
    [("compute", 0, 0, "sin", True, None), ("view", -1, "narrow", 1, 1), ("write", -2, 0, "mul"), ("compute", -1, -1, "mul", True, 2.0),
     BACKWARD],
    [("compute", 0, 0, "sin", True, None), ("write", -1, 0, "zero"), BACKWARD],
    [("compute", 0, 0, "sin", True, 2.0), ("view", -1, "transpose", 0, 0), ("write", -1, 3, "mul"), ("backward", -2, True, None)],
    # what a product saved is changed
    [("compute", 0, 4, "mul", False, None), ("write", 4, 0, "double"), BACKWARD],
    [("compute", 1, 2, "mul", True, None), ("write", -1, -1, "sin"), ("grad", -1, [0, 1, 2, 3], True), BACKWARD],
    [("compute", 1, 2, "mul", True, None), ("detach", -1), ("compute", -1, -2, "mul", False, None), BACKWARD],
]  # fmt: skip


class Machine:
    """Runs instructions on one library."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.leaves = [self.constant(values_of(shape, start)).requires_grad_() for shape, start in LEAVES]
        self.tensors = [*self.leaves, self.constant(values_of((3, 2), 30.0)), self.leaves[0] * 1.0]
        #: For the tensors that are watched: what an observing hook saw of the value that they were made with.
        self.watched: dict[int, list[Any]] = {}
        self.results: list[Any] = []

    def constant(self, values: Any) -> Any:
        return self.lib.tensor(values.tolist(), dtype=self.lib.float64)

    def at(self, number: int) -> Any:
        return self.tensors[number % len(self.tensors)]

    def run(self, instruction: Any) -> Exception | None:
        """Carry out one instruction; what it raises is returned. `results` is what a call of backward or grad gave."""
        name, *arguments = instruction
        self.results = []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(self, name)(*arguments)
        except Exception as error:
            return error
        return None

    # ---------------------------------------------------------------- instructions
    def view(self, i: int, kind: str, a: int, b: int) -> None:
        self.tensors.append(self.view_of(self.at(i), kind, a, b))

    def view_of(self, x: Any, kind: str, a: int, b: int) -> Any:
        shape = tuple(x.shape)
        dim = a % x.ndim if x.ndim else 0
        if kind == "flat":
            return x.reshape(-1)
        if kind == "pairs" and x.ndim and shape[-1] % 2 == 0:
            return x.unflatten(-1, (2, shape[-1] // 2)) if b else x.reshape(-1, 2)
        if kind == "transpose":
            return x.transpose(0, -1)
        if kind == "reverse":
            return x.permute(tuple(reversed(range(x.ndim))))
        if kind == "unsqueeze":
            return x.unsqueeze(dim)
        if kind == "squeeze":
            return x.squeeze()
        if kind == "expand":
            return x.expand(2, *shape)
        if x.ndim == 0:
            return x.view_as(x)
        if kind == "select":
            return x.select(dim, b % shape[dim])
        if kind == "narrow":
            start = b % shape[dim]
            return x.narrow(dim, start, max(1, shape[dim] - start - 1))
        if kind == "step":
            return x[..., ::2]
        if kind == "diagonal" and x.ndim > 1:
            return x.diagonal(b % 2 - 1, 0, 1) if min(shape[:2]) > 1 else x.diagonal()
        if kind == "windows" and shape[dim] > 1:
            return x.unfold(dim, 2, 1)
        if kind == "strided" and shape[0] > 1:
            return x.as_strided((shape[0] - 1, *shape[1:]), x.stride(), x.storage_offset() + x.stride(0))
        if kind == "indexed":
            return x[None, b % shape[0] :, ..., 0] if x.ndim > 1 else x[b % shape[0]]
        return x.view_as(x)

    def pieces(self, i: int, kind: str) -> None:
        x = self.at(i)
        parts = x.unbind(0) if kind == "unbind" else x.split(1, 0) if kind == "split" else x.chunk(2, -1)
        self.tensors.extend(parts[:2])

    def detach(self, i: int) -> None:
        self.tensors.append(self.at(i).detach())

    def mode(self, recording: bool) -> None:
        self.lib.set_grad_enabled(recording)

    def step(self, k: int) -> None:
        leaf = self.leaves[k % len(self.leaves)]
        with self.lib.no_grad():
            leaf.mul_(0.9)

    def compute(self, i: int, j: int, kind: str, watch: bool, factor: float | None) -> None:
        x, y = self.at(i), self.at(j)
        out = self.computed(x, y, kind)
        if not out.is_contiguous():
            out = out.contiguous()  # in which order its elements lie is another matter
        if out.requires_grad:
            if kind == "tanh":  # its rule looks at the output, so that a second derivative comes by the hook once more
                watch, factor = False, None
            if watch:
                seen: list[Any] = []
                out.register_hook(lambda g: seen.append(g.detach().numpy().copy()))
            if factor is not None:
                out.register_hook(lambda g: g * factor)
            if watch:
                self.watched[len(self.tensors)] = seen
                out.retain_grad()
        self.tensors.append(out)

    def computed(self, x: Any, y: Any, kind: str) -> Any:
        if kind == "add":
            return x + y
        if kind == "mul":
            return x * y
        if kind == "matmul":
            return x @ y if x.ndim and y.ndim else x * y
        if kind == "sin":
            return x.sin()
        if kind == "tanh":
            return x.tanh()
        if kind == "sum":
            return x.sum()
        if kind == "sum_first":
            return x.sum(0)
        if kind == "stack":
            return self.lib.stack([x, y])
        if kind == "where":
            return self.lib.where(self.lib.tensor(mask_of(tuple(x.shape)).tolist()), x, y)
        if kind == "gather":
            return x[[0, -1, 0]] if x.ndim else x * 2.0
        return x.clone()

    def write(self, i: int, j: int, kind: str) -> None:
        x, y = self.at(i), self.at(j)
        if kind == "double":
            x.mul_(2.0)
        elif kind == "add":
            x.add_(y)
        elif kind == "add_scaled":
            x.add_(y, alpha=-0.5)
        elif kind == "mul":
            x.mul_(y)
        elif kind == "mul_itself":
            x.mul_(x)
        elif kind == "copy":
            x.copy_(y)
        elif kind in ("sin", "tanh", "neg", "zero"):
            getattr(x, kind + "_")()
        elif kind == "fill":
            x.fill_(0.5)
        elif kind == "masked":
            x.masked_fill_(self.lib.tensor(mask_of(tuple(x.shape)).tolist()), 0.25)
        elif kind == "set_mask":
            x[self.lib.tensor(mask_of(tuple(x.shape)).tolist())] = 0.75
        elif x.ndim == 0:
            x.mul_(-1.5)
        elif kind == "set":
            x[:1] = y
        elif kind == "set_list":
            x[[-1]] = y
        else:
            x[..., 0] = -0.25

    def inputs(self, subset: Any) -> tuple[list[int], list[Any]]:
        """Which tensors a call asks for: leaves and watched tensors."""
        choice = [*range(len(self.leaves)), *self.watched]
        numbers = list(dict.fromkeys(choice[k % len(choice)] for k in subset))
        return numbers, [self.tensors[number] for number in numbers]

    def root(self, i: int) -> Any:
        x = self.at(i)
        with self.lib.enable_grad():
            return (x * self.constant(weights_of(tuple(x.shape)))).sum()

    def backward(self, i: int, retain: bool, subset: Any) -> None:
        asked = None if subset is None else self.inputs(subset)[1]
        self.root(i).backward(retain_graph=retain, inputs=asked)

    def grad(self, i: int, subset: Any, create: bool) -> None:
        _, asked = self.inputs(range(len(self.leaves)) if subset is None else subset)
        self.results = self.lib.autograd.grad(self.root(i), asked, create_graph=create, allow_unused=True)
        self.keep_results()

    def keep_results(self) -> None:
        """Go on with copies: in which memory a gradient comes is another matter."""
        with self.lib.enable_grad():
            self.tensors.extend(g.clone() for g in self.results if g is not None)
