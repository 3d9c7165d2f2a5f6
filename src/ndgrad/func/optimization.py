"""`minimize`: SciPy's optimizers with exact derivatives.

SciPy's vectors are one tensor here, from which the tree that the user's function takes is cut out; that is part of what is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Number
from typing import Any

import numpy as np

from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.base.types import Array
from ndgrad.core.primitive import recorded
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import check_floating
from ndgrad.func.jacobians import hessian as dense_hessian
from ndgrad.func.jacobians import jacrev
from ndgrad.func.linear import linearize
from ndgrad.func.reverse import grad, grad_and_value
from ndgrad.func.sparse import sparse_hessian

#: SciPy's methods that use no derivatives, and those that use second ones, with the form in which they get them where nothing is said.
WITHOUT_GRADIENT = frozenset({"nelder-mead", "powell", "cobyla", "cobyqa"})
HESSIANS = {
    "newton-cg": "product",
    "trust-ncg": "product",
    "trust-krylov": "product",
    "trust-constr": "product",
    "trust-exact": "dense",
    "dogleg": "dense",
}
FORMS = ("auto", "product", "dense", "sparse", None)


def minimize(
    f: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: Any = None,
    *,
    hessian: str | None = "auto",
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Callable[[Any], Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Minimize f(x, *args), which returns a tensor of no dims, by `scipy.optimize.minimize` with exact derivatives.

    Parameters
    ----------
    x0 : where to start, a tree of real floating point tensors.
    hessian : what methods with second derivatives get: Hessian times vector ("product"), or matrices, "dense" or "sparse"; None leaves
        them to SciPy. By default products, and matrices for the methods that factorize them.
    bounds : a tree like x0 with a pair (low, high) at each leaf, numbers, tensors or None; or what SciPy takes.
    constraints : as SciPy takes them; their functions take x as f does and return tensors, and are differentiated.
    callback : is given x after each step; StopIteration ends the search.

    Returns
    -------
    SciPy's `OptimizeResult`; `x` and `jac`, the gradient, are trees like x0.

    Examples
    --------
    >>> minimize(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, torch.zeros(2), method="trust-ncg").x
    """
    from scipy import optimize

    if hessian not in FORMS:
        raise ValueError(f"minimize: hessian= must be one of {', '.join(map(repr, FORMS))}, and is {hessian!r}")
    vectors = Vectors(x0)
    objective = Objective(vectors.taken_by(f, args if isinstance(args, tuple) else (args,)))
    name = method.lower() if isinstance(method, str) else method
    given: dict[str, Any] = {"method": method, "tol": tol, "options": options}
    if name in WITHOUT_GRADIENT:
        fun: Any = objective.value
    else:
        fun = objective.value_and_gradient
        given["jac"] = True
        if hessian == "auto":
            hessian = HESSIANS.get(name) if isinstance(name, str) else "product" if name is not None else None
        given |= objective.second_derivatives(hessian, name)
    if bounds is not None:
        given["bounds"] = vectors.bounds(bounds)
    several = constraints if isinstance(constraints, (list, tuple)) else (constraints,)
    if several:
        given["constraints"] = [vectors.constraint(each, name, hessian) for each in several]
    if callback is not None:
        given["callback"] = lambda xk, *state: callback(vectors.tree(xk))
    result = optimize.minimize(fun, vectors.start, **given)
    result.x = vectors.tree(result.x)
    if isinstance(result.get("jac"), np.ndarray) and result.jac.shape == vectors.start.shape:
        result.jac = vectors.tree(result.jac)
    return result


class Vectors:
    """Trees like x0 as vectors, and back."""

    def __init__(self, x0: Any) -> None:
        self.leaves, self.spec = tree_flatten(x0)
        for leaf in self.leaves:
            check_floating(leaf, "x0")
            if leaf._a.dtype.kind == "c":
                raise ValueError("minimize: x0 must be real; let f take the real and the imaginary part")
        self.sizes = [math.prod(leaf.shape) for leaf in self.leaves]
        self.start = np.concatenate([np.ravel(np.asarray(leaf._a)).astype(np.float64) for leaf in self.leaves] or [np.zeros(0)])
        if not self.start.size:
            raise ValueError("minimize: x0 has no elements")

    def tree(self, vector: Array) -> Any:
        """The tree of a vector of SciPy's."""
        return self.cut(variable(vector))

    def cut(self, vector: Tensor) -> Any:
        """The tree of a vector, as part of a program."""
        found: list[Any] = []
        at = 0
        for leaf, size in zip(self.leaves, self.sizes, strict=True):
            piece = vector if size == len(self.start) else vector[at : at + size]
            at += size
            found.append(piece.reshape(leaf.shape).to(leaf.dtype))
        return tree_unflatten(found, self.spec)

    def taken_by(self, f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[Tensor], Any]:
        """The user's function as one of a vector."""
        return lambda vector: f(self.cut(vector), *args)

    def bounds(self, given: Any) -> Any:
        """SciPy's bounds from a tree of pairs; what SciPy takes stays as it is."""
        from scipy import optimize

        if isinstance(given, optimize.Bounds):
            return given
        if isinstance(given, Sequence) and self.spec.is_leaf() and len(given) == len(self.start) and all(is_pair(pair) for pair in given):
            return given
        ends: list[list[Array]] = [[], []]
        for leaf, pair in zip(self.leaves, self.spec.flatten_up_to(given), strict=True):
            if not is_pair(pair):
                raise ValueError(f"minimize: bounds must have a pair (low, high) for each leaf of x0, and have {pair!r}")
            for values, end, none in zip(ends, pair, (-np.inf, np.inf), strict=True):
                value = none if end is None else end._a if isinstance(end, Tensor) else end
                values.append(np.broadcast_to(np.asarray(value, np.float64), leaf.shape).ravel())
        return optimize.Bounds(*(np.concatenate(values) for values in ends))

    def constraint(self, given: Any, method: Any, hessian: str | None) -> Any:
        """A constraint with its derivatives."""
        from scipy import optimize

        if isinstance(given, dict):
            function = self.taken_by(given["fun"], tuple(given.get("args", ())))
            if method != "trust-constr":
                return {"type": given["type"], "fun": partial(values_of, function), "jac": partial(jacobian_of, function)}
            high = 0.0 if given["type"] == "eq" else np.inf
            given = optimize.NonlinearConstraint(given["fun"], 0.0, high)
        elif isinstance(given, optimize.NonlinearConstraint):
            function = self.taken_by(given.fun, ())
        else:
            return given
        return optimize.NonlinearConstraint(
            partial(values_of, function),
            given.lb,
            given.ub,
            jac=partial(jacobian_of, function),
            hess=given.hess if hessian is None else partial(weighted_hessian_of, function),
            keep_feasible=given.keep_feasible,
        )


def variable(vector: Array) -> Tensor:
    """A vector of SciPy's as a tensor, with memory of its own: SciPy may write to what it handed out."""
    return wrap(np.array(vector, np.float64))


def is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(end is None or isinstance(end, (Number, Tensor)) for end in value)


def values_of(function: Callable[[Tensor], Any], vector: Array) -> Array:
    """The values of a constraint."""
    values: Array = np.atleast_1d(np.asarray(function(variable(vector))._a, np.float64))
    return values


def jacobian_of(function: Callable[[Tensor], Any], vector: Array) -> Array:
    """Its Jacobian, a row for each value."""
    rows: Array = np.asarray(jacrev(function)(variable(vector))._a, np.float64)
    return rows.reshape(-1, len(vector))


def weighted_hessian_of(function: Callable[[Tensor], Any], vector: Array, weights: Array) -> Array:
    """The Hessian of the sum of its values, each times a weight."""
    scale = wrap(np.array(weights, np.float64))
    matrix = dense_hessian(lambda x: (function(x).reshape(-1) * scale).sum())(variable(vector))
    return np.asarray(matrix._a)


class Objective:
    """The function to be minimized, of vectors; what was computed for a point is kept until another is asked for."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function
        self.gradient_and_value = grad_and_value(self.checked)
        self.sparse = sparse_hessian(self.checked)
        self.point: bytes | None = None
        self.push: Any = None

    def checked(self, vector: Tensor) -> Tensor:
        value: Tensor = self.function(vector)
        if not isinstance(value, Tensor) or value.shape != ():
            what = f"of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ValueError(f"minimize: f must return a tensor of no dims, a scalar, and returned one {what}")
        return recorded.to_dtype(value, dtype=vector.dtype)

    def value(self, vector: Array) -> float:
        return float(self.checked(variable(vector))._a)

    def value_and_gradient(self, vector: Array) -> tuple[float, Array]:
        """Both by one run of the function."""
        gradient, value = self.gradient_and_value(variable(vector))
        return float(value._a), np.array(gradient._a)

    def second_derivatives(self, form: str | None, method: Any) -> dict[str, Any]:
        """What SciPy is given of second derivatives."""
        if form in ("product", "sparse") and isinstance(method, str) and HESSIANS.get(method) == "dense":
            raise ValueError(f"minimize: the method {method} factorizes the Hessian: hessian= must be 'dense' or 'auto', and is {form!r}")
        if form == "product":
            return {"hessp": self.product}
        if form == "dense":
            return {"hess": lambda vector: np.asarray(dense_hessian(self.checked)(variable(vector))._a)}
        if form == "sparse":
            # of SciPy's methods this one alone computes with sparse matrices; the others multiply by them
            return {"hess": self.matrix} if method == "trust-constr" else {"hessp": self.sparse_product}
        return {}

    def product(self, vector: Array, direction: Array) -> Array:
        """The Hessian times a direction, by the gradient as it was linearized at the point."""
        if self.point != vector.tobytes():
            self.point = vector.tobytes()
            self.push = linearize(grad(self.checked), variable(vector))[1]
        return np.asarray(self.push(variable(direction))._a)

    def matrix(self, vector: Array) -> Any:
        return self.sparse(variable(vector))

    def sparse_product(self, vector: Array, direction: Array) -> Array:
        if self.point != vector.tobytes():
            self.point = vector.tobytes()
            self.push = self.matrix(vector)
        product: Array = self.push @ direction
        return product
