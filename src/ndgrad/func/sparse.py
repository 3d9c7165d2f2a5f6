"""`sparse_jacobian` and `sparse_hessian`: derivatives with few elements, from few products, as SciPy's sparse arrays.

The pattern is found by following index sets through the program (`sparsity`). Rows or columns that have no element in common share a colour
(`colouring`), and all of one colour come out of one product with the Jacobian. Pattern and colouring are kept for the next x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import numpy as np

from ndgrad.autograd.grad_mode import enable_grad
from ndgrad.autograd.gradients import grad
from ndgrad.base.types import Array, Shape
from ndgrad.core.batches import batch_of
from ndgrad.core.observers import observing
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.colouring import column_colours, decompressed, decompressed_symmetric, number_of, rows_of, star_colours
from ndgrad.func.programs import Program, program_of
from ndgrad.func.sparsity import Pattern, Tracker, empty

__all__ = ["SparseHessian", "SparseJacobian", "sparse_hessian", "sparse_jacobian"]

Function = Callable[[Tensor], Tensor]


@dataclass
class Plan:
    """How to compute a sparse derivative at every x of one shape and dtype, as long as f does the same.

    `by_rows`: whether rows share colours, and products are vjps; otherwise columns do, and products are jvps. `local`: whether the
    pattern depends on positions that were computed from x, so that it may not be kept.
    """

    pattern: Pattern
    colours: Array
    by_rows: bool
    local: bool

    @property
    def passes(self) -> int:
        """How many products are needed."""
        return number_of(self.colours)


class SparseDerivative:
    """What `sparse_jacobian` and `sparse_hessian` give: call it with x. See there."""

    def __init__(self, f: Function, check: bool, name: str) -> None:
        update_wrapper(self, f, updated=())
        self.f = f
        self.check = check
        self.name = name
        self.plans: dict[tuple[Shape, Any], dict[Program, Plan]] = {}
        self.latest: Plan | None = None

    def __repr__(self) -> str:
        return f"<{self.name} of {getattr(self.f, '__qualname__', self.f)!s}>"

    def __call__(self, x: Tensor) -> Any:
        """The derivative at x, a `scipy.sparse.csr_array`."""
        return self.computed(x)[1]

    # ---------------------------------------------------------------- what was found
    def forget(self) -> None:
        """Forget all patterns; the next call finds them anew."""
        self.plans.clear()
        self.latest = None

    def last_plan(self, what: str) -> Plan:
        if self.latest is None:
            raise RuntimeError(f"{self.name}: {what} is not known before the first call; call it with x first")
        return self.latest

    @property
    def pattern(self) -> Any:
        """Where the latest derivative can have elements: a boolean `csr_array`."""
        return self.last_plan("pattern").pattern

    @property
    def colours(self) -> Array:
        """The colour of each row or column."""
        return self.last_plan("colours").colours

    @property
    def passes(self) -> int:
        """How many products the latest derivative took."""
        return self.last_plan("passes").passes

    # ---------------------------------------------------------------- how it is found
    def differentiated(self, x: Tensor) -> Tensor:
        """What the Jacobian is taken of; x is a leaf that requires grad."""
        return self.output(self.f(x))

    def output(self, y: Any) -> Tensor:
        """What f gave, if it can be differentiated."""
        if not isinstance(y, Tensor):
            hint = "; join them: torch.cat([y.reshape(-1) for y in outputs])" if isinstance(y, (tuple, list)) else ""
            raise TypeError(f"{self.name}: f must return one Tensor, but it returned {type(y).__name__}{hint}")
        if y._a.dtype.kind != "f":
            hint = "; return its real and imaginary parts, torch.view_as_real(y)" if y._a.dtype.kind == "c" else ""
            raise TypeError(f"{self.name}: f must return a real floating point Tensor, but it returned one of {y.dtype}{hint}")
        return y

    def check_input(self, x: Any) -> None:
        """Refuse what no derivative can be taken by."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{self.name}: x must be a Tensor, not {type(x).__name__}; write torch.tensor(x)")
        if batch_of(x._a) is not None:
            raise RuntimeError(f"{self.name}: inside vmap there is no sparse matrix of all examples; call it for each x by itself")
        if x._a.dtype.kind == "c":
            raise TypeError(f"{self.name}: complex x is not supported, and x is of {x.dtype}; let f take torch.view_as_real(x)")
        if x._a.dtype.kind != "f":
            raise TypeError(f"{self.name}: x must be of a floating point dtype, but it is of {x.dtype}; write x.double()")

    def coloured(self, pattern: Pattern, local: bool) -> Plan:
        """The plan that takes the fewest products; of equals that by vjps, which need no second graph."""
        colours = column_colours(pattern.T.tocsr())
        fullest = int(np.diff(pattern.indptr).max(initial=0))  # so many colours at least the columns need
        if number_of(colours) > fullest:
            by_columns = column_colours(pattern)
            if number_of(by_columns) < number_of(colours):
                return Plan(pattern, by_columns, False, local)
        return Plan(pattern, colours, True, local)

    def followed(self, x: Tensor) -> tuple[Plan, Tensor, Tensor]:
        """The plan for x, the leaf that f was called with, and its output."""
        leaf = leaf_of(x)
        tracker = Tracker(leaf._a.size, recording=True)
        tracker.track(leaf)
        with enable_grad(), observing(tracker):
            y = self.differentiated(leaf)
            pattern = tracker.pattern(y)
        pattern = empty(y._a.size, leaf._a.size) if pattern is None else pattern
        pattern.sort_indices()
        return self.coloured(pattern, tracker.local), leaf, y

    def computed(self, x: Tensor) -> tuple[Tensor, Any]:
        """What f gave at x, and the derivative."""
        self.check_input(x)
        known = self.plans.setdefault((x._a.shape, x._a.dtype), {})
        plan = program = None
        if known:
            leaf = leaf_of(x)
            with enable_grad():
                y = self.differentiated(leaf)
            program = program_of(y)
            plan = known.get(program)
        if plan is None:
            plan, leaf, y = self.followed(x)
            if not plan.local:
                known[program or program_of(y)] = plan
        self.latest = plan
        products = Products(leaf, y, plan.by_rows)
        found = self.assembled(plan, products.compressed(plan.colours))
        if self.check:
            self.compare(plan, found, products)
        return y.detach(), found

    def assembled(self, plan: Plan, products: Array) -> Any:
        """The matrix from its compressed form."""
        if plan.by_rows:
            values = products[plan.colours[rows_of(plan.pattern)], plan.pattern.indices]
        else:
            values = decompressed(plan.pattern, plan.colours, products)
        return with_values(plan.pattern, values)

    # ---------------------------------------------------------------- whether it still holds
    def compare(self, plan: Plan, found: Any, products: Products) -> None:
        """Refuse a derivative whose product with a random vector is not that of f."""
        vector = np.random.default_rng().uniform(1, 2, products.size).astype(found.dtype)
        want = products.product(vector)
        matrix = found.T if plan.by_rows else found
        precision = max(np.sqrt(np.finfo(found.dtype).eps), 1e-6)  # some of f may be of single precision
        allowed = precision * np.maximum(abs(matrix) @ vector, np.abs(want))
        wrong = np.flatnonzero((np.abs(matrix @ vector - want) > allowed) & np.isfinite(want))
        if wrong.size:
            what = "column" if plan.by_rows else "row"
            raise RuntimeError(
                f"{self.name}: the sparsity pattern that was found at an earlier x does not hold at this one: {what} {wrong[0]} has an "
                f"element outside of it ({len(wrong)} of {len(want)} {what}s have one). f does the same operations, but on numbers that "
                "were computed from x outside of them, by NumPy or by Python. Compute these with tensors, or call forget() before each "
                "such x."
            )


class SparseJacobian(SparseDerivative):
    """Sparse Jacobians of a function of one tensor, which takes and returns a real floating point tensor of any shape: call it with x.

    What it gives is a `scipy.sparse.csr_array` with a row for each element of f(x) and a column for each element of x, both flattened row
    by row, and with an element wherever f can depend on x. The first call for a shape and dtype finds `pattern`, `colours` and `passes`;
    later ones use them. `forget()` starts anew.

    The pattern is exact but for what `ndgrad.func.sparsity` lists. It is found anew where f did other operations than before, because of an
    `if`, and at each x where f indexes by positions that it computes from x, as in `sort`. What f computes from x with NumPy is taken for a
    constant; `check=True` finds out.
    """

    def with_value(self, x: Tensor) -> tuple[Tensor, Any]:
        """f(x), without history, and the Jacobian at x."""
        return self.computed(x)


class SparseHessian(SparseDerivative):
    """Sparse Hessians of a function of one tensor that gives one element: the Jacobians of its gradient.

    The pattern is followed through the backward. That it is symmetric saves passes: a star colouring needs two for an arrow. All else is as
    in `SparseJacobian`.
    """

    def with_gradient(self, x: Tensor) -> tuple[Tensor, Any]:
        """The gradient of f at x, and the Hessian."""
        return self.computed(x)

    def differentiated(self, x: Tensor) -> Tensor:
        y = self.output(self.f(x))
        if y._a.size != 1:
            raise ValueError(f"{self.name}: f must return one element, but it returned a Tensor of shape {list(y._a.shape)}; sum it first")
        if not y.requires_grad:
            return wrap(np.zeros(x._a.shape, x._a.dtype))
        (slope,) = grad(y.reshape(()), x, create_graph=True, materialize_grads=True)
        found: Tensor = slope
        return found

    def coloured(self, pattern: Pattern, local: bool) -> Plan:
        both = pattern.multiply(pattern.T.tocsr()).tocsr()  # each of the two triangles bounds the other
        both.sort_indices()
        return Plan(both, star_colours(both), True, local)

    def assembled(self, plan: Plan, products: Array) -> Any:
        return with_values(plan.pattern, decompressed_symmetric(plan.pattern, plan.colours, products))


def sparse_jacobian(f: Function, *, check: bool = False) -> SparseJacobian:
    """The Jacobian of f as a sparse matrix, in as few passes as rows or columns need colours: `sparse_jacobian(f)(x)`.

    With `check`, each is compared by one random product, and a pattern that no longer holds raises RuntimeError. See `SparseJacobian`.
    """
    return SparseJacobian(f, check, "sparse_jacobian")


def sparse_hessian(f: Function, *, check: bool = False) -> SparseHessian:
    """The Hessian of f as a sparse matrix, in as few passes as a star colouring has colours: `sparse_hessian(f)(x)`.

    With `check`, each is compared by one random product, and a pattern that no longer holds raises RuntimeError. See `SparseHessian`.
    """
    return SparseHessian(f, check, "sparse_hessian")


class Products:
    """Products of the Jacobian of y: with vectors from the left by backward passes, or from the right.

    The latter are backward passes as well: a vjp is linear in its cotangent, so the vjp of that map is a jvp. For it f need not run again.
    """

    def __init__(self, leaf: Tensor, y: Tensor, by_rows: bool) -> None:
        self.inputs: Tensor = leaf
        self.outputs: Tensor | None = y
        if not by_rows:
            self.outputs, self.inputs = None, wrap(np.zeros(y._a.shape, y._a.dtype))
            self.inputs.requires_grad = True
            if y.requires_grad:
                (self.outputs,) = grad(y, leaf, self.inputs, create_graph=True, materialize_grads=True)
        self.size = y._a.size if by_rows else leaf._a.size
        self.dtype = np.result_type(y._a.dtype, leaf._a.dtype)

    def product(self, vector: Array) -> Array:
        """One product."""
        found = None
        if self.outputs is not None and self.outputs.requires_grad:
            given = wrap(vector.astype(self.outputs._a.dtype).reshape(self.outputs._a.shape))
            (found,) = grad(self.outputs, self.inputs, given, retain_graph=True, allow_unused=True)
        return np.zeros(self.inputs._a.size, self.dtype) if found is None else np.reshape(found._a, -1)

    def compressed(self, colours: Array) -> Array:
        """One product for each colour, row by row."""
        products = np.zeros((number_of(colours), self.inputs._a.size), self.dtype)
        for number in range(len(products)):
            products[number] = self.product(colours == number)
        return products


def leaf_of(x: Tensor) -> Tensor:
    """The same values as a leaf that requires grad, with memory of its own, because f may write to what it is given."""
    leaf = wrap(np.array(x._a))
    leaf.requires_grad = True
    return leaf


def with_values(pattern: Pattern, values: Array) -> Any:
    """A matrix of this pattern, with index arrays of its own."""
    from scipy import sparse

    return sparse.csr_array((values, pattern.indices.copy(), pattern.indptr.copy()), shape=pattern.shape)
