"""`torch.autograd.functional`: derivatives of functions, instead of graphs that were recorded before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from ndgrad.autograd.forward_ad import dual_level, make_dual, unpack_dual
from ndgrad.autograd.grad_mode import enable_grad
from ndgrad.autograd.gradients import grad
from ndgrad.autograd.rows import jacobian_rows, unit_vectors
from ndgrad.base.nesting import nesting, refuse_requires_grad
from ndgrad.core.batching import at_once
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.ops import ops as functions

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

REVERSE, FORWARD = "reverse-mode", "forward-mode"
RESULTS = "outputs of the user-provided function"
STRICT = "This is not allowed in strict mode"


# ---------------------------------------------------------------- products with a vector
@enable_grad()
def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The outputs of a function, and the product of a vector with its Jacobian.

    Parameters
    ----------
    func : takes the inputs as arguments, and returns a tensor or a tuple of tensors.
    inputs : a tensor or a tuple of tensors. `func` is given others over the same memory, so its closure stays constant.
    v : shaped like the outputs; may be left out for a single output of one element.
    create_graph : whether the results can be differentiated by the inputs that require grad, and by `v`.
    strict : whether an input that the outputs do not depend on is an error; otherwise its derivative is zero.

    Returns
    -------
    The outputs, and a tensor for each input, as a tuple where the inputs are one.
    """
    given = several(inputs, "inputs", "vjp")
    primals = renewed(given.tensors, create_graph, requires_grad=True)
    outputs = called(func, primals, "vjp", strict)
    if v is not None:
        v = checked_vector(v, outputs.tensors, outputs.is_tuple, "vjp", create_graph)
    elif not is_single(outputs.tensors):
        raise RuntimeError(
            "The vector v can only be None if the user-provided function returns a single Tensor with a single element. "
            f"It returned {shapes(outputs.tensors)}."
        )
    found = gradients(outputs.tensors, primals, v, create_graph)
    for number, gradient in enumerate(found) if strict else ():
        if gradient is None:
            refuse(f"The output of the user-provided function is independent of input {number}")
        check_varies(gradient, "jacobian", number, create_graph)
    return outputs.restored(outputs.tensors, create_graph), given.restored(zeros_for_none(found, primals), create_graph)


@enable_grad()
def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The outputs of a function, and the product of its Jacobian with a vector, by differentiating the `vjp` by its vector.

    Parameters
    ----------
    v : shaped like the inputs; may be left out for a single input of one element.

    The others are those of `vjp`.

    Returns
    -------
    The outputs, and a tensor for each of them, as a tuple where the outputs are one.
    """
    given = several(inputs, "inputs", "jvp")
    primals = renewed(given.tensors, create_graph, requires_grad=True)
    v = vector_for_inputs(v, primals, given.is_tuple, "jvp", create_graph)
    outputs = called(func, primals, "jvp", strict)
    cotangents = tuple(functions.zeros(out.shape, dtype=out.dtype, requires_grad=True) for out in outputs.tensors)
    pulled = gradients(outputs.tensors, primals, cotangents, True)
    for number, gradient in enumerate(pulled) if strict else ():
        if gradient is None:
            refuse(f"The output of the user-provided function is independent of input {number}")
        if not gradient.requires_grad:
            refuse(f"The gradient with respect to input {number} is independent of the inputs of the user-provided function")
    found = gradients(pulled, cotangents, v, create_graph)
    for number, tangent in enumerate(found) if strict else ():
        if tangent is None:
            refuse(
                f"The gradient with respect to the input is independent of entry {number} in the grad_outputs when using the double "
                "backward trick to compute forward mode gradients"
            )
        check_varies(tangent, "jacobian", number, create_graph)
    return outputs.restored(outputs.tensors, create_graph), outputs.restored(zeros_for_none(found, outputs.tensors), create_graph)


@enable_grad()
def vhp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The value of a function of one element, and the product of a vector with its Hessian.

    Parameters
    ----------
    v : shaped like the inputs; may be left out for a single input of one element.

    The others are those of `vjp`.

    Returns
    -------
    The output, and a tensor for each input, as a tuple where the inputs are one.
    """
    given = several(inputs, "inputs", "vhp")
    primals = renewed(given.tensors, create_graph, requires_grad=True)
    v = vector_for_inputs(v, primals, given.is_tuple, "vhp", create_graph)
    out, first = value_and_gradient(func, primals, "vhp", strict)
    found = gradients(first, primals, v, create_graph)
    for number, product in enumerate(found) if strict else ():
        if product is None:
            refuse(f"The jacobian of the user-provided function is independent of input {number}")
        check_varies(product, "hessian", number, create_graph)
    return out if create_graph else out.detach(), given.restored(zeros_for_none(found, primals), create_graph)


@enable_grad()
def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """The value of a function of one element, and the product of its Hessian with a vector.

    Where the Hessian is symmetric, as that of a function with continuous second derivatives is, `vhp` gives the same in less time.
    Parameters, results and errors are those of `vhp`.
    """
    given = several(inputs, "inputs", "hvp")
    primals = renewed(given.tensors, create_graph, requires_grad=True)
    v = vector_for_inputs(v, primals, given.is_tuple, "hvp", create_graph)
    out, first = value_and_gradient(func, primals, "hvp", strict)
    cotangents = tuple(functions.zeros(x.shape, dtype=x.dtype, requires_grad=True) for x in primals)
    second = gradients(first, primals, cotangents, True)
    found = gradients(second, cotangents, v, create_graph)
    for number, product in enumerate(found) if strict else ():
        if product is None:
            refuse(
                f"The hessian of the user-provided function is independent of entry {number} in the grad_jacobian",
                " as it prevents from using the double backward trick to replace forward mode AD.",
            )
        check_varies(product, "hessian", number, create_graph)
    return out if create_graph else out.detach(), given.restored(zeros_for_none(found, primals), create_graph)


# ---------------------------------------------------------------- matrices
def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = REVERSE,
) -> Any:
    """The Jacobian of a function.

    Parameters
    ----------
    func, inputs, create_graph, strict : as for `vjp`.
    vectorize : run one backward for all elements of the outputs, instead of one for each.
    strategy : "forward-mode" goes by the elements of the inputs instead; it needs `vectorize`, and knows no `create_graph` or `strict`.

    Returns
    -------
    For output i and input j a tensor whose shape is both of theirs in a row: `[i][j]` of a tuple of tuples, without the level that
    belongs to outputs or inputs where these are no tuple.
    """
    if strategy not in (FORWARD, REVERSE):
        raise AssertionError(
            f'Expected strategy to be either "{FORWARD}" or "{REVERSE}". Hint: If your function has more outputs than inputs, "{FORWARD}" '
            f'tends to be more performant. Otherwise, prefer to use "{REVERSE}". What was given is {strategy!r}.'
        )
    if strategy == FORWARD:
        for given, name, kind in ((create_graph, "create_graph", NotImplementedError), (strict, "strict", RuntimeError)):
            if given:
                raise kind(
                    f'torch.autograd.functional.jacobian: `{name}=True` and `strategy="{FORWARD}"` are not supported together (yet). '
                    f'Please either set `{name}=False` or `strategy="{REVERSE}"`.'
                )
        if not vectorize:
            several(inputs, "inputs", "jacobian")
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`. Pass "
                "vectorize=True as well."
            )
        return forward_jacobian(func, inputs)
    with enable_grad():
        ins = several(inputs, "inputs", "jacobian")
        primals = renewed(ins.tensors, create_graph, requires_grad=True)
        outputs = called(func, primals, "jacobian", strict)
        if not vectorize:
            blocks = [block_by_rows(number, out, primals, create_graph, strict) for number, out in enumerate(outputs.tensors)]
        elif strict:
            raise RuntimeError(
                "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported together. Please either set "
                "`strict=False` or `vectorize=False`."
            )
        else:
            blocks = blocks_at_once(outputs.tensors, primals, create_graph)
        if not blocks:
            refuse_nothing()
        return outputs.restored_nested(ins, blocks, create_graph)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = REVERSE,
) -> Any:
    """The Hessian of a function that returns one element, of any shape: the Jacobian of its gradient.

    Parameters
    ----------
    outer_jacobian_strategy : the `strategy` of that Jacobian.

    The others are those of `jacobian`.

    Returns
    -------
    For inputs i and j a tensor whose shape is both of theirs in a row: `[i][j]` of a tuple of tuples where the inputs are a tuple.
    """
    given = several(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in (FORWARD, REVERSE):
        raise AssertionError(
            f'Expected strategy to be either "{FORWARD}" or "{REVERSE}". The outer_jacobian_strategy given is {outer_jacobian_strategy!r}.'
        )

    def gradient(*primals: Tensor) -> Any:
        if outer_jacobian_strategy == FORWARD:
            primals = tuple(x.requires_grad_() for x in primals)
        with enable_grad():
            _, first = value_and_gradient(func, tuple(x.view_as(x) for x in primals), "hessian", strict)
        return given.restored(zeros_for_none(first, primals), True)

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


# ---------------------------------------------------------------- what goes in and comes out
class Several(NamedTuple):
    """What was given or returned: always as a tuple, and whether it was one."""

    tensors: tuple[Tensor, ...]
    is_tuple: bool

    def restored(self, results: Sequence[Tensor], create_graph: bool) -> Any:
        """One result for each of the tensors, in the form that these had."""
        if not results:
            refuse_nothing()
        found = tuple(results if create_graph else [x.detach() for x in results])
        return found if self.is_tuple else found[0]

    def restored_nested(self, inputs: Several, blocks: Sequence[Sequence[Tensor]], create_graph: bool) -> Any:
        """For each of these, outputs, a result for each input."""
        found = tuple(inputs.restored(row, create_graph) for row in blocks)
        return found if self.is_tuple else found[0]


def several(value: Any, what: str, function: str) -> Several:
    """A tensor or a tuple of tensors, and nothing else."""
    is_tuple = isinstance(value, tuple)
    tensors: tuple[Any, ...] = value if is_tuple else (value,)
    for number, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            which = f"value at index {number}" if is_tuple else f"given {what}"
            advice = " Write tuple(...) around it." if isinstance(tensor, list) else ""
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but the {which} has type "
                f"{type(tensor)}.{advice}"
            )
    return Several(tensors, is_tuple)


def renewed(tensors: Sequence[Tensor], create_graph: bool, requires_grad: bool) -> tuple[Tensor, ...]:
    """Other tensors over the same memory: what the function closes over is none of them, and is constant."""
    return tuple(x.view_as(x) if create_graph and x.requires_grad else leaf_over(x) if requires_grad else x.detach() for x in tensors)


def leaf_over(x: Tensor) -> Tensor:
    """A leaf over the same memory, for which nobody has to look for views of it, as `requires_grad_()` would: it is new.

    Refused where a transform around this differentiates by the tensor: from the leaf nothing would come back to it.
    """
    if x.requires_grad and nesting.call is not None:
        refuse_requires_grad()
    out: Tensor = x.detach()
    if out._a.dtype.kind not in "fc" or out._v is INFERENCE:
        return out.requires_grad_()
    out._node = LEAF
    out._cut = None
    return out


def called(func: Callable[..., Any], primals: Sequence[Tensor], function: str, strict: bool) -> Several:
    outputs = several(func(*primals), RESULTS, function)
    for number, out in enumerate(outputs.tensors) if strict else ():
        if not out.requires_grad:
            raise RuntimeError(
                f"Output {number} of the user-provided function does not require gradients. The outputs must be computed in a "
                "differentiable manner from the input when running in strict mode."
            )
    return outputs


def value_and_gradient(
    func: Callable[..., Any], primals: tuple[Tensor, ...], function: str, strict: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """What a function of one element returns, and its gradient, recorded."""
    outputs = called(func, primals, function, strict)
    if outputs.is_tuple:
        raise RuntimeError(
            f"The function given to {function} should return a single Tensor. It returned a tuple of {len(outputs.tensors)}."
        )
    (out,) = outputs.tensors
    if out._a.size != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {function} should contain a single element. Its shape is {list(out._a.shape)}."
        )
    found = gradients((out,), primals, None, True)
    for number, gradient in enumerate(found) if strict else ():
        if gradient is None and function != "hessian":
            refuse(f"The output of the user-provided function is independent of input {number}")
        if gradient is None or not gradient.requires_grad:
            refuse(
                "While computing the hessian, found that the jacobian of the user-provided function with respect to input "
                f"{number} is independent of the input",
                ". You should ensure that your function is twice differentiable and that the jacobian depends on the inputs (this would be "
                "violated by a linear function for example).",
            )
    return out, found


def vector_for_inputs(v: Any, primals: Sequence[Tensor], is_tuple: bool, function: str, create_graph: bool) -> Any:
    if v is not None:
        return checked_vector(v, primals, is_tuple, function, create_graph)
    if not is_single(primals):
        raise RuntimeError(
            "The vector v can only be None if the input to the user-provided function is a single Tensor with a single element. "
            f"It has {shapes(primals)}."
        )
    return None


def checked_vector(v: Any, like: Sequence[Tensor], is_tuple: bool, function: str, create_graph: bool) -> tuple[Tensor, ...]:
    """The vector, if it has the shapes that it must have."""
    vector = renewed(several(v, "v", function).tensors, create_graph, requires_grad=False)
    if len(vector) != len(like):
        if is_tuple:
            raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vector)}.")
        raise RuntimeError(f"The given v should contain a single Tensor. It contains {len(vector)}.")
    for number, (given, wanted) in enumerate(zip(vector, like, strict=True)):
        if given._a.shape != wanted._a.shape:
            raise RuntimeError(
                f"{f'Entry {number} in ' if is_tuple else ''}v has invalid size: should be {wanted.size()} but got {given.size()}."
            )
    return vector


def is_single(tensors: Sequence[Tensor]) -> bool:
    return len(tensors) == 1 and tensors[0]._a.size == 1


def shapes(tensors: Sequence[Tensor]) -> str:
    return f"{len(tensors)} of the shapes {', '.join(str(list(x._a.shape)) for x in tensors)}" if tensors else "none"


# ---------------------------------------------------------------- differentiating
def gradients(outputs: Sequence[Tensor | None], inputs: Sequence[Tensor], cotangents: Any, create_graph: bool) -> tuple[Tensor | None, ...]:
    """`grad` of those outputs that can be differentiated; None for an input that none of them depends on."""
    pairs = zip(outputs, [None] * len(outputs) if cotangents is None else cotangents, strict=True)
    kept = [(out, g) for out, g in pairs if out is not None and out.requires_grad]
    if not kept:
        return (None,) * len(inputs)
    outs, given = zip(*kept, strict=True)
    found: tuple[Tensor | None, ...] = grad(outs, inputs, given, create_graph=create_graph, allow_unused=True)
    return found


def zeros_for_none(found: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    return [functions.zeros_like(x) if gradient is None else gradient for gradient, x in zip(found, like, strict=True)]


def block_by_rows(number: int, out: Tensor, inputs: Sequence[Tensor], create_graph: bool, strict: bool) -> list[Tensor]:
    """The derivatives of one output by each input, a backward for each of its elements."""
    size = out._a.size
    if not size:
        raise RuntimeError(
            f"stack expects a non-empty TensorList: output {number}, of shape {list(out._a.shape)}, has no element to differentiate"
        )
    found = jacobian_rows(out, inputs, create_graph) if out.requires_grad else [None] * len(inputs)
    if strict:
        check_rows(found, size, number, create_graph)
    blocks = []
    for rows, x in zip(found, inputs, strict=True):
        if rows is None:
            block = functions.zeros((size, *x._a.shape), dtype=x.dtype)
        else:
            block = functions.stack(zeros_for_none(rows, [x] * size)) if isinstance(rows, list) else wrap(rows)
        blocks.append(block.view(out.size() + x.size()))
    return blocks


def check_rows(columns: Sequence[Any], size: int, number: int, create_graph: bool) -> None:
    """In strict mode, refuse an element of an output that does not depend on an input; and with `create_graph` one that depends on it
    in a way that cannot be differentiated once more."""
    for index in range(size):
        for position, rows in enumerate(columns):
            row = rows[index] if isinstance(rows, list) else rows
            if row is None:
                refuse(f"Output {number} of the user-provided function is independent of input {position}")
            if create_graph and not row.requires_grad:
                refuse(
                    f"The jacobian of the user-provided function is independent of input {number}",
                    f" when create_graph=True. (PyTorch gives the number of the output there: the derivative of output {number} by input "
                    f"{position} is constant.)",
                )


def blocks_at_once(outputs: Sequence[Tensor], inputs: Sequence[Tensor], create_graph: bool) -> list[list[Tensor]]:
    """The derivatives of each output by each input, with one batched backward."""
    sizes = [out._a.size for out in outputs]
    if outputs and not sum(sizes):
        raise IndexError("index 0 is out of bounds for dimension 0 with size 0: the outputs have no element to differentiate")
    kept = [(out, basis) for out, basis in zip(outputs, standard_basis(outputs), strict=True) if out.requires_grad]
    found: Any = [None] * len(inputs)
    if kept:
        outs, given = zip(*kept, strict=True)
        found = grad(outs, inputs, given, create_graph=create_graph, allow_unused=True, is_grads_batched=True)
    columns = []
    for rows, x in zip(found, inputs, strict=True):
        rows = functions.zeros_like(x).expand((sum(sizes), *x._a.shape)) if rows is None else rows
        columns.append([block.reshape(out.size() + x.size()) for block, out in zip(rows.split(sizes), outputs, strict=True)])
    return [[column[number] for column in columns] for number in range(len(outputs))]


def standard_basis(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All unit vectors of the space of these tensors' elements, of which there must be some tensors."""
    if not tensors:
        raise AssertionError("Expected at least one tensor. There is nothing to differentiate by, or nothing to be differentiated.")
    return unit_vectors(tensors, 0, sum(x._a.size for x in tensors))


def forward_jacobian(func: Callable[..., Any], inputs: Any) -> Any:
    """The Jacobian by its columns: what becomes of each unit vector as a tangent of the inputs."""
    given = several(inputs, "inputs", "jacobian")
    returned: list[Several] = []

    def push(*tangents: Tensor) -> tuple[Tensor, ...]:
        with dual_level():
            duals = [make_dual(x, tangent) for x, tangent in zip(given.tensors, tangents, strict=True)]
            outputs = several(func(*duals), RESULTS, "jacobian")
            unpacked = [unpack_dual(out) for out in outputs.tensors]
        returned[:] = [Several(tuple(primal for primal, _ in unpacked), outputs.is_tuple)]
        return tuple(functions.zeros_like(primal) if tangent is None else tangent for primal, tangent in unpacked)

    columns = at_once(push, standard_basis(given.tensors))
    sizes = [x._a.size for x in given.tensors]
    blocks = [
        [block.movedim(0, -1).reshape(out.size() + x.size()) for block, x in zip(column.split(sizes), given.tensors, strict=True)]
        for column, out in zip(columns, returned[0].tensors, strict=True)
    ]
    return returned[0].restored_nested(given, blocks, True)


def refuse(what: str, advice: str = ".") -> NoReturn:
    raise RuntimeError(f"{what}. {STRICT}{advice}")


def refuse_nothing() -> NoReturn:
    raise IndexError("tuple index out of range: there is no input to differentiate by, or no output to be differentiated")


def check_varies(derivative: Tensor, name: str, number: int, create_graph: bool) -> None:
    """In strict mode, refuse a derivative that was to be differentiated once more and cannot be."""
    if create_graph and not derivative.requires_grad:
        refuse(f"The {name} of the user-provided function is independent of input {number}", " when create_graph=True.")
