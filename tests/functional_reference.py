"""What a program of tests/programs.py computes, worked out without a graph: every cell of memory carries its own derivatives.

Forward mode with nothing shared: a cell is a number with its first and second derivatives by all elements of the leaves, and by probes,
which are zeros added to tensors whose own gradient is wanted. Views are arrays of cell numbers, writes replace cells. What belongs to the
memory (values) and what to the history (derivatives) are kept apart, because a detached alias shares the one and not the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.programs import LEAVES, mask_of, values_of, weights_of

#: How many variables there are: the elements of the leaves first, then the probes.
VARIABLES = 40


class Jet:
    """Numbers with their first and second derivatives; `h` is None where the second are not known."""

    def __init__(self, v: Any, j: Any = None, h: Any = 0) -> None:
        self.v = np.asarray(v, float)
        self.j = np.zeros((*self.v.shape, VARIABLES)) if j is None else j
        self.h = np.zeros((*self.v.shape, VARIABLES, VARIABLES)) if isinstance(h, int) else h

    @property
    def shape(self) -> tuple[int, ...]:
        return self.v.shape

    def over(self, function: Any) -> Jet:
        """A function that only rearranges, applied to the numbers and to each derivative alike."""
        return Jet(function(self.v), function(self.j), None if self.h is None else function(self.h))

    def chain(self, v: Any, first: Any, second: Any) -> Jet:
        outer = self.j[..., :, None] * self.j[..., None, :]
        h = None if self.h is None else first[..., None, None] * self.h + second[..., None, None] * outer
        return Jet(v, first[..., None] * self.j, h)

    def scaled(self, factor: float) -> Jet:
        return self.over(lambda a: factor * a)

    def __add__(self, other: Jet) -> Jet:
        h = None if self.h is None or other.h is None else self.h + other.h
        return Jet(self.v + other.v, self.j + other.j, h)

    def __mul__(self, other: Jet) -> Jet:
        x, y = self.v[..., None], other.v[..., None]
        h = None
        if self.h is not None and other.h is not None:
            mixed = self.j[..., :, None] * other.j[..., None, :]
            h = self.h * y[..., None] + other.h * x[..., None] + mixed + np.swapaxes(mixed, -1, -2)
        return Jet(self.v * other.v, self.j * y + other.j * x, h)

    def sin(self) -> Jet:
        return self.chain(np.sin(self.v), np.cos(self.v), -np.sin(self.v))

    def tanh(self) -> Jet:
        y = np.tanh(self.v)
        return self.chain(y, 1 - y * y, -2 * y * (1 - y * y))

    def broadcast(self, shape: tuple[int, ...], drop: bool = False) -> Jet:
        """The same numbers in a larger shape; with `drop`, leading dims of size 1 that are too many are dropped, as assignment does."""
        ndim, one = self.v.ndim, self
        while drop and ndim > len(shape) and one.shape[0] == 1:
            one, ndim = one.over(lambda a: a[0]), ndim - 1
        h = None if one.h is None else np.broadcast_to(one.h, (*shape, VARIABLES, VARIABLES))
        return Jet(np.broadcast_to(one.v, shape), np.broadcast_to(one.j, (*shape, VARIABLES)), h)

    def where(self, mask: Any, other: Jet) -> Jet:
        h = None if self.h is None or other.h is None else np.where(mask[..., None, None], self.h, other.h)
        return Jet(np.where(mask, self.v, other.v), np.where(mask[..., None], self.j, other.j), h)


class History:
    """The derivatives of the cells of one memory, for all aliases that share them."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.j = np.zeros((values.size, VARIABLES))
        self.h: Any = np.zeros((values.size, VARIABLES, VARIABLES))
        self.probes: Any = None  # the newest variables of a watched tensor
        self.leaf = False


class Alias:
    """A tensor: a history, and which cells are its elements: an array that is a view of the numbers of all cells."""

    def __init__(self, history: History, cells: Any) -> None:
        self.history, self.cells = history, cells

    def read(self) -> Jet:
        history, cells = self.history, self.cells
        return Jet(history.values[cells], history.j[cells], None if history.h is None else history.h[cells])

    def write(self, new: Jet, recording: bool) -> None:
        history, cells = self.history, self.cells
        history.values[cells] = new.v
        if not recording:
            return
        history.j[cells] = new.j
        if history.h is not None:
            if new.h is None:
                history.h = None
            else:
                history.h[cells] = new.h

    def repeats(self) -> bool:
        """Whether an element of memory belongs to several of its elements."""
        return np.unique(self.cells).size != self.cells.size


def fresh(jet: Jet) -> Alias:
    history = History(np.array(jet.v, float).reshape(-1))
    history.j[...] = jet.j.reshape(history.j.shape)
    history.h = None if jet.h is None else np.array(jet.h).reshape(history.values.size, VARIABLES, VARIABLES)
    return Alias(history, np.arange(history.values.size).reshape(jet.shape))


class OutOfVariables(Exception):
    """More probes are wanted than there are variables."""


class Reference:
    """Runs instructions; keeps what `.grad` of leaves and watched tensors, and observing hooks, must have received."""

    def __init__(self) -> None:
        self.recording = True
        self.used = 0
        self.tensors: list[Alias] = []
        self.probes: dict[int, list[Any]] = {}
        self.factors: dict[int, float] = {}
        for shape, start in LEAVES:
            leaf = fresh(Jet(values_of(shape, start)))
            self.probe(leaf)
            leaf.history.leaf = True
            self.probes[len(self.tensors)] = [leaf.history.probes]
            self.tensors.append(leaf)
        self.tensors += [fresh(Jet(values_of((3, 2), 30.0))), fresh(self.tensors[0].read())]

    def at(self, number: int) -> Alias:
        return self.tensors[number % len(self.tensors)]

    def probe(self, alias: Alias) -> None:
        """Add a zero to each element of the whole memory, by which can be differentiated."""
        count = alias.history.values.size
        if self.used + count > VARIABLES:
            raise OutOfVariables
        names = np.arange(self.used, self.used + count)
        alias.history.j[np.arange(count), names] += 1
        alias.history.probes = names
        self.used += count

    # ---------------------------------------------------------------- instructions
    def view(self, i: int, kind: str, a: int, b: int) -> None:
        x = self.at(i)
        cells = self.view_of(x.cells, kind, a, b)
        if not np.shares_memory(cells, x.cells):  # a reshape that had to copy
            copied = fresh(x.read().over(lambda part: part.reshape(*cells.shape, *part.shape[x.cells.ndim :])))
            if not self.recording:
                copied = self.detached(copied)
            self.tensors.append(copied)
        elif self.recording:
            self.tensors.append(Alias(x.history, cells))
        else:
            self.tensors.append(Alias(History(x.history.values), cells))  # shares the memory, knows no history

    @staticmethod
    def view_of(x: Any, kind: str, a: int, b: int) -> Any:
        shape = x.shape
        dim = a % x.ndim if x.ndim else 0
        if kind == "flat":
            return x.reshape(-1)
        if kind == "pairs" and x.ndim and shape[-1] % 2 == 0:
            return x.reshape(*shape[:-1], 2, shape[-1] // 2) if b else x.reshape(-1, 2)
        if kind == "transpose":
            return x.swapaxes(0, -1) if x.ndim else x[...]
        if kind == "reverse":
            return x.T
        if kind == "unsqueeze":
            return np.expand_dims(x, dim)
        if kind == "squeeze":
            return x.squeeze()
        if kind == "expand":
            return np.broadcast_to(x, (2, *shape))
        if x.ndim == 0:
            return x[...]
        if kind == "select":
            return np.moveaxis(x, dim, 0)[b % shape[dim], ...]
        if kind == "narrow":
            start = b % shape[dim]
            stop = start + max(1, shape[dim] - start - 1)
            return x[tuple(slice(start, stop) if each == dim else slice(None) for each in range(x.ndim))]
        if kind == "step":
            return x[..., ::2]
        if kind == "diagonal" and x.ndim > 1:
            return np.diagonal(x, b % 2 - 1 if min(shape[:2]) > 1 else 0)
        if kind == "windows" and shape[dim] > 1:
            return np.lib.stride_tricks.sliding_window_view(x, 2, dim)
        if kind == "strided" and shape[0] > 1:
            return x[1:]
        if kind == "indexed":
            return x[None, b % shape[0] :, ..., 0] if x.ndim > 1 else x[b % shape[0], ...]
        return x[...]

    def detached(self, x: Alias) -> Alias:
        return Alias(History(x.history.values), x.cells)

    def pieces(self, i: int, kind: str) -> None:
        x = self.at(i)
        cells = x.cells
        if kind == "unbind":
            parts = [cells[k, ...] for k in range(cells.shape[0])]
        elif kind == "split":
            parts = [cells[k : k + 1] for k in range(cells.shape[0])]
        else:
            half = -(-cells.shape[-1] // 2)
            parts = [cells[..., k : k + half] for k in range(0, cells.shape[-1], half)]
        for part in parts[:2]:
            self.tensors.append(Alias(x.history if self.recording else History(x.history.values), part))

    def detach(self, i: int) -> None:
        self.tensors.append(self.detached(self.at(i)))

    def mode(self, recording: bool) -> None:
        self.recording = recording

    def step(self, k: int) -> None:
        leaf = self.tensors[k % len(LEAVES)]
        leaf.write(leaf.read().scaled(0.9), False)

    def compute(self, i: int, j: int, kind: str, watch: bool, factor: float | None, requires_grad: bool = True) -> None:
        out = self.computed(self.at(i).read(), self.at(j).read(), kind)
        if not self.recording:
            out = Jet(out.v)
        if kind == "tanh":  # see Machine.compute
            watch, factor = False, None
        if requires_grad and factor is not None:  # a hook that scales the gradient leaves the value as it is
            out = Jet(out.v, factor * out.j, None if out.h is None else factor * out.h)
        made = fresh(out)
        if requires_grad and watch:
            self.probe(made)
            self.probes[len(self.tensors)] = [made.history.probes]
            self.factors[len(self.tensors)] = 1.0 if factor is None else factor
        self.tensors.append(made)

    @staticmethod
    def computed(x: Jet, y: Jet, kind: str) -> Jet:
        if kind == "add":
            return x + y
        if kind == "mul" or (kind == "matmul" and not (x.v.ndim and y.v.ndim)):
            return x * y
        if kind == "matmul":
            if x.v.ndim > 2 or y.v.ndim > 2:
                raise NotImplementedError
            if y.v.ndim == 1:
                if x.shape[-1] != y.shape[0]:
                    raise ValueError
                return total(x * y, x.v.ndim - 1)
            rows = x if x.v.ndim == 2 else x.over(lambda a: a[None])
            if rows.shape[1] != y.shape[0]:
                raise ValueError
            product = total(rows.over(lambda a: a[:, :, None]) * y, 1)
            return product if x.v.ndim == 2 else product.over(lambda a: a[0])
        if kind == "sin":
            return x.sin()
        if kind == "tanh":
            return x.tanh()
        if kind == "sum":
            return total(x.over(lambda a: a.reshape(-1, *a.shape[x.v.ndim :])), 0)
        if kind == "sum_first":
            return total(x, 0) if x.v.ndim else x
        if kind == "stack":
            if x.shape != y.shape:
                raise ValueError
            both = Jet(np.stack([x.v, y.v]), np.stack([x.j, y.j]), None)
            both.h = None if x.h is None or y.h is None else np.stack([x.h, y.h])
            return both
        if kind == "where":
            return x.where(mask_of(x.shape), y)
        if kind == "gather":
            return x.over(lambda a: a[[0, -1, 0]]) if x.v.ndim else x.scaled(2.0)
        return x

    def write(self, i: int, j: int, kind: str) -> None:
        target, value = self.at(i), self.at(j).read()
        old = target.read()
        shape = old.shape
        if kind == "double":
            new = old.scaled(2.0)
        elif kind == "add":
            new = old + value
        elif kind == "add_scaled":
            new = old + value.scaled(-0.5)
        elif kind == "mul":
            new = old * value
        elif kind == "mul_itself":
            new = old * old
        elif kind == "copy":
            new = value.broadcast(shape)
        elif kind == "sin":
            new = old.sin()
        elif kind == "tanh":
            new = old.tanh()
        elif kind == "neg":
            new = old.scaled(-1.0)
        elif kind in ("zero", "fill"):
            new = Jet(np.full(shape, 0.0 if kind == "zero" else 0.5))
        elif kind in ("masked", "set_mask"):
            new = Jet(np.full(shape, 0.25 if kind == "masked" else 0.75)).where(mask_of(shape), old)
        elif not shape:
            new = old.scaled(-1.5)
        else:
            place: Any = {"set": slice(0, 1), "set_list": slice(shape[0] - 1, None)}.get(kind, (..., 0))
            target = Alias(target.history, target.cells[place])
            shape = target.cells.shape
            new = Jet(np.full(shape, -0.25)) if kind == "set_number" else value.broadcast(shape, drop=True)
        if new.shape != shape:
            raise ValueError
        target.write(new, self.recording)
        if self.recording:
            for number, known in self.probes.items():
                watched = self.tensors[number]
                if watched.history is target.history and not watched.history.leaf:
                    if kind == "tanh":
                        raise NotImplementedError  # see Machine.compute
                    self.probe(watched)
                    known.append(watched.history.probes)

    def loss(self, i: int) -> Jet:
        x = self.at(i).read()
        weighted = x * Jet(weights_of(x.shape))
        return total(weighted.over(lambda a: a.reshape(-1, *a.shape[x.v.ndim :])), 0)

    def gradient(self, loss: Jet, number: int, newest: bool = True) -> Jet:
        """The derivative by a leaf or watched tensor as it is now, or as it was made."""
        names = self.probes[number][-1 if newest else 0]
        shape = self.tensors[number].cells.shape
        j = None if loss.h is None else loss.h[names].reshape(*shape, VARIABLES)
        return Jet(loss.j[names].reshape(shape), j, None)


def total(x: Jet, axis: int) -> Jet:
    return x.over(lambda a: a.sum(axis))
