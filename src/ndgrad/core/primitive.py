"""`Primitive`: all that is known about an operation in one record, and `apply`, the door that every unusual call goes through.

A rule is a function of a namespace: `lambda xp, g, x: g * xp.cos(x)`. With `xp = raw` it computes on payloads (an ordinary
backward), with `xp = recorded` on tensors (derivatives of derivatives). Its parameter names say what it needs and therefore
what is saved: an operand's name, `out` (`out0`, `out1`... where there are several), a parameter of the operation, or
`<operand>_shape`, `<operand>_dtype`, which keep no array alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from inspect import unwrap
from numbers import Number
from types import MappingProxyType, SimpleNamespace
from typing import Any, NoReturn, cast

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import FLOATING, combine, dtype, from_numpy_dtype, get_default_dtype, number_dtype, numpy_dtype, promote_types
from ndgrad.base.location import NOWHERE, place, tracing
from ndgrad.base.quiet import run_quietly
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.types import Payload
from ndgrad.core.batches import deepest
from ndgrad.core.node import CONSTANT, Node, Port, backward_name, tick
from ndgrad.core.observers import observed_run
from ndgrad.core.packing import pack_residuals
from ndgrad.core.protocols import Operations
from ndgrad.core.pulls import Rule, pull_through, short_pull
from ndgrad.core.saved import Names
from ndgrad.core.tensor import INFERENCE, LEAF, Tensor, wrap
from ndgrad.core.views import View

#: What rules get as `xp`: the same names on both sides, filled as primitives are declared.
raw: Any = SimpleNamespace()
recorded = cast(Operations, SimpleNamespace())

# dtype policies: what the operands are converted to before the kernel sees them
KEEP = "keep"  # nothing: the kernel takes them as they are
PROMOTE = "promote"  # their common type
FLOAT = "float"  # their common type, integers becoming the default floating type

ELEMENTWISE, LINEAR, MULTILINEAR, GENERAL, NONDIFFERENTIABLE = "elementwise", "linear", "multilinear", "general", "nondifferentiable"


class Primitive:
    """An operation: its kernel, its family, its derivative rules and a few facts.

    Parameters
    ----------
    kernel : works on payloads. Its positional parameters name the operands, its keyword-only ones the other parameters.
    family : one of the five family names above.
    rules : one per operand, None where the operand has no derivative.
    joint : instead of `rules`, one function `(xp, g, needs, ...)` that returns all cotangents.
    policy : KEEP, PROMOTE or FLOAT.
    view : whether the output shares the operand's memory.
    variadic : whether the one operand is a sequence of tensors.
    outputs : how many outputs; 0 for a number that depends on the call.
    node_name : the name PyTorch prints for the node.
    jvp : for the general family, `(xp, tangents, ...)`; without one it is derived from the vjp.
    on_scalars : computes on NumPy scalars what the kernel computes on arrays; Python's operators do, ten times faster.
    batch : what `vmap` does instead of what it does with the family: `(level, mapped, *operands, **params)`, on tensors of the level below,
        those that are `mapped` with one more dim in front; NotImplemented for a case that it leaves to a loop.
    check : refuses converted payloads (or the operands as given), by their dtype; the lanes for float32 and float64 skip it.
    saved : PyTorch's names of what the node saves, where `core/saved.py` would list it under another one.
    product : an elementwise operation is linear in each operand while the others are held.
    undoes : the name of the product that it undoes: `product(out, y) == x`.
    rate : for Taylor mode, another way to write the jvp, `(xp, tangents, ...)`, that may give None where it does not hold.
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        family: str,
        *,
        name: str | None = None,
        rules: Sequence[Rule | None] = (),
        joint: Rule | None = None,
        policy: str = KEEP,
        view: bool = False,
        variadic: bool = False,
        outputs: int = 1,
        node_name: str | None = None,
        jvp: Rule | None = None,
        batch: Callable[..., Any] | None = None,
        on_scalars: Callable[..., Any] | None = None,
        check: Callable[[Sequence[Payload], Sequence[Any]], None] | None = None,
        saved: Names = MappingProxyType({}),
        product: bool = False,
        undoes: str | None = None,
        rate: Rule | None = None,
    ) -> None:
        self.kernel = kernel
        self.saved = saved
        self.on_scalars = on_scalars
        self.check = check
        self.product = product or family == MULTILINEAR
        self.undoes = undoes
        self.rate = rate
        #: What errors call the operation: the public function's name, once there is one.
        self.title = name or kernel.__name__
        self.family = family
        self.name = name or kernel.__name__
        self.operands, self.params = parameters(kernel)
        self.defaults: dict[str, Any] = getattr(unwrap(kernel), "__kwdefaults__", None) or {}
        self.joint = joint
        self.policy = policy
        self.view = view
        self.variadic = variadic
        self.outputs = outputs
        self.jvp = jvp
        self.batch = batch
        #: The operation as a function on tensors, a lane if it has one.
        self.call: Callable[..., Any] = self
        # a holomorphic map is written once, without conjugates: the adjoint of `t -> t * d` is `g -> conj(conj(g) * d)`
        self.conjugates = family in (ELEMENTWISE, MULTILINEAR)
        self.rules: tuple[Rule | None, ...] = tuple(rules) + (None,) * (len(self.operands) - len(rules))
        self.differentiable = joint is not None or any(rule is not None for rule in self.rules)
        self._plan()
        self.node_name = node_name or backward_name(self.name)
        self.Node = self._node_class(False)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    @cached_property
    def ComplexNode(self) -> type[Node]:
        """The node class for complex numbers, which must conjugate; made when first met."""
        return self._node_class(True) if self.conjugates else self.Node

    # ---------------------------------------------------------------- what the rules need
    def _plan(self) -> None:
        """Read off the rules' signatures which residuals and which facts each of them takes."""
        residuals: list[str] = []
        facts: list[str] = []
        names_of: list[list[str]] = []
        rules: list[Rule | None] = [self.joint] if self.joint else list(self.rules)
        first = 3 if self.joint else 2
        for rule in rules:
            names = [] if rule is None else list(parameters(rule)[0][first:])
            names_of.append(names)
            for name in names:
                is_residual = name in self.operands or output_number(name) is not None
                known = residuals if is_residual else facts
                if not is_residual and name not in self.params and name.rpartition("_")[0] not in self.operands:
                    raise TypeError(f"{self.name}: a rule asks for '{name}', which is no operand, output, parameter or fact of it")
                if name not in known:
                    known.append(name)
        self.residuals = tuple(residuals)
        # where each residual comes from: (whether it is an output, the number of the output or of the operand)
        self.sources = tuple(
            (False, self.operands.index(name)) if name in self.operands else (True, output_number(name) or 0) for name in residuals
        )
        self.facts = tuple(f for f in facts if f not in self.params)
        split = ((fact, *fact.rpartition("_")[::2]) for fact in self.facts)
        self.fact_sources = tuple((fact, self.operands.index(operand), what) for fact, operand, what in split)
        positions = {name: 3 * at for at, name in enumerate(residuals)}
        self.plans: list[list[tuple[int, str]]] = [[(positions.get(name, -1), name) for name in names] for names in names_of]
        self._wanted: dict[int, tuple[bool, ...]] = {}

    def wanted(self, mask: int) -> tuple[bool, ...]:
        """Which residuals are worth saving when the operands in `mask` need gradients."""
        found = self._wanted.get(mask)
        if found is None:
            names: set[str] = set()
            for i, plan in enumerate(self.plans):
                if self.joint or mask >> i & 1:
                    names.update(name for at, name in plan if at >= 0)
            found = self._wanted[mask] = tuple(name in names for name in self.residuals)
        return found

    def _node_class(self, conjugates: bool) -> type[Node]:
        primitive, joint, rules, plans = self, self.joint, self.rules, self.plans
        through = pull_through(joint, rules, plans, conjugates)

        def pull_values(self: Node, values: Any, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            return through(raw, self, values, g, parents)

        def pull_any(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            return through(raw, self, None if self.saved is None else self.check(), g, parents)

        def pull_recorded(self: Node, g: Any, parents: tuple[Any, ...]) -> tuple[Any, ...]:
            values: list[Any] = []  # three entries for each residual, as in `saved`
            for index in range(0 if self.saved is None else len(self.residuals)):
                values += (self.residual_tensor(index), None, None)
            return through(recorded, self, values, g, parents)

        def edge_of(self: Node, residual: str) -> Any:
            return self.parents[primitive.operands.index(residual)]

        members = {
            "__slots__": (),
            "__module__": __name__,
            "primitive": primitive,
            "residuals": primitive.residuals,
            "outputs": primitive.outputs,
            "shown": None if joint or self.variadic or None not in rules else tuple(i for i, rule in enumerate(rules) if rule),
            "pull": pull_any if joint or conjugates else short_pull(raw, rules, plans),
            "pull_recorded": pull_recorded,
            "pull_values": pull_values,
            "edge_of": edge_of,
        }
        if "::" in self.node_name:
            members["printed_name"] = self.node_name
        return type(self.node_name.rpartition("::")[2], (Node,), members)

    # ---------------------------------------------------------------- the transpose of a view
    def transpose_arguments(self, array: Any, params: dict[str, Any]) -> list[Any]:
        """What the rule of a view primitive takes when the view is made of `array`."""
        known = facts(self, [array], params)
        return [known[name] for _, name in self.plans[0]]

    def transpose_raw(self, g: Any, arguments: list[Any]) -> Any:
        rule: Any = self.rules[0]
        return rule(raw, g, *arguments)

    def transpose_recorded(self, g: Any, arguments: list[Any]) -> Any:
        rule: Any = self.rules[0]
        return rule(recorded, g, *arguments)

    # ---------------------------------------------------------------- the door
    def __call__(self, *operands: Any, **params: Any) -> Any:
        return apply(self, operands, params)


def parameters(function: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the positional and of the keyword-only parameters; `inspect.signature` says the same, ten times slower."""
    if isinstance(function, np.ufunc):
        return ("x", "y")[: function.nin], ()
    given = getattr(function, "__signature__", None)
    if given is not None:
        named = given.parameters.values()
        positional = tuple(each.name for each in named if each.kind is not each.KEYWORD_ONLY)
        return positional, tuple(each.name for each in named if each.kind is each.KEYWORD_ONLY)
    code = unwrap(function).__code__
    first, last = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    return code.co_varnames[:first], code.co_varnames[first:last]


def output_number(name: str) -> int | None:
    """Which output a rule asks for by a name: `out` where there is one, `out0`, `out1`... where there are several; None if by another."""
    if name == "out":
        return 0
    return int(name[3:]) if name.startswith("out") and name[3:].isdigit() else None


def apply(primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run a primitive on anything it accepts: convert, compute, wrap, record."""
    mode = modes.current()
    if mode.quick is not None:
        found = mode.quick.apply_quickly(primitive, operands, params)
        if found is not NotImplemented:
            return found
    given: Any = tuple(operands[0]) if primitive.variadic else operands
    policy = primitive.policy
    payloads: list[Any] = []
    common: Any = None
    needs = mixed = False
    for position, value in enumerate(given):
        if isinstance(value, Tensor):
            view = value._view
            if view is not None and view.seen != value._v[0]:
                view.refresh(value)
            if value._node is not None:
                needs = True
            payload = value._memory() if primitive.view else value._a
            kind = payload.dtype
            if common is None:
                common = kind
            elif kind is not common:
                mixed = True
            payloads.append(payload)
        elif value is None:
            payloads.append(None)
        elif policy != KEEP and isinstance(value, (Number, np.generic)):
            mixed = True
            payloads.append(value)
        else:
            operand_error(primitive, position, value)
    if common is None:
        operand_error(primitive, 0, given[0] if given else None)
    if mode.observers:
        level = deepest(payloads)
        if level is not None:
            return level.apply(primitive, given, payloads, params, mode)
    if policy != KEEP and (mixed or (policy == FLOAT and common.kind not in "fc")):
        payloads = convert(primitive, given, payloads)
    if primitive.check is not None:
        primitive.check(payloads, given)
    arguments = (payloads,) if primitive.variadic else payloads
    try:
        if mode.observers:
            compute = partial(run_quietly, primitive.kernel, *arguments, **params)
            computed = observed_run(mode.observers, primitive, given, params, compute)
        else:
            computed = run_quietly(primitive.kernel, *arguments, **params)
    except (ValueError, IndexError) as error:
        kernel_error(primitive, payloads, error)
    node = None
    if needs and mode.grad and not mode.inference and primitive.differentiable:
        node = record(primitive, given, payloads, params, computed)
    result: Any
    if primitive.outputs == 1:
        result = output(primitive, given, params, computed, node, mode, None)
    else:
        result = tuple(output(primitive, given, params, one, node, mode, number) for number, one in enumerate(computed))
    if mode.special:
        if node is not None and type(mode.saved_hooks) is tuple:
            pack_residuals(node, given, result, mode.saved_hooks)
        for observer in mode.observers:
            if node is not None:
                observer.recorded(node)
            observer.done(primitive, given, payloads, params, result)
    return result


def output(
    primitive: Primitive, operands: Any, params: dict[str, Any], payload: Payload, node: Any, mode: modes.Modes, number: int | None
) -> Tensor:
    """Wrap one output: its node (or port), its view of the operand, its part in inference mode."""
    if node is None:
        out = wrap(payload)
    elif number is None:
        out = wrap(payload, node)
        if "out" in primitive.residuals:
            out._v = saved_cell(node, "out")
    else:
        out = wrap(payload, Port(node, number) if payload.dtype.kind in "fc" else None)
        if f"out{number}" in primitive.residuals:
            out._v = saved_cell(node, f"out{number}")
    if primitive.view:
        base = operands[0]
        out._v = base._v if base._v is INFERENCE else base._cell()
        if base._v is not INFERENCE:
            if base._node is not None and (not mode.grad or mode.inference):
                out._node = LEAF  # a view of a parameter taken in no_grad still requires grad
            step = (primitive, params if number is None else {**params, "number": number})
            out._view = View.of(base, step, mode, multi=number is not None)
    elif mode.inference:
        out._v = INFERENCE
    return out


def saved_cell(node: Node, name: str) -> Any:
    return node.saved[3 * node.residuals.index(name) + 1] if node.saved is not None else None


def record(primitive: Primitive, operands: Any, payloads: list[Any], params: dict[str, Any], computed: Any) -> Node | None:
    """The node of a call whose operands need gradients, with just the residuals that its rules will ask for."""
    results: Any = (computed,) if primitive.outputs == 1 else computed
    if results[0].dtype.kind not in "fc" and not any(result.dtype.kind in "fc" for result in results[1:]):
        return None
    every = primitive.variadic or primitive.joint
    edges: list[Any] = []
    mask = 0
    conjugates = primitive.conjugates and results[0].dtype.kind == "c"
    for position, value in enumerate(operands):
        edge = None
        if isinstance(value, Tensor):
            edge = value._node
            if edge is not None:
                if not every and primitive.rules[position] is None:
                    edge = None
                else:
                    mask |= 1 << position
                    if edge is LEAF:
                        edge = value
            if primitive.conjugates and payloads[position].dtype.kind == "c":
                conjugates = True
        edges.append(edge)
    if not mask:
        return None
    node = primitive.ComplexNode() if conjugates else primitive.Node()
    node.parents = tuple(edges)
    node.extra = None
    node.number = tick()
    node.code, node.lasti = place(2) if tracing.on else NOWHERE
    if primitive.outputs == 1:
        node.shape, node.dtype = computed.shape, computed.dtype
    else:
        node.shape, node.dtype = tuple(r.shape for r in results), tuple(r.dtype for r in results)
    if len(params) < len(primitive.params):
        params = {**primitive.defaults, **params}
    node.params = facts(primitive, payloads, params) if primitive.facts else params
    node.saved = save(primitive, operands, payloads, results, mask) if primitive.residuals else None
    return node


def facts(primitive: Primitive, payloads: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """The parameters together with the shapes and dtypes that the rules ask for."""
    known = dict(params)
    for fact, position, what in primitive.fact_sources:
        if primitive.variadic:
            known[fact] = tuple([getattr(payload, what) for payload in payloads])
        else:
            payload = payloads[position]
            known[fact] = getattr(np.asarray(payload) if isinstance(payload, (bool, int, float, complex)) else payload, what)
    return known


def save(primitive: Primitive, operands: Any, payloads: list[Any], results: Any, mask: int) -> tuple[Any, ...] | None:
    """The residuals: a payload, its version cell and its version, three entries each."""
    wanted = primitive.wanted(mask)
    if True not in wanted:
        return None
    saved: list[Any] = []
    for (is_output, position), want in zip(primitive.sources, wanted, strict=True):
        if not want:
            saved += (None, CONSTANT, 0)
        elif is_output:
            saved += (results[position], [0], 0)
        else:
            value = operands[position]
            cell = value._cell() if isinstance(value, Tensor) else CONSTANT
            saved += (payloads[position], cell, cell[0])
    return tuple(saved)


# ---------------------------------------------------------------- conversion
def result_dtype(values: Sequence[Any]) -> dtype:
    """PyTorch's common type of tensors and numbers: arrays before 0-d tensors before Python numbers, within a category."""
    dims: dtype | None = None
    zero_dim: dtype | None = None
    numbers: dtype | None = None
    for value in values:
        if isinstance(value, Tensor):
            own = from_numpy_dtype[value._a.dtype]
            if value._a.ndim:
                dims = own if dims is None else promote_types(dims, own)
            else:
                zero_dim = own if zero_dim is None else promote_types(zero_dim, own)
        elif value is not None:
            own = number_dtype(value)
            numbers = own if numbers is None else promote_types(numbers, own)
    return combine(dims, zero_dim, numbers)


def computing_dtype(primitive: Primitive, operands: Sequence[Any]) -> dtype:
    """The dtype that the primitive computes in, if it is not KEEP."""
    wanted = result_dtype(operands)
    return get_default_dtype() if primitive.policy == FLOAT and wanted.category < FLOATING else wanted


def convert(primitive: Primitive, operands: Sequence[Any], payloads: list[Any]) -> list[Any]:
    """The payloads in that dtype."""
    target = numpy_dtype(computing_dtype(primitive, operands))
    converted: list[Any] = []
    for payload in payloads:
        if payload is None:
            converted.append(None)
        elif isinstance(payload, (np.ndarray, np.generic)):
            converted.append(payload if payload.dtype == target else payload.astype(target))
        else:
            converted.append(np.asarray(payload).astype(target))
    return converted


# ---------------------------------------------------------------- errors
def operand_error(primitive: Primitive, position: int, value: Any) -> NoReturn:
    """Refuse an operand that is no tensor, saying which one and what to write instead."""
    if primitive.variadic:
        where = f"element {position} of argument 'tensors'"
    else:
        name = primitive.operands[position] if position < len(primitive.operands) else f"argument {position}"
        name = {"x": "input", "y": "other"}.get(name, name)
        where = f"argument '{name}' (position {position + 1})"
    kind = "numpy.ndarray" if isinstance(value, np.ndarray) else type(value).__name__
    message = f"{primitive.title}(): {where} must be Tensor, not {kind}"
    if isinstance(value, np.ndarray):
        message += "; write ndgrad.from_numpy(array) to use the array's memory as a tensor"
    elif isinstance(value, (list, tuple)):
        message += "; write ndgrad.tensor(...) to make a tensor of it"
    raise TypeError(message)


def kernel_error(primitive: Primitive, payloads: list[Any], error: Exception) -> NoReturn:
    """Turn NumPy's complaint into PyTorch's."""
    if primitive.family in (ELEMENTWISE, NONDIFFERENTIABLE) and primitive.policy != KEEP:
        broadcast_shapes(*(np.shape(payload) for payload in payloads if payload is not None))
    if isinstance(error, IndexError):
        raise error
    shapes = ", ".join(str(list(np.shape(payload))) for payload in payloads if payload is not None)
    raise RuntimeError(f"{primitive.title}(): {error} (shapes given: {shapes})") from error
