"""What holds of derivatives whatever the function is, said by nested transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ndgrad as torch
from ndgrad import Tensor
from ndgrad.func import grad, jvp, vjp, vmap
from tests.smooth_programs import SIZE, constant, run

Function = Callable[[Tensor], Tensor]


def near(found: Tensor, expected: Tensor, what: str) -> None:
    np.testing.assert_allclose(np.asarray(found.tolist()), np.asarray(expected.tolist()), rtol=1e-7, atol=1e-9, err_msg=what)


def vector(start: float) -> Tensor:
    made: Tensor = constant(torch, SIZE, start=start)
    return made


X, Y, V, W = (vector(start) for start in (0.3, 2.0, 4.0, 5.5))
EXAMPLES = constant(torch, 4, SIZE, start=1.0)
UNITS = torch.eye(SIZE, dtype=torch.float64)


def push(f: Function, x: Tensor, v: Tensor) -> Tensor:
    found: Tensor = jvp(f, (x,), (v,))[1]
    return found


def pull(f: Function, x: Tensor, g: Tensor) -> Tensor:
    found: Tensor = vjp(f, x)[1](g)[0]
    return found


def forward_jacobian(f: Function, x: Tensor) -> Tensor:
    found: Tensor = vmap(lambda v: push(f, x, v), out_dims=-1)(UNITS)
    return found


def reverse_jacobian(f: Function, x: Tensor) -> Tensor:
    found: Tensor = vmap(vjp(f, x)[1])(UNITS)[0]
    return found


def jacobians_are_one(f: Function, g: Function) -> None:
    near(forward_jacobian(f, X), reverse_jacobian(f, X), "the jacobian by jvp and by vjp")
    near(forward_jacobian(f, X) @ V, push(f, X, V), "the jacobian times a vector")
    near(vmap(lambda x: forward_jacobian(f, x))(EXAMPLES), torch.stack([reverse_jacobian(f, x) for x in EXAMPLES]), "jacobians of examples")


def the_hessian_is_symmetric(f: Function, g: Function) -> None:
    def total(x: Tensor) -> Tensor:
        return (f(x) * W).sum()

    hessians = [
        forward_jacobian(grad(total), X),
        reverse_jacobian(grad(total), X),
        forward_jacobian(lambda x: forward_jacobian(total, x), X),
        reverse_jacobian(lambda x: forward_jacobian(total, x), X),
        vmap(lambda x: forward_jacobian(grad(total), x))(torch.stack([Y, X]))[1],
    ]
    near(hessians[0], hessians[0].T, "the hessian and its transpose")
    for other in hessians[1:]:
        near(other, hessians[0], "the hessian in another mode")


def pushing_is_linear(f: Function, g: Function) -> None:
    near(push(f, X, 2.0 * V - 3.0 * W), 2.0 * push(f, X, V) - 3.0 * push(f, X, W), "linearity")
    near(push(lambda v: push(f, X, v), V, W), push(f, X, W), "the derivative of what is linear")
    near((push(f, X, V) * W).sum(), (V * pull(f, X, W)).sum(), "the dot product")


def chains_and_products(f: Function, g: Function) -> None:
    near(push(lambda x: f(g(x)), X, V), push(f, g(X), push(g, X, V)), "the chain rule, forward")
    near(pull(lambda x: f(g(x)), X, W), pull(g, X, pull(f, g(X), W)), "the chain rule, in reverse")
    near(push(lambda x: f(x) * g(x), X, V), push(f, X, V) * g(X) + f(X) * push(g, X, V), "the product rule")
    near(push(lambda x: pull(f, x, g(x)), X, V), push(lambda x: pull(f, x, g(X)), X, V) + pull(f, X, push(g, X, V)), "the total derivative")


def euler_of_homogeneous_functions(f: Function, g: Function) -> None:
    for degree in (1, 3):

        def homogeneous(x: Tensor, degree: int = degree) -> Tensor:
            size = (x * x).sum().sqrt()
            return size**degree * (f(x / size) * W).sum()

        near((grad(homogeneous)(X) * X).sum(), degree * homogeneous(X), "Euler's theorem")
        near(forward_jacobian(grad(homogeneous), X) @ X, (degree - 1) * grad(homogeneous)(X), "and that of the gradient")


def examples_do_not_know_of_each_other(f: Function, g: Function) -> None:
    def total(x: Tensor) -> Tensor:
        return (f(x) * W).sum()

    near(vmap(f)(EXAMPLES), torch.stack([f(x) for x in EXAMPLES]), "vmap and a loop")
    near(vmap(lambda x: f(X))(EXAMPLES), torch.stack([f(X)] * len(EXAMPLES)), "what all examples have in common")
    one_by_one = torch.stack([grad(total)(x) for x in EXAMPLES])
    near(vmap(grad(total))(EXAMPLES), one_by_one, "vmap of grad")
    near(grad(lambda xs: vmap(total)(xs).sum())(EXAMPLES), one_by_one, "grad of vmap")
    near(vmap(vmap(f), in_dims=1, out_dims=1)(torch.stack([EXAMPLES, EXAMPLES.flip(0)]))[0], vmap(f)(EXAMPLES), "vmap of vmap")

    def shared(w: Tensor) -> Tensor:
        sums: Tensor = vmap(lambda x: (f(x * w) * g(w)).sum())(EXAMPLES)
        return sums.sum()

    def shared_one_by_one(w: Tensor) -> Tensor:
        return torch.stack([(f(x * w) * g(w)).sum() for x in EXAMPLES]).sum()

    near(grad(shared)(X), grad(shared_one_by_one)(X), "what examples have in common")
    near(
        grad(shared)(X), vmap(lambda x: grad(lambda w: (f(x * w) * g(w)).sum())(X))(EXAMPLES).sum(0), "grad of captured tensors inside vmap"
    )
    near(push(grad(shared), X, V), push(grad(shared_one_by_one), X, V), "their second derivative")


IDENTITIES = [
    jacobians_are_one,
    the_hessian_is_symmetric,
    pushing_is_linear,
    chains_and_products,
    euler_of_homogeneous_functions,
    examples_do_not_know_of_each_other,
]


def check_all(first: list[Any], second: list[Any]) -> None:
    """Every identity, of the functions of two programs."""
    for identity in IDENTITIES:
        identity(lambda x: run(torch, first, x), lambda x: run(torch, second, x))
