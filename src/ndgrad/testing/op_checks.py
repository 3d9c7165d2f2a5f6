"""What is checked of every operation in the table. Each check raises AssertionError with the operation and its sample."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ndgrad.autograd.gradients import grad
from ndgrad.base.dtypes import (
    COMPLEX,
    FLOATING,
    bool_,
    complex64,
    complex128,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    promote_types,
    uint8,
)
from ndgrad.base.shapes import broadcast_shapes
from ndgrad.base.types import Array
from ndgrad.core.observers import observing
from ndgrad.core.primitive import ELEMENTWISE, FLOAT, KEEP, NONDIFFERENTIABLE
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.ops.declare import Entry, table
from ndgrad.testing.cases import Case, cases_of, flatten, no_recording
from ndgrad.testing.comparison import assert_close
from ndgrad.testing.finite_differences import all_reals, directional, jacobian
from ndgrad.testing.inputs import Maker, Sample, Spec
from ndgrad.testing.samples import default_spec, function_of, spec_of

RTOL, ATOL = 2e-5, 2e-6


def about(*subjects: object) -> Callable[[str], str]:
    """For `assert_close`: a message that says what it is about."""
    return lambda text: ": ".join([*map(str, subjects), text])


def random_like(arrays: Sequence[Any], seed: int) -> list[Any]:
    """Random numbers in the shapes and dtypes of some arrays: cotangents, tangents, directions."""
    generator = np.random.default_rng([seed, 77])
    found: list[Any] = []
    for array in arrays:
        values: Any = generator.uniform(-1, 1, np.shape(array))
        if array.dtype.kind == "c":
            values = values + 1j * generator.uniform(-1, 1, np.shape(array))
        found.append(np.asarray(values).astype(array.dtype))
    return found


def require_close(case: Any, what: str, ours: Any, expected: Any, rtol: float = RTOL, atol: float = ATOL) -> None:
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape, f"{case}: {what} has shape {ours.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    if not np.allclose(ours, expected, rtol=rtol, atol=atol * scale, equal_nan=True):
        raise AssertionError(f"{case}: {what} is\n{ours}\nexpected\n{expected}")


# ---------------------------------------------------------------- derivatives
def check_vjp(case: Case) -> None:
    """The gradients against the Jacobian by central differences, for two random cotangents."""
    outs = case.outputs()
    matrix = jacobian(case.on_arrays, case.arrays)
    for seed in (1, 2):
        cotangents = random_like([out._a for out in outs], seed)
        found = case.pull(cotangents)
        for leaf, g in zip(case.leaves, found, strict=True):
            assert g.shape == leaf.shape, f"{case}: gradient of shape {list(g.shape)} for an operand of shape {list(leaf.shape)}"
            assert g.dtype is leaf.dtype, f"{case}: gradient of {g.dtype} for an operand of {leaf.dtype}"
        expected = matrix.T @ all_reals(cotangents)
        require_close(case, "the gradient", all_reals([g._a for g in found]), expected)


def check_jvp(case: Case) -> None:
    """Tangents pushed forward by the rules, on payloads and on tensors, for all operands together and for each alone."""
    matrix = jacobian(case.on_arrays, case.arrays)
    tangents = random_like(case.arrays, 3)
    subsets = [tuple(True for _ in tangents)]
    if len(tangents) > 1:
        subsets += [tuple(i == j for j in range(len(tangents))) for i in range(len(tangents))]
    for subset in subsets:
        chosen = [t if keep else np.zeros_like(t) for t, keep in zip(tangents, subset, strict=True)]
        expected = matrix @ all_reals(chosen)
        for recorded in (False, True):
            only = case.moved((), ())
            only.leaves = [leaf for leaf, keep in zip(case.leaves, subset, strict=True) if keep]
            found = only.push([t for t, keep in zip(tangents, subset, strict=True) if keep], recorded=recorded)
            for t, out in zip(found, case.outputs(), strict=True):
                assert t.shape == out.shape and t.dtype == out._a.dtype, (
                    f"{case}: a tangent of shape {list(t.shape)} and {t.dtype} for an output of {list(out.shape)} and {out._a.dtype}"
                )
            how = "recorded" if recorded else "raw"
            require_close(case, f"the {how} tangent (operands with one: {subset})", all_reals(found), expected)


def check_forward_over_reverse(case: Case) -> None:
    """The tangents of gradients in forward mode against the double backward, by one inner product."""
    outs = case.outputs()
    cotangents = random_like([out._a for out in outs], 4)
    tangents, weights = random_like(case.arrays, 3), random_like(case.arrays, 5)
    level = case.level(tangents)
    with observing(level):
        gradients = case.pull(cotangents)
        pushed = [level.tangent(g) for g in gradients]
    assert not any(g.requires_grad for g in gradients)
    forward = sum(inner(w, t._a) for w, t in zip(weights, pushed, strict=True) if t is not None)
    recorded = [(g, wrap(w)) for g, w in zip(case.pull(cotangents, create_graph=True), weights, strict=True) if g.requires_grad]
    second: Any = ()
    if recorded:
        second = grad([g for g, _ in recorded], case.leaves, [w for _, w in recorded], materialize_grads=True)
    reverse = sum(inner(t, g._a) for t, g in zip(tangents, second, strict=bool(recorded)))
    require_close(case, "the tangent of the gradient", np.asarray(forward), np.asarray(reverse), 1e-8, 1e-9)


def inner(a: Any, b: Any) -> Any:
    """The inner product of arrays, complex numbers taken as pairs of real ones."""
    return np.vdot(as_pairs(np.asarray(a)), as_pairs(np.asarray(b)))


def check_double_backward(case: Case) -> None:
    """Gradients under create_graph against the ordinary ones, and their derivatives against finite differences of the ordinary ones."""
    outs = case.outputs()
    cotangents = random_like([out._a for out in outs], 4)
    weights = random_like(case.arrays, 5)
    plain = case.pull(cotangents)
    leaves = [wrap(np.array(g)) for g in cotangents]
    for leaf in leaves:
        leaf.requires_grad = True
    recorded = case.pull(leaves, create_graph=True)
    require_close(
        case, "the gradient under create_graph", all_reals([g._a for g in recorded]), all_reals([g._a for g in plain]), 1e-9, 1e-10
    )
    roots = [(g, wrap(w)) for g, w in zip(recorded, weights, strict=True) if g.requires_grad]
    inputs = [*case.leaves, *leaves]
    second: list[Any] = [wrap(np.zeros_like(np.asarray(t._a))) for t in inputs]
    if roots:
        second = list(grad([g for g, _ in roots], inputs, [w for _, w in roots], materialize_grads=True))
    points = [np.array(t._a) for t in inputs]
    count = len(case.leaves)

    def weighted(arrays: list[Array]) -> list[Array]:
        moved = [wrap(np.array(array)) for array in arrays[:count]]
        for leaf in moved:
            leaf.requires_grad = True
        found = case.moved(case.leaves, moved).pull(arrays[count:])
        return [np.asarray(sum(np.vdot(as_pairs(w), as_pairs(np.asarray(g._a))) for w, g in zip(weights, found, strict=True)))]

    for seed in (6, 7):
        direction = all_reals(random_like(points, seed))
        expected = directional(weighted, points, direction)
        found = np.asarray([np.dot(all_reals([t._a for t in second]), direction)])
        require_close(case, "the second derivative", found, expected, 1e-4, 1e-5)


def as_pairs(array: Array) -> Array:
    return all_reals([array])


# ---------------------------------------------------------------- values
def check_forward(case: Case, *, expects_gradient: bool) -> None:
    """The call leaves its arguments alone, gives the same twice and without recording, and records where it should."""
    before = [np.array(t._a) for t in case.sample.tensors()]
    first = case.call()
    for t, old in zip(case.sample.tensors(), before, strict=True):
        assert np.array_equal(t._a, old, equal_nan=old.dtype.kind in "fc"), f"{case}: an argument was changed"
        assert not t._version, f"{case}: the version of an argument was counted up"
    with no_recording():
        second = case.call()
    assert_close(flatten(second), flatten(first), rtol=0, atol=0, equal_nan=True, msg=lambda text: f"{case}: without recording: {text}")
    for out in flatten(second):
        assert out.grad_fn is None, f"{case}: recorded under no_grad"
    outs = [out for out in flatten(first) if out._a.dtype.kind in "fc"]
    if case.leaves and expects_gradient:
        assert outs and any(out.requires_grad for out in outs), f"{case}: no output requires grad"
    if not expects_gradient:
        assert not any(out.requires_grad and not out.is_leaf for out in outs), f"{case}: an output requires grad"


def check_single_precision(name: str, narrow: dtype, wide: dtype) -> None:
    """The same values in float32 (complex64): the same results to its precision, in the dtypes that correspond."""
    counterpart = {float64: float32, complex128: complex64}
    for small, large in zip(cases_of(name, narrow), cases_of(name, wide), strict=True):
        ours, theirs = flatten(small.call()), flatten(large.call())
        assert len(ours) == len(theirs), f"{small}: {len(ours)} outputs in {narrow}, {len(theirs)} in {wide}"
        for x, y in zip(ours, theirs, strict=True):
            assert x.dtype in (counterpart.get(y.dtype, y.dtype), y.dtype), f"{small}: {x.dtype} where {wide} gives {y.dtype}"
            assert_close(x, y, rtol=2e-4, atol=2e-5, equal_nan=True, check_dtype=False, msg=about(small))
        differentiable = [(x, y) for x, y in zip(ours, theirs, strict=True) if x.requires_grad and not x.is_leaf]
        if not differentiable or not small.leaves:
            continue
        cotangents = random_like([y._a for y in large.outputs()], 8)
        found = small.pull([g.astype(x._a.dtype) for g, x in zip(cotangents, small.outputs(), strict=True)])
        for leaf, g, wanted in zip(small.leaves, found, large.pull(cotangents), strict=True):
            assert g.dtype is leaf.dtype, f"{small}: gradient of {g.dtype} for an operand of {leaf.dtype}"
            require_close(small, "the gradient in single precision", g._a, wanted._a, 2e-3, 2e-4)


def check_noncontiguous(name: str) -> None:
    """Arguments that skip memory give what contiguous ones give, gradients too."""
    for spread, plain in zip(cases_of(name, noncontiguous=True), cases_of(name), strict=True):
        ours, theirs = flatten(spread.call()), flatten(plain.call())
        assert_close(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True, msg=about(spread, "non-contiguous"))
        if any(out.requires_grad and not out.is_leaf for out in theirs) and plain.leaves:
            cotangents = random_like([out._a for out in plain.outputs()], 9)
            for g, wanted in zip(spread.pull(cotangents), plain.pull(cotangents), strict=True):
                require_close(spread, "the gradient from non-contiguous arguments", g._a, wanted._a, 1e-10, 1e-12)


# ---------------------------------------------------------------- shapes and dtypes of elementwise operations
SHAPES_OF_ONE: tuple[tuple[tuple[int, ...], ...], ...] = (((),), ((0,),), ((2, 0, 3),), ((1,),), ((2, 1, 3),))
SHAPES_OF_TWO: tuple[tuple[tuple[int, ...], ...], ...] = (
    *(((), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 1, 3), (4, 1))),
    *(((0,), (1,)), ((0, 3), (3,)), ((0,), ()), ((1,), (0, 1))),
)


def is_plain_elementwise(entry: Entry) -> bool:
    """Whether broadcasting and promotion of the operation follow from its primitive alone."""
    primitive = entry.primitive
    return (
        primitive is not None
        and primitive.family in (ELEMENTWISE, NONDIFFERENTIABLE)
        and primitive.policy != KEEP
        and not primitive.params
        and not primitive.variadic
        and primitive.outputs == 1
        and len(primitive.operands) in (1, 2)
        and default_spec(entry) is not None
    )


def check_shapes(name: str) -> None:
    """Empty, 0-d and broadcast operands: the shape of the result, each element, and the shapes of the gradients."""
    entry = table[name]
    primitive: Any = entry.primitive
    spec = spec_of(name)
    kind = int64 if spec.integers else float64
    low, high = entry.domain or ((0, 5) if spec.integers else (-2.0, 2.0))
    shapes = SHAPES_OF_ONE if len(primitive.operands) == 1 else SHAPES_OF_TWO
    for wanted in shapes:
        maker = Maker(kind)
        operands = [maker(*shape, low=low, high=high) for shape in wanted]
        case = Case(name, function_of(entry.name), Sample(*operands))
        out = case.call()
        shape = broadcast_shapes(*wanted)
        assert tuple(out.shape) == shape, f"{case}: the result has shape {list(out.shape)}, expected {list(shape)}"
        flat = [np.array(np.broadcast_to(x._a, shape)).ravel() for x in operands]
        for position in range(out.numel()):
            with no_recording():
                one = function_of(entry.name)(*(wrap(x[position : position + 1]) for x in flat))
            assert_close(out.detach().reshape(-1)[position].reshape(1), one, equal_nan=True, msg=about(case, "element"))
        if out.requires_grad:
            for x, g in zip(case.leaves, case.pull([np.ones(shape)]), strict=True):
                assert g.shape == x.shape, f"{case}: gradient of shape {list(g.shape)} for an operand of shape {list(x.shape)}"


DTYPES = (bool_, uint8, int32, int64, float32, float64, complex64, complex128)


def check_promotion(name: str) -> None:
    """The dtype of the result for every pair of dtypes, 0-d tensors and Python numbers included."""
    entry = table[name]
    primitive: Any = entry.primitive
    always_bool = function_of(entry.name)(*sample_in(entry, float64)).dtype is bool_
    for kinds in itertools.product(DTYPES, repeat=len(primitive.operands)):
        operands = [x for x, kind in zip(sample_in(entry, None, kinds), kinds, strict=True) if x.dtype is kind]
        wanted = kinds[0] if len(kinds) == 1 else promote_types(*kinds)
        _require_dtype(name, entry, operands, wanted, always_bool)
    if len(primitive.operands) == 2:
        for kind in DTYPES:
            array, other = sample_in(entry, kind)
            _require_dtype(name, entry, [array, other.reshape(())], kind, always_bool)
            for number in (True, 2, 1.5, 1.5j):
                _require_dtype(name, entry, [array, number], weak(kind, number), always_bool)


def weak(kind: dtype, number: Any) -> dtype:
    """What an array and a Python number promote to: the number counts by category only."""
    category = {bool: 0, int: 1, float: FLOATING, complex: COMPLEX}[type(number)]
    if category <= kind.category:
        return kind
    return {1: int64, FLOATING: get_default_dtype(), COMPLEX: (kind if kind.is_floating_point else get_default_dtype()).to_complex()}[
        category
    ]


def sample_in(entry: Entry, kind: dtype | None, kinds: Sequence[dtype] | None = None) -> list[Any]:
    primitive: Any = entry.primitive
    low, high = entry.domain or (0.1, 2.0)
    chosen = kinds or [kind or float64] * len(primitive.operands)
    return [Maker(one, requires_grad=False)(1, low=low, high=high) for one in chosen]


def _require_dtype(name: str, entry: Entry, operands: list[Any], wanted: dtype, always_bool: bool) -> None:
    primitive: Any = entry.primitive
    case = f"{name}{Sample(*operands)}"
    try:
        with no_recording():
            out = function_of(entry.name)(*operands)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        assert str(error), f"{case}: {type(error).__name__} without a message"
        if "must be Tensor" in str(error) and not all(isinstance(x, Tensor) for x in operands):
            return
        # torch implements no operation for every dtype; which ones is compared with torch itself
        every = all(x.dtype.is_floating_point if isinstance(x, Tensor) else not isinstance(x, complex) for x in operands)
        assert not every or spec_of(name).integers, f"{case}: {error}"
        return
    if primitive.policy == FLOAT and wanted.category < FLOATING:
        wanted = get_default_dtype()
    if always_bool:
        wanted = bool_
    real = wanted.to_real() if wanted.is_complex else wanted
    assert out.dtype in (wanted, real), f"{case}: the result is {out.dtype}, expected {wanted}"


# ---------------------------------------------------------------- in place
def in_place_cases(name: str) -> list[Case]:
    """The samples whose result fits into their first argument, in the dtype of the samples."""
    found: list[Case] = []
    for case in cases_of(name):
        target = case.sample.args[0] if case.sample.args else None
        if not isinstance(target, Tensor) or not target.requires_grad or not target.is_leaf:
            continue
        if any(t is target for value in (*case.sample.args[1:], *case.sample.kwargs.values()) for t in flatten(value)):
            continue
        out = case.call()
        if isinstance(out, Tensor) and out.shape == target.shape and out.dtype is target.dtype:
            found.append(case)
    return found


def check_in_place(case: Case, twin: Callable[..., Any]) -> None:
    """`name_` against `name`: value, identity, version, gradients, and that a saved value which it overwrites is noticed."""
    target: Any = case.sample.args[0]
    rest, kwargs = case.sample.args[1:], case.sample.kwargs
    expected = case.call()
    cotangent = random_like([expected._a], 10)[0]
    wanted = case.pull([cotangent])

    base = target.clone()
    version = base._version
    case.seed()
    returned = twin(base, *rest, **kwargs)
    assert returned is base, f"{case}: the in-place twin does not return its target"
    changes = not np.array_equal(expected._a, target._a, equal_nan=True)
    assert base._version > version or not changes, f"{case}: the in-place twin does not count up the version"
    require_close(case, "the in-place result", base.detach()._a, expected.detach()._a, 0, 0)
    if expected.requires_grad:
        found = grad(base, case.leaves, wrap(cotangent), materialize_grads=True)
        require_close(
            case, "the gradient through the in-place twin", all_reals([g._a for g in found]), all_reals([g._a for g in wanted]), 1e-9, 1e-10
        )

    if changes:
        _check_saved_value(case, twin)
    _check_through_view(case, twin, expected)


def _check_saved_value(case: Case, twin: Callable[..., Any]) -> None:
    target: Any = case.sample.args[0]
    other = target.clone()
    square = other * other  # saves `other`
    case.seed()
    twin(other, *case.sample.args[1:], **case.sample.kwargs)
    try:
        grad(square, [target], wrap(np.ones_like(square._a)))
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error), f"{case}: {error}"
    else:
        raise AssertionError(f"{case}: the in-place twin overwrote a saved value and nobody noticed")


def _check_through_view(case: Case, twin: Callable[..., Any], expected: Tensor) -> None:
    """The twin on a row of a wider leaf's copy: the base, its gradient and an older view of it all follow."""
    target: Any = case.sample.args[0]
    rest, kwargs = case.sample.args[1:], case.sample.kwargs
    wide = wrap(np.stack([np.asarray(target._a) + 0.25, np.asarray(target._a)]))
    wide.requires_grad = True
    base = wide.clone()
    older, view = base[1], base[1]
    case.seed()
    twin(view, *rest, **kwargs)
    wanted = np.array(wide._a)
    wanted[1] = expected._a
    require_close(case, "the base after the in-place twin on a view", base.detach()._a, wanted, 0, 0)
    cotangent, on_view = random_like([wanted, expected._a], 11)
    inner = case.pull([cotangent[1] + on_view]) if expected.requires_grad else [np.zeros_like(array) for array in case.arrays]
    found = grad([base, older], [wide, *case.leaves[1:]], [wrap(cotangent), wrap(on_view)], materialize_grads=True)
    through = np.array(cotangent)
    through[1] = inner[0]._a if isinstance(inner[0], Tensor) else 0
    require_close(case, "the gradient of the base through the in-place twin on a view", found[0]._a, through, 1e-9, 1e-10)
    for ours, theirs in zip(found[1:], inner[1:], strict=True):
        require_close(
            case,
            "the gradient of another operand through a view",
            ours._a,
            theirs._a if isinstance(theirs, Tensor) else theirs,
            1e-9,
            1e-10,
        )


# ---------------------------------------------------------------- out=
def check_out(case: Case, function: Callable[..., Any]) -> None:
    """`out=`: written, resized from empty, returned; refused where a gradient would be lost."""
    sample = case.sample.map(lambda t: t.detach())
    case.seed()
    expected = function(*sample.args, **sample.kwargs)
    several = isinstance(expected, tuple)
    for shaped in (True, False):
        targets = [wrap(np.zeros(e.shape if shaped else 0, e._a.dtype)) for e in flatten(expected)]
        case.seed()
        returned = function(*sample.args, out=tuple(targets) if several else targets[0], **sample.kwargs)
        for one, target, wanted in zip(flatten(returned), targets, flatten(expected), strict=True):
            assert one is target, f"{case}: out= does not return its target"
            assert_close(target, wanted, rtol=0, atol=0, equal_nan=True, msg=lambda text: f"{case}: out=: {text}")
    if case.leaves and any(out.requires_grad for out in flatten(case.call())):
        targets = [wrap(np.zeros(e.shape, e._a.dtype)) for e in flatten(expected)]
        try:
            function(*case.sample.args, out=tuple(targets) if several else targets[0], **case.sample.kwargs)
        except RuntimeError as error:
            assert "don't support automatic differentiation" in str(error), f"{case}: {error}"
        else:
            raise AssertionError(f"{case}: out= with an argument that requires grad is not refused")


def supports_complex(name: str, spec: Spec) -> str:
    """Empty if the operation takes complex numbers, else what it says when it gets them."""
    try:
        for case in cases_of(name, complex128):
            with no_recording():
                case.call()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
