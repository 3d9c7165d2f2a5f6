"""Random smooth functions from vectors to vectors, for whatever library is to run them; their steps are the op table's.

A function is a list of steps, tuples of plain values: a kind, two numbers that choose among the vectors computed so far (negative ones
count from the newest), and a number that chooses among the operations of that kind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import ndgrad
from ndgrad.ops.declare import table
from ndgrad.testing.samples import spec_of

SIZE = 3


def constant(lib: Any, *shape: int, start: float = 0.0) -> Any:
    size = int(np.prod(shape))
    return lib.tensor(np.cos(start + 0.7 * np.arange(size)).reshape(shape).tolist(), dtype=lib.float64)


def usable(name: str) -> bool:
    """Whether an operation of the table makes one vector of another, smoothly on (0, 1)."""
    if name.endswith("_") or not hasattr(ndgrad, name) or spec_of(name).random:
        return False
    x = ndgrad.tensor([0.15, 0.5, 0.85], dtype=ndgrad.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            y = getattr(ndgrad, name)(x)
        except Exception:  # it needs other arguments
            return False
    fits = isinstance(y, ndgrad.Tensor) and y.shape == x.shape and y.dtype is x.dtype and y.requires_grad
    return fits and bool(y.detach().isfinite().all())


UNARY = [name for name in sorted(table) if not name.startswith("_") and usable(name)]


def written(lib: Any, x: Any, y: Any) -> Any:
    out = lib.zeros_like(x + y)
    out[0] = x[1] * y[2]
    out[1:] = y[:2]
    out[2].mul_(x[0])
    return out


def spread(lib: Any, x: Any, y: Any) -> Any:
    out = x * 1
    out[1:].add_(y[:1] * x[:2])
    return out


BINARY: list[Callable[[Any, Any, Any], Any]] = [
    lambda lib, x, y: x + y,
    lambda lib, x, y: x * y,
    lambda lib, x, y: x - 2.0 * y,
    lambda lib, x, y: x / (2 + y * y),
    lambda lib, x, y: lib.atan2(x, 2 + y * y),
    lambda lib, x, y: lib.hypot(x, 1 + y * y),
    lambda lib, x, y: x * y.sum(),
    lambda lib, x, y: x * lib.dot(x, y),
    lambda lib, x, y: x.outer(y) @ y,
    lambda lib, x, y: lib.logaddexp(x, y),
    lambda lib, x, y: lib.where(constant(lib, SIZE) > 0, x, y),
    lambda lib, x, y: lib.cat([x[:1], y[1:]]),
    lambda lib, x, y: lib.stack([x, y]).prod(0),
    lambda lib, x, y: lib.einsum("i,j,ij->j", x, y, constant(lib, SIZE, SIZE)),
    lambda lib, x, y: lib.linalg.cross(x, y),
    written,
    spread,
]
SHAPED: list[Callable[[Any, Any], Any]] = [
    lambda lib, x: x - x.mean(),
    lambda lib, x: x.cumsum(0),
    lambda lib, x: x.cumprod(0),
    lambda lib, x: x.flip(0),
    lambda lib, x: x.roll(1, 0),
    lambda lib, x: x.softmax(0),
    lambda lib, x: x.log_softmax(0),
    lambda lib, x: x.logsumexp(0) + x,
    lambda lib, x: x * x.norm(),
    lambda lib, x: x.var() * x,
    lambda lib, x: x[lib.tensor([2, 0, 0])],
    lambda lib, x: x.gather(0, lib.tensor([1, 1, 2])),
    lambda lib, x: constant(lib, SIZE, SIZE) @ x,
    lambda lib, x: x @ constant(lib, SIZE, SIZE, start=1.0),
    lambda lib, x: (x[:, None] * x).tril().sum(0),
    lambda lib, x: x.unsqueeze(0).expand(2, SIZE).reshape(-1)[1:4],
    lambda lib, x: lib.stack(x.unbind(0)[::-1]),
    lambda lib, x: x.reshape(SIZE, 1).T.squeeze(0) * 2,
    lambda lib, x: x.outer(x).diagonal(),
    lambda lib, x: x.clone().mul_(x).add_(1.0),
]


def smooth_functions() -> Any:
    """Programs of 1 to 6 steps."""
    which, choice = st.integers(-4, -1).map(lambda k: -5 - k), st.integers(0, 10**6)
    return st.lists(
        st.tuples(st.sampled_from(["unary", "binary", "binary", "shaped", "shaped"]), which, which, choice), min_size=1, max_size=6
    )


def run(lib: Any, program: list[Any], x: Any) -> Any:
    """The vector that a program makes of a vector."""
    known = [x, lib.sin(x)]
    for kind, i, j, choice in program:
        a, b = known[i % len(known)], known[j % len(known)]
        if kind == "unary":  # where all of them are smooth
            out = getattr(lib, UNARY[choice % len(UNARY)])(0.5 + 0.4 * lib.sin(a))
        elif kind == "binary":
            out = BINARY[choice % len(BINARY)](lib, a, b)
        else:
            out = SHAPED[choice % len(SHAPED)](lib, a)
        known.append(1.5 * lib.sin(out))  # which neither grows nor goes flat
    return known[-1] + 0.1 * known[0]


def every_step() -> list[list[Any]]:
    """One program for each operation that a step can be."""
    kinds = {"unary": len(UNARY), "binary": len(BINARY), "shaped": len(SHAPED)}
    return [[(kind, -1, -2, choice)] for kind, count in kinds.items() for choice in range(count)]
