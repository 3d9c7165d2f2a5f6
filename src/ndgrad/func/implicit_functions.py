"""`root`, `fixed_point` and `implicit`: solutions of equations, differentiated by the implicit function theorem.

A solution x(theta) of F(x, theta) = 0 changes by dx with F_x dx = -F_theta dtheta, whatever found it. So the solver is neither recorded nor
differentiated: a derivative is the solution of one linear equation, which is again an equation with parameters, and so is differentiable in
either mode as often as one likes. Derivatives are those by theta; what else the equation uses counts as constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ndgrad.base.trees import tree_flatten, tree_unflatten
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.func.arguments import named_after
from ndgrad.func.custom import defjvp, defvjp, example_by_example
from ndgrad.func.forward import jvp
from ndgrad.func.reverse import vjp
from ndgrad.func.solvers import Tensors, iterate, newton, solve_linear

Equation = Callable[[Tensors, Tensors], Tensors]
#: (the map, the right side) -> the solution, lists of tensors.
LinearSolver = Callable[[Callable[[Tensors], Tensors], Tensors], Tensors]


def root(func: Callable[..., Any], *, solver: Any = None, linear_solver: Any = None) -> Callable[..., Any]:
    """The function (x0, *theta) -> x with `func(x, *theta) = 0`, found from x0 and differentiable by theta.

    Parameters
    ----------
    func : from a tree x and parameters to a tree like x.
    solver : `(residual, x0) -> x` instead of Newton's method.
    linear_solver : `(linear_map, b) -> v` with `linear_map(v) = b`, for trees like x, instead of elimination, or GMRES for many unknowns.

    Examples
    --------
    >>> x = root(lambda x, a: x * x - a)(torch.tensor(1.0), a)
    """

    @named_after(func)
    def solve(x0: Any, *theta: Any) -> Any:
        problem = Problem(func, x0, theta, linear_solver)

        def found(ts: Tensors, start: Tensors) -> Tensors:
            if solver is not None:
                return problem.leaves(solver(lambda x: problem.value(x, ts), tree_unflatten(start, problem.spec)), "solver=")
            equation = problem.equation
            return newton(lambda xs: equation(xs, ts), start, lambda xs, v: along(equation, xs, ts, v), problem.linear_solver)

        return problem.solution(found)

    return solve


def fixed_point(func: Callable[..., Any], *, solver: Any = None, linear_solver: Any = None) -> Callable[..., Any]:
    """The function (x0, *theta) -> x with `func(x, *theta) = x`, found by applying `func` from x0 on, and differentiable by theta.

    Parameters
    ----------
    solver : `(function, x0) -> x` instead of that.
    linear_solver : as for `root`, where the linear map is that of `func(x, *theta) - x`.

    Examples
    --------
    >>> state = fixed_point(lambda x, W, b: torch.tanh(W @ x + b))(torch.zeros(3), W, b)
    """

    @named_after(func)
    def solve(x0: Any, *theta: Any) -> Any:
        problem = Problem(func, x0, theta, linear_solver, minus_x=True)

        def found(ts: Tensors, start: Tensors) -> Tensors:
            if solver is not None:
                return problem.leaves(solver(lambda x: problem.value(x, ts), tree_unflatten(start, problem.spec)), "solver=")
            return iterate(lambda xs: problem.images(xs, ts), start)

        return problem.solution(found)

    return solve


def implicit(func: Callable[..., Any], *, linear_solver: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator for a solver of one's own, theta -> x with `func(x, *theta) = 0`, which may do whatever it likes to find x.

    Examples
    --------
    >>> @implicit(lambda x, a: x**3 + x - a)
    ... def solve(a):
    ...     return torch.tensor(scipy.optimize.brentq(lambda x: x**3 + x - a.item(), -9, 9))
    """

    def decorate(solver: Callable[..., Any]) -> Callable[..., Any]:
        @named_after(solver)
        def solve(*theta: Any) -> Any:
            problem = Problem(func, None, theta, linear_solver)
            return problem.solution(lambda ts, start: problem.leaves(solver(*problem.parameters(ts)), solver.__name__))

        return solve

    return decorate


class Problem:
    """An equation between trees as one between lists of tensors: the unknowns, and those parameters that derivatives can be taken by."""

    def __init__(self, func: Callable[..., Any], x0: Any, theta: tuple[Any, ...], linear_solver: Any, *, minus_x: bool = False) -> None:
        self.func = func
        self.minus_x = minus_x
        self.theta, self.theta_spec = tree_flatten(theta)
        self.places = [at for at, leaf in enumerate(self.theta) if isinstance(leaf, Tensor) and leaf._a.dtype.kind in "fc"]
        self.spec: Any = None
        self.start: list[Tensor] = []
        self.given_solver = linear_solver
        if x0 is not None:
            self.start = [wrap(x._a) for x in self.leaves(x0, "x0")]

    def leaves(self, x: Any, name: str) -> list[Tensor]:
        """The tensors of the unknowns, whose structure is then known."""
        leaves, spec = tree_flatten(x)
        for leaf in leaves:
            if not isinstance(leaf, Tensor) or leaf._a.dtype.kind not in "fc":
                what = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise TypeError(f"{name} must give floating point or complex tensors as unknowns, and gave one of {what}")
        if self.spec is not None and spec != self.spec:
            raise RuntimeError(f"{name} gave {spec}, and must give a tree like x0, which is {self.spec}")
        self.spec = spec
        return leaves

    def parameters(self, ts: Tensors) -> Any:
        leaves = list(self.theta)
        for at, t in zip(self.places, ts, strict=True):
            leaves[at] = t
        return tree_unflatten(leaves, self.theta_spec)

    def value(self, x: Any, ts: Tensors) -> Any:
        return self.func(x, *self.parameters(ts))

    def images(self, xs: Tensors, ts: Tensors) -> list[Tensor]:
        """What the function gives, which must look like the unknowns."""
        leaves, spec = tree_flatten(self.value(tree_unflatten(xs, self.spec), ts))
        if spec != self.spec:
            raise RuntimeError(f"there must be one equation for each unknown: x is {self.spec}, and f(x, *theta) is {spec}")
        for x, y in zip(xs, leaves, strict=True):
            if not isinstance(y, Tensor) or y.shape != x.shape:
                shape = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
                raise RuntimeError(f"there must be one equation for each unknown: x has {list(x.shape)}, and f(x, *theta) has {shape}")
        return leaves

    def equation(self, xs: Tensors, ts: Tensors) -> list[Tensor]:
        """What is zero at the solution."""
        images = self.images(xs, ts)
        return [y - x for x, y in zip(xs, images, strict=True)] if self.minus_x else images

    def linear_solver(self, linear: Callable[[Tensors], Tensors], b: Tensors) -> Tensors:
        """The solver given by the user, who knows of trees, or ours."""
        if self.given_solver is None:
            return solve_linear(linear, b)
        spec = self.spec
        x = self.given_solver(lambda v: tree_unflatten(linear(tree_flatten(v)[0]), spec), tree_unflatten(b, spec))
        return self.leaves(x, "linear_solver=")

    def solution(self, solver: Callable[[Tensors, Tensors], Tensors]) -> Any:
        """The solution that `solver(parameters, start)` finds; where to start is a parameter on which it does not depend."""
        count = len(self.places)
        found = solution(
            lambda xs, values: self.equation(xs, values[:count]),
            lambda values: solver(values[:count], values[count:]),
            [*(self.theta[at] for at in self.places), *self.start],
            self.linear_solver,
        )
        return tree_unflatten(found, self.spec)


def along(equation: Equation, xs: Tensors, ts: Tensors, v: Tensors) -> Tensors:
    """How the equation changes with its unknowns along v."""
    return list(jvp(lambda *xs: tuple(equation(xs, ts)), tuple(xs), tuple(v))[1])


def back(equation: Equation, xs: Tensors, ts: Tensors, u: Tensors) -> Tensors:
    """The transpose of `along`."""
    return list(vjp(lambda *xs: tuple(equation(xs, ts)), *xs)[1](tuple(u)))


def solution(equation: Equation, solver: Callable[[Tensors], Tensors], ts: Tensors, linear_solver: LinearSolver) -> Tensors:
    """The unknowns as a function of the parameters, with its derivatives."""

    def changed(t: Any, ts: Any, out: Any) -> Any:
        """dx with F_x dx = -F_theta dtheta."""
        pushed = jvp(lambda *ts: tuple(equation(out, ts)), tuple(ts), tuple(t))[1]
        return tuple(solved(along, [-y for y in pushed], out, ts))

    def pulled(g: Any, ts: Any, out: Any) -> Any:
        """-F_theta* u with F_x* u = g."""
        u = solved(back, g, out, ts)
        return (tuple(-c for c in vjp(lambda *ts: tuple(equation(out, ts)), *ts)[1](tuple(u))),)

    def solved(derivative: Callable[..., Tensors], b: Tensors, xs: Tensors, ts: Tensors) -> Tensors:
        """The solution of a linear equation, whose parameters are the right side and the point."""
        count, rank = len(b), len(xs)

        def linear(vs: Tensors, values: Tensors) -> Tensors:
            images = derivative(equation, values[count : count + rank], values[count + rank :], vs)
            return [y - c for y, c in zip(images, values[:count], strict=True)]

        def solve(values: Tensors) -> Tensors:
            point, others = values[count : count + rank], values[count + rank :]
            return linear_solver(lambda v: derivative(equation, point, others, v), values[:count])

        return solution(linear, solve, [*b, *xs, *ts], linear_solver)

    @defjvp(changed)
    @defvjp(pulled)
    def implicit_solution(ts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return example_by_example(lambda ts: tuple(solver(ts)), ts)

    found: Tensors = implicit_solution(tuple(ts))
    return found
