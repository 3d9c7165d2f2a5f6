"""`gradcheck` and `gradgradcheck`: the gradients of the engine against central differences, and what else a backward owes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ndgrad.autograd.checks.differences import Function, as_tuple
from ndgrad.autograd.checks.jacobian_checks import GradcheckError, Options, check_jacobians
from ndgrad.autograd.forward_ad import dual_level, make_dual, unpack_dual
from ndgrad.autograd.gradients import grad
from ndgrad.base.dtypes import complex128, float64
from ndgrad.base.types import Array
from ndgrad.core.batching import at_once
from ndgrad.core.node import edge_of
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops import ops as functions
from ndgrad.ops.random_numbers import Generator


def gradcheck(
    func: Function,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
    kinks: bool = False,
) -> bool:
    """Whether the gradients of `func` at `inputs` agree with central differences.

    Parameters
    ----------
    func : takes the inputs as arguments; returns a tensor or several. Complex outputs are checked as real and imaginary parts.
    inputs : a tensor or several, those that require grad in double precision.
    eps : the step of the differences, whose error is about 1e-16 / eps.
    raise_exception : whether a wrong gradient is an error; otherwise it is False.
    nondet_tol : how far two runs of the backward may be apart.
    check_undefined_grad : whether the backward must bear outputs that no gradient comes back to.
    check_batched_grad : whether `grad(..., is_grads_batched=True)` must agree with `grad`.
    check_batched_forward_grad : whether forward mode inside `vmap` must agree with forward mode.
    check_forward_ad, check_backward_ad : which of the two modes to check.
    fast_mode : compare random projections of the Jacobians.
    masked : let a backward of zeros give what is only close to zero.
    kinks : accept a gradient that lies between the slopes to the left and to the right where these differ.

    Raises
    ------
    GradcheckError
        If a gradient is wrong.
    ValueError
        If no input requires grad.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    options = Options(eps, atol, rtol, nondet_tol, check_grad_dtypes, kinks, check_backward_ad, check_forward_ad)
    several = as_tuple(inputs)
    check_inputs(several)
    try:
        results = as_tuple(func(*several))
        check_jacobians(func, results, several, options, fast_mode)
        if check_forward_ad and check_undefined_grad:
            check_zero_tangents(func, several)
        if check_batched_forward_grad:
            check_batched_forward(func, several)
        if not check_backward_ad:
            return True
        outputs = differentiable(results)
        if check_batched_grad:
            check_batched(outputs, several)
        check_zeros(outputs, several, bool(masked))
        if check_undefined_grad:
            check_undefined(func, several)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Function,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
    kinks: bool = False,
) -> bool:
    """Whether the gradients of the gradients of `func`, by its inputs and by `grad_outputs`, agree with central differences.

    Parameters
    ----------
    grad_outputs : the cotangents of the outputs; by default random ones that require grad.
    gen_non_contig_grad_outputs : make those of every second element of wider memory.

    The others are those of `gradcheck`, and so are the errors.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    if check_undefined_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_undefined_grad=True requires check_rev_over_rev to be True")
    if check_batched_grad and not check_rev_over_rev:
        raise AssertionError("Setting check_batched_grad=True requires check_rev_over_rev to be True")
    several = as_tuple(inputs)
    if grad_outputs is None:
        generator = Generator()
        given = tuple(
            random_cotangent(out, generator, gen_non_contig_grad_outputs) for out in differentiable(as_tuple(func(*several)))
        )
    else:
        given = as_tuple(grad_outputs)
    of_inputs = [position for position, x in enumerate(several) if isinstance(x, Tensor) and x.requires_grad]

    def gradients(*arguments: Any) -> tuple[Tensor, ...]:
        primals, cotangents = arguments[: len(several)], arguments[len(several) :]
        outputs = differentiable(as_tuple(func(*primals)))
        targets = [primals[position] for position in of_inputs]
        found = grad(outputs, targets, cotangents, create_graph=True, allow_unused=True)
        return tuple(gradient for gradient in found if gradient is not None)

    return gradcheck(
        gradients,
        several + given,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
        kinks=kinks,
    )


# ---------------------------------------------------------------- inputs and outputs
def check_inputs(inputs: Sequence[Any]) -> None:
    """Refuse inputs that cannot be checked, and warn of those of too low a precision."""
    found = False
    for number, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        found = True
        if x.dtype not in (float64, complex128):
            warnings.warn(
                f"Input #{number} requires gradient and is not a double precision floating point or complex. This check will likely fail "
                f"if all the inputs are not of double precision floating point or complex. This one is {x.dtype}.",
                stacklevel=3,
            )
        if not all(stride > 0 or size <= 1 for stride, size in zip(x.stride(), x._a.shape, strict=True)):
            raise RuntimeError(
                f"The {number}th input has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping to be able "
                "to compute the numerical gradients correctly. Call .contiguous() on it before passing it to gradcheck."
            )
    if not found:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True.")


def differentiable(results: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(out for out in results if out.requires_grad)


def requiring(inputs: Sequence[Any]) -> list[Tensor]:
    return [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]


def random_cotangent(out: Tensor, generator: Generator, noncontiguous: bool) -> Tensor:
    """A leaf that requires grad, shaped like an output, with elements between -1 and 1."""
    kind = out._a.dtype if out._a.dtype.kind in "fc" else np.dtype(np.float64)

    def numbers() -> Array:
        drawn: Array = functions.rand(out._a.size, generator=generator, dtype=float64)._a
        return 2 * drawn.reshape(out._a.shape) - 1

    array = np.asarray(numbers() + 1j * numbers() if kind.kind == "c" else numbers(), kind)
    if noncontiguous and array.size > 1:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    return wrap(array).requires_grad_()


# ---------------------------------------------------------------- what else a backward owes
def check_zeros(outputs: Sequence[Tensor], inputs: Sequence[Any], masked: bool) -> None:
    """A backward is linear, so that cotangents of zeros must give zeros, in the shape and dtype of the inputs."""
    targets = requiring(inputs)
    for gradient, x in zip(pull_zeros(outputs, targets), targets, strict=True):
        if gradient is None:
            continue
        if not (np.allclose(gradient._a, 0) if masked else np.all(gradient._a == 0)):
            raise GradcheckError("backward not multiplied by grad_output")
        if gradient._a.dtype != x._a.dtype:
            raise GradcheckError("grad is incorrect type")
        if gradient._a.shape != x._a.shape:
            raise GradcheckError("grad is incorrect size")


def pull_zeros(outputs: Sequence[Tensor], targets: Sequence[Tensor]) -> Sequence[Any]:
    zeros = [functions.zeros_like(out) for out in outputs]
    found: Sequence[Any] = grad(outputs, targets, zeros, retain_graph=True, allow_unused=True)
    return found


def check_undefined(function: Function, inputs: Sequence[Any]) -> None:
    """Let no gradient at all come back to every output, then to each of several in turn: that is the same as zeros."""
    count = len(differentiable(as_tuple(function(*inputs))))
    for alone in [None, *(range(count) if count > 1 else ())]:
        outputs = differentiable(as_tuple(function(*inputs)))
        cut = [without_gradient(out) if alone in (None, number) else out for number, out in enumerate(outputs)]
        try:
            found = pull_zeros(cut, requiring(inputs))
        except RuntimeError as error:
            raise GradcheckError(
                f"Expected backward function to handle undefined output grads. It raised {type(error).__name__}: {error}\n"
                "check_undefined_grad=False leaves this check out."
            ) from error
        if any(gradient is not None and np.any(gradient._a != 0) for gradient in found):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are undefined or zero. "
                "check_undefined_grad=False leaves this check out."
            )


def check_zero_tangents(function: Function, inputs: Sequence[Any]) -> None:
    """Forward mode is linear as well: where one input has a tangent of zeros and the others have none, outputs have none but zeros."""
    for at, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        with dual_level():
            dual = make_dual(x, functions.zeros_like(x.detach()))
            try:
                outs = as_tuple(function(*inputs[:at], dual, *inputs[at + 1 :]))
            except RuntimeError as error:
                raise GradcheckError(
                    f"Expected forward mode to handle undefined tangents. It raised {type(error).__name__}: {error}\n"
                    "check_undefined_grad=False leaves this check out."
                ) from error
            tangents = [unpack_dual(out).tangent for out in outs if isinstance(out, Tensor)]
        if any(tangent is not None and np.any(tangent._a != 0) for tangent in tangents):
            raise GradcheckError("Expected all output tangents to be undefined or zero when all input tangents are undefined or zero.")


def without_gradient(out: Tensor) -> Tensor:
    """The same tensor behind a node that lets no gradient through."""
    same = functions.clone(out)
    edge_of(same).register_prehook(lambda cotangents: (None,))
    return same


# ---------------------------------------------------------------- several at once
def check_batched(outputs: Sequence[Tensor], inputs: Sequence[Any]) -> None:
    """Two cotangents at once must give what they give one by one."""
    targets = requiring(inputs)
    for i, out in enumerate(outputs):
        cotangents = two_like(out)
        expected = [grad(out, targets, g, retain_graph=True, allow_unused=True) for g in cotangents]
        with reporting_batches():
            found = grad(out, targets, functions.stack(cotangents), retain_graph=True, allow_unused=True, is_grads_batched=True)
        for j, (both, *each) in enumerate(zip(found, *expected, strict=True)):
            if both is None and each == [None, None]:
                continue
            wanted = functions.stack([functions.zeros_like(targets[j]) if gradient is None else gradient for gradient in each])
            require_same(both, wanted, i, j, "gradients of a batch of cotangents are not those of its members.")


def check_batched_forward(function: Function, inputs: Sequence[Any]) -> None:
    """Two tangents at once must give what they give one by one."""
    for j, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        push = partial(push_one, function, inputs, j)
        tangents = two_like(x)
        expected = zip(*[push(tangent) for tangent in tangents], strict=True)
        with reporting_batches():
            found = at_once(push, [functions.stack(tangents)])
        for i, (both, each) in enumerate(zip(found, expected, strict=True)):
            require_same(both, functions.stack(each), i, j, "tangents of a batch are not those of its members.")


def push_one(function: Function, inputs: Sequence[Any], at: int, tangent: Tensor) -> tuple[Tensor, ...]:
    """The tangents of all outputs where one input has a tangent."""
    constants = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
    with dual_level():
        dual = make_dual(constants[at], tangent)
        outs = as_tuple(function(*constants[:at], dual, *constants[at + 1 :]))
        pairs = [unpack_dual(out) for out in outs if isinstance(out, Tensor)]
    return tuple(functions.zeros(out.shape, dtype=out.dtype) if pushed is None else pushed for out, pushed in pairs)


def two_like(x: Tensor) -> list[Tensor]:
    generator = Generator()
    return [functions.randn_like(x.detach(), generator=generator) for _ in range(2)]


@contextmanager
def reporting_batches() -> Iterator[None]:
    """While a batch is computed: what goes wrong is a failed check, and no matter how slow it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        try:
            yield
        except RuntimeError as error:
            raise GradcheckError(f"While computing batched gradients, got: {error}") from error


def require_same(found: Tensor | None, expected: Tensor, i: int, j: int, what: str) -> None:
    if found is None or not functions.allclose(found, expected):
        raise GradcheckError(f"For output {i} and input {j}:\n\n{what}\n\nGot:\n{found}\n\nExpected:\n{expected}")
