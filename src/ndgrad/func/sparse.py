"""`sparse_jacobian` and `sparse_hessian`: derivatives with few elements, from few products, as SciPy's sparse arrays.

The pattern is found by following index sets through the program (`sparsity`). Rows or columns that have no element in common share a colour
(`colouring`), and all of one colour come out of one product with the Jacobian. Pattern and colouring are kept for the next x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, NoReturn

import numpy as np

from ndgrad.autograd.duals import Level
from ndgrad.autograd.grad_mode import enable_grad
from ndgrad.autograd.gradients import grad
from ndgrad.base.types import Array, Shape
from ndgrad.core.observers import observing
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.colouring import column_colours, decompressed, decompressed_symmetric, number_of, rows_of, seeds, star_colours
from ndgrad.func.sparsity import Pattern, Tracker, empty

__all__ = ["SparseHessian", "SparseJacobian", "sparse_hessian", "sparse_jacobian"]

Function = Callable[[Tensor], Tensor]


@dataclass
class Plan:
    """How to compute a sparse derivative at every x of one shape and dtype.

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
        self.plans: dict[tuple[Shape, Any], Plan] = {}
        self.latest: Plan | None = None

    def __repr__(self) -> str:
        return f"<{self.name} of {getattr(self.f, '__qualname__', self.f)!s}>"

    def __call__(self, x: Tensor) -> Any:
        """The derivative at x, a `scipy.sparse.csr_array`."""
        return self.computed(x)[1]

    # ---------------------------------------------------------------- what was found
    def plan(self, x: Tensor) -> Plan:
        """Find pattern and colouring for tensors like x, by one run of f, unless they are known."""
        self.check_input(x)
        found = self.plans.get(key_of(x))
        return self.followed(x)[0] if found is None else found

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
        if x._a.dtype.kind == "c":
            raise TypeError(f"{self.name}: complex x is not supported, and x is of {x.dtype}; let f take torch.view_as_real(x)")
        if x._a.dtype.kind != "f":
            raise TypeError(f"{self.name}: x must be of a floating point dtype, but it is of {x.dtype}; write x.double()")

    def coloured(self, pattern: Pattern, local: bool) -> Plan:
        """The plan that takes the fewest products; of equals that by vjps, for which f runs once."""
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
        tracker = Tracker(leaf._a.size)
        tracker.track(leaf)
        with enable_grad(), observing(tracker):
            y = self.differentiated(leaf)
            pattern = tracker.pattern(y)
        pattern = empty(y._a.size, leaf._a.size) if pattern is None else pattern
        pattern.sort_indices()
        plan = self.coloured(pattern, tracker.local)
        self.plans.pop(key_of(x), None)
        if not plan.local:
            self.plans[key_of(x)] = plan
        return plan, leaf, y

    def computed(self, x: Tensor) -> tuple[Tensor, Any]:
        """What f gave at x, and the derivative."""
        self.check_input(x)
        plan = self.plans.get(key_of(x))
        if plan is None:
            plan, leaf, y = self.followed(x)
        else:
            leaf = leaf_of(x)
            with enable_grad():
                y = self.differentiated(leaf)
            if y._a.size != plan.pattern.shape[0]:
                self.refuse(f"f gave {y._a.size} elements where it gave {plan.pattern.shape[0]} when the pattern was found")
        self.latest = plan
        vectors = seeds(plan.colours, y._a.dtype if plan.by_rows else leaf._a.dtype)
        dtype = np.result_type(y._a.dtype, leaf._a.dtype)
        products = np.empty((plan.passes, leaf._a.size if plan.by_rows else y._a.size), dtype)
        for number, vector in enumerate(vectors):
            products[number] = self.product(leaf, y, vector, plan.by_rows)
        found = self.assembled(plan, products)
        if self.check:
            self.compare(plan, found, leaf, y)
        return y.detach(), found

    def assembled(self, plan: Plan, products: Array) -> Any:
        """The matrix from its compressed form."""
        if plan.by_rows:
            values = products[plan.colours[rows_of(plan.pattern)], plan.pattern.indices]
        else:
            values = decompressed(plan.pattern, plan.colours, products)
        return with_values(plan.pattern, values)

    def product(self, leaf: Tensor, y: Tensor, vector: Array, by_rows: bool) -> Array:
        """One product of the Jacobian: with a vector from the left (a vjp), or from the right (a jvp, for which f runs once more)."""
        if by_rows:
            found = None
            if y.requires_grad:
                (found,) = grad(y, leaf, wrap(vector.reshape(y._a.shape)), retain_graph=True, allow_unused=True)
            return np.zeros(leaf._a.size) if found is None else np.reshape(found._a, -1)
        level = Level()
        dual = leaf_of(leaf)
        level.set_tangent(dual, wrap(vector.reshape(leaf._a.shape)))
        with enable_grad(), observing(level):
            out = self.differentiated(dual)
        found = level.tangent(out)
        return np.zeros(y._a.size) if found is None else np.reshape(found._a, -1)

    # ---------------------------------------------------------------- whether it still holds
    def compare(self, plan: Plan, found: Any, leaf: Tensor, y: Tensor) -> None:
        """Refuse a derivative whose product with a random vector is not that of f."""
        vector = np.random.default_rng().uniform(1, 2, plan.pattern.shape[0 if plan.by_rows else 1]).astype(found.dtype)
        want = self.product(leaf, y, vector, plan.by_rows)
        matrix = found.T if plan.by_rows else found
        have, scale = matrix @ vector, abs(matrix) @ vector
        close = np.abs(have - want) <= np.sqrt(np.finfo(found.dtype).eps) * np.maximum(scale, np.abs(want))
        if not (close | ~np.isfinite(want)).all():
            what = "row" if not plan.by_rows else "column"
            wrong = np.flatnonzero(~(close | ~np.isfinite(want)))
            self.refuse(f"{what} {wrong[0]} has an element outside of it ({len(wrong)} {what}s of {len(want)} have)")

    def refuse(self, what: str) -> NoReturn:
        raise RuntimeError(
            f"{self.name}: the sparsity pattern that was found at an earlier x does not hold at this one: {what}. f takes another way for "
            "other values, by an `if` or by an index that Python computed. Call forget() before such an x, or write the choice with "
            "torch.where."
        )


class SparseJacobian(SparseDerivative):
    """A function that gives sparse Jacobians; see `sparse_jacobian`."""

    def with_value(self, x: Tensor) -> tuple[Tensor, Any]:
        """f(x), without history, and the Jacobian at x."""
        return self.computed(x)


class SparseHessian(SparseDerivative):
    """A function that gives sparse Hessians; see `sparse_hessian`."""

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
    """The Jacobian of a function of one tensor as a sparse matrix, in as few passes as its columns or rows need colours.

    Parameters
    ----------
    f : takes one real floating point tensor, of any shape, and returns one. Both are flattened, row by row, in the matrix.
    check : compare one random product with each Jacobian, at the price of one more pass, and raise where f took another way than before.

    Returns
    -------
    A function of x that gives a `scipy.sparse.csr_array` with an element wherever f can depend on x. The first call for a shape and dtype
    finds `pattern`, `colours` and `passes`, later ones use them. `with_value(x)` gives f(x) as well, `forget()` starts anew.

    Notes
    -----
    The pattern is exact but for what `ndgrad.func.sparsity` lists, and holds for whatever x takes the same way through Python's `if`. Where
    f indexes by positions that it computes from x, as in `sort`, it is found anew at each x.

    Examples
    --------
    >>> jacobian = sparse_jacobian(lambda u: u[2:] - 2 * u[1:-1] + u[:-2] + u[1:-1].exp())
    >>> jacobian(torch.zeros(1000)).nnz, jacobian.passes
    (2994, 3)
    """
    return SparseJacobian(f, check, "sparse_jacobian")


def sparse_hessian(f: Function, *, check: bool = False) -> SparseHessian:
    """The Hessian of a function of one tensor with one element, as a sparse matrix.

    It is the Jacobian of the gradient, whose pattern is followed through the backward; a star colouring uses that it is symmetric. All else
    is as in `sparse_jacobian`; `with_gradient(x)` gives the gradient as well.

    Examples
    --------
    >>> hessian = sparse_hessian(lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())
    >>> hessian(torch.zeros(1000)).nnz, hessian.passes
    (2998, 3)
    """
    return SparseHessian(f, check, "sparse_hessian")


def leaf_of(x: Tensor) -> Tensor:
    """The same values as a leaf that requires grad, with memory of its own, because f may write to what it is given."""
    leaf = wrap(np.array(x._a))
    leaf.requires_grad = True
    return leaf


def key_of(x: Tensor) -> tuple[Shape, Any]:
    return x._a.shape, x._a.dtype


def with_values(pattern: Pattern, values: Array) -> Any:
    """A matrix of this pattern, with index arrays of its own."""
    from scipy import sparse

    return sparse.csr_array((values, pattern.indices.copy(), pattern.indptr.copy()), shape=pattern.shape)
