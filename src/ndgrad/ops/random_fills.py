"""`uniform_`, `normal_` and the other in-place fills, what they make of a tensor's history, and their out-of-place kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.dtypes import cpp_name, type_name
from ndgrad.base.quiet import run_quietly
from ndgrad.base.shapes import broadcast_shapes, check_expandable
from ndgrad.base.types import Array
from ndgrad.core.batches import batch_of, values
from ndgrad.core.batching import BatchLevel
from ndgrad.core.inplace import check_examples, check_recorded, check_target, check_writable, shadow
from ndgrad.core.inplace import finish as finish_write
from ndgrad.core.observers import Observer, announce
from ndgrad.core.tensor import Tensor
from ndgrad.kernels import distributions
from ndgrad.kernels.mersenne import Mersenne
from ndgrad.ops import batch_rules
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.arithmetic import zero
from ndgrad.ops.creation import boxed, finish, levels_of, like_array, read_size
from ndgrad.ops.declare import Operation, function, general
from ndgrad.ops.random_numbers import Generator, drawn_like, drawn_tensor, engine_of, read_int
from ndgrad.ops.randomness import check_fillable, drawn_examples, random_levels, refuse_out, with_own_numbers


def _erasing(name: str, node_name: str) -> Operation:
    """The history of a tensor that was overwritten with random numbers: no gradient goes back to what was there before."""

    def kernel(x: Any) -> Any:
        return x

    kernel.__name__ = name
    return general(vjp=[zero], node_name=node_name, jvp=lambda xp, tangents: xp.zero_map(tangents[0]))(kernel)


def _fill(self: Any, name: str, engine: Mersenne, history: Any, draw: Callable[..., Any], *others: Tensor) -> Tensor:
    """Check, draw into the tensor's own memory (whose layout decides which number goes where), and settle its history.

    `others` are the history's further operands: tensors that say what to draw.
    """
    levels = random_levels()
    check_target(self, name)
    recording = modes.is_grad_enabled() and (self.requires_grad or any(other.requires_grad for other in others))
    if recording:
        check_recorded(self, name)
    memory = self._memory()
    check_writable(self, memory.shape, memory.dtype, name)
    if levels:
        _check_examples(levels, memory, others, name)
    out = history(shadow(self), *others) if recording else finish(memory)
    announce(Observer.overwrites, self)
    if levels and batch_of(memory) is not None:
        _fill_examples(levels, memory, engine, draw, others)
    else:
        run_quietly(draw, memory, *(np.asarray(other._a) for other in others))
    return finish_write(self, out, name, recording)


def _check_examples(levels: Sequence[BatchLevel], memory: Any, others: Sequence[Tensor], name: str) -> None:
    """Inside `vmap`: refuse a target that is the same for all examples and to be filled with what differs."""
    for other in others:
        check_examples(memory, other._a, name)
    check_fillable(levels, memory)


def _fill_examples(levels: Sequence[BatchLevel], memory: Any, engine: Mersenne, draw: Callable[..., Any], others: Sequence[Tensor]) -> None:
    """Inside `vmap`: draw for all examples, and write into the memory of the level below."""
    own = levels_of(memory)
    if not others and own == with_own_numbers(levels):
        every = like_array(values(memory), memory.dtype)
        run_quietly(draw, every)
        drawn = boxed(every, own)
    else:
        drawn = drawn_examples(levels, memory.shape, memory.dtype, engine, draw, others)
    memory[...] = drawn._a


def _number(name: str, argument: str, position: int, value: Any) -> float:
    if isinstance(value, Tensor) and value._a.size == 1:
        value = value._a.item()
    if isinstance(value, (str, complex)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be float, not {type(value).__name__}")
    return float(value)


def _largest(tensor: Tensor) -> float:
    return float(np.finfo(tensor._a.dtype).max)


# ---------------------------------------------------------------- continuous distributions
_uniform_history = _erasing("uniform_history", "UniformBackward0")
_normal_history = _erasing("normal_history", "NormalBackward0")
_exponential_history = _erasing("exponential_history", "ExponentialBackward0")
_cauchy_history = _erasing("cauchy_history", "CauchyBackward0")
_log_normal_history = _erasing("log_normal_history", "LogNormalBackward0")
_geometric_history = _erasing("geometric_history", "GeometricBackward0")


@function(as_function=False)
def uniform_(self: Tensor, *args: Any, generator: Generator | None = None, **named: Any) -> Tensor:
    """Fill with numbers that are uniform from `from` (0) to before `to` (1)."""
    low, high = _two("uniform_", args, named, ("from", 0.0), ("to", 1.0))
    engine = engine_of(generator, "uniform_")
    if self._a.dtype.kind not in "fc":
        raise NotImplementedError(f"\"check_uniform_bounds\" not implemented for '{type_name(self.dtype)}'")
    largest = _largest(self)
    for bound, value in (("from", low), ("to", high)):
        if not -largest <= value <= largest:
            raise RuntimeError(f"{bound} is out of bounds for {cpp_name(self.dtype)}: it is {value}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}")
    if high - low > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= std::numeric_limits<{type_name(self.dtype)}>::max(), but found to={high:g} and from={low:g} "
            "which result in to-from to exceed the limit"
        )
    return _fill(self, "uniform_", engine, _uniform_history, lambda memory: distributions.uniform_(engine, memory, low, high))


def _two(name: str, args: tuple[Any, ...], named: dict[str, Any], *wanted: tuple[str, float]) -> list[float]:
    """Float arguments with defaults, of which one may be called `from`, which no Python parameter can be."""
    if len(args) > len(wanted):
        raise TypeError(f"{name}() takes {len(wanted)} positional arguments but {len(args)} were given")
    values: list[float] = []
    for position, (argument, default) in enumerate(wanted):
        value = args[position] if position < len(args) else named.pop(argument, default)
        values.append(_number(name, argument, position + 1, value))
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(named))}'")
    return values


def _check_std(std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")


def _check_normal(tensor: Tensor) -> None:
    if tensor._a.dtype.kind not in "fc":
        raise NotImplementedError(f"\"normal_kernel_cpu\" not implemented for '{type_name(tensor.dtype)}'")


@function(as_function=False)
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers."""
    centre, spread = _number("normal_", "mean", 1, mean), _number("normal_", "std", 2, std)
    engine = engine_of(generator, "normal_")
    _check_std(spread)
    _check_normal(self)
    return _fill(self, "normal_", engine, _normal_history, lambda memory: distributions.normal_(engine, memory, centre, spread))


def _check_continuous(tensor: Tensor, distribution: str, name: str) -> None:
    if tensor._a.dtype.kind != "f":
        raise RuntimeError(
            f"{distribution} distribution is a continuous probability distribution. dtype must be a floating point but you specified {name}"
        )


@function(as_function=False)
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of the rate `lambd`."""
    rate = _number("exponential_", "lambd", 1, lambd)
    engine = engine_of(generator, "exponential_")
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
    _check_continuous(self, "Exponential", type_name(self.dtype))
    return _fill(self, "exponential_", engine, _exponential_history, lambda memory: distributions.exponential_(engine, memory, rate))


@function(as_function=False)
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of a Cauchy distribution."""
    centre, width = _number("cauchy_", "median", 1, median), _number("cauchy_", "sigma", 2, sigma)
    engine = engine_of(generator, "cauchy_")
    if not width > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={width:g}")
    _check_continuous(self, "Cauchy", cpp_name(self.dtype))
    return _fill(self, "cauchy_", engine, _cauchy_history, lambda memory: distributions.cauchy_(engine, memory, centre, width))


@function(as_function=False)
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers whose logarithms are normal."""
    centre, spread = _number("log_normal_", "mean", 1, mean), _number("log_normal_", "std", 2, std)
    engine = engine_of(generator, "log_normal_")
    if not spread > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={spread:g}")
    if self._a.dtype.kind != "f":
        raise NotImplementedError(f"\"log_normal_cpu\" not implemented for '{type_name(self.dtype)}'")
    return _fill(self, "log_normal_", engine, _log_normal_history, lambda memory: distributions.log_normal_(engine, memory, centre, spread))


@function(as_function=False)
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the numbers of trials until the first success, whose probability is `p`."""
    probability = _number("geometric_", "p", 1, p)
    engine = engine_of(generator, "geometric_")
    if not 0 < probability < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={probability:g}")
    if self._a.dtype.kind not in "fiu":
        raise NotImplementedError(f"\"geometric_cpu\" not implemented for '{type_name(self.dtype)}'")
    return _fill(self, "geometric_", engine, _geometric_history, lambda memory: distributions.geometric_(engine, memory, probability))


# ---------------------------------------------------------------- whole numbers
_random_between = _erasing("random_between_history", "RandomBackward0")
_random_below = _erasing("random_below_history", "RandomBackward1")
_random_any = _erasing("random_any_history", "RandomBackward2")


@function(as_function=False)
def random_(self: Tensor, *args: Any, generator: Generator | None = None, **named: Any) -> Tensor:
    """`random_()`, `random_(to)` or `random_(from, to)`: fill with whole numbers of the dtype's range, or from `from` (0) to before "
    "`to`."""
    engine = engine_of(generator, "random_")
    values = list(args)
    unknown = set(named) - {"from", "to"}
    if unknown or len(values) + len(named) > 2 or any(v is not None and not hasattr(v, "__index__") for v in (*values, *named.values())):
        kinds = ", ".join(type(value).__name__ for value in values)
        raise TypeError(f"random_() received an invalid combination of arguments - got ({kinds}) and {sorted(named)}")
    if "to" in named:
        low, high = (values[0] if values else named.get("from", 0)), named["to"]
    elif "from" in named:
        low, high = named["from"], values[0] if values else None
    else:
        low, high = (values[0], values[1]) if len(values) == 2 else (0, values[0]) if values else (None, None)
    history = _random_any if low is None else _random_below if len(values) + len(named) == 1 else _random_between
    if low is not None:
        low = read_int("random_", "from", 1, low)
        high = None if high is None else read_int("random_", "to", 2, high)
    _check_random(self, low, high)
    return _fill(self, "random_", engine, history, lambda memory: distributions.random_(engine, memory, low, high))


def _check_random(tensor: Tensor, low: int | None, high: int | None) -> None:
    kind = tensor._a.dtype
    if kind.kind == "c":
        if low is None:
            raise NotImplementedError(f"\"random_kernel_cpu\" not implemented for '{type_name(tensor.dtype)}'")
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if low is None:
        return
    if high is not None and low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    limits: Any = np.finfo(kind) if kind.kind == "f" else None if kind.kind == "b" else np.iinfo(kind)
    smallest, largest = (0, 1) if limits is None else (limits.min, limits.max)
    for name, value in (("from", low), ("to - 1", None if high is None else high - 1)):
        if value is not None and not smallest <= value <= largest:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name(tensor.dtype)}: it is {value}")


# ---------------------------------------------------------------- Bernoulli trials
_bernoulli_history = _erasing("bernoulli_history", "BernoulliBackward0")
_bernoulli_by_number = _erasing("bernoulli_by_number_history", "BernoulliBackward2")


@general(
    vjp=[lambda xp, g: xp.zero_map(g), lambda xp, g: xp.zero_map(g)],
    node_name="BernoulliBackward1",
    jvp=lambda xp, tangents: _no_tangent(xp, tangents),
    batch=batch_rules.on_lined_up("bernoulli_by_tensor_history"),
)
def bernoulli_by_tensor_history(x: Any, y: Any) -> Any:
    """The history of a tensor that was overwritten with draws of the probabilities `y`: no gradient goes to either."""
    return x


@function(as_function=False)
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones, each with probability `p` (a number, or a tensor that broadcasts), and zeros."""
    engine = engine_of(generator, "bernoulli_")
    if isinstance(p, Tensor):
        _check_probabilities(p, self._a.shape)
        if self._a.dtype.kind == "c":
            raise NotImplementedError(f"\"bernoulli_tensor_cpu_self_\" not implemented for '{type_name(self.dtype)}'")
        history = bernoulli_by_tensor_history
        return _fill(self, "bernoulli_", engine, history, lambda memory, p: distributions.bernoulli_(engine, memory, p), p)
    probability = _number("bernoulli_", "p", 1, p)
    if not 0 <= probability <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={probability:g}")
    if self._a.dtype.kind == "c":
        raise NotImplementedError(f"\"bernoulli_scalar_cpu_\" not implemented for '{type_name(self.dtype)}'")
    return _fill(self, "bernoulli_", engine, _bernoulli_by_number, lambda memory: distributions.bernoulli_(engine, memory, probability))


def _check_probabilities(p: Tensor, shape: tuple[int, ...]) -> None:
    check_expandable(p._a.shape, shape)
    if p._a.dtype.kind != "f":
        raise NotImplementedError(f"\"bernoulli_tensor_cpu_p_\" not implemented for '{type_name(p.dtype)}'")
    probabilities = values(p._a)
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.  Every probability must lie between 0 and 1.")


@function(out=True)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Ones and zeros in the shape of `input`, whose elements are the probabilities of a one unless `p` is given."""
    check_tensor(input, "bernoulli", "input", 1)
    levels = random_levels()
    if not levels:
        made: Any = finish(np.empty_like(input._a, subok=False))
        made.bernoulli_(input if p is None else p, generator=generator)
    elif p is None:
        engine = engine_of(generator, "bernoulli")
        _check_probabilities(input, input._a.shape)
        kernel = partial(distributions.bernoulli_, engine)
        made = drawn_examples(levels, input._a.shape, input._a.dtype, engine, kernel, [input])
    else:
        made = drawn_like(input, input._a.dtype, lambda memory: memory.bernoulli_(p, generator=generator))
    return _without_gradient(_bernoulli_history, input, made)


def _without_gradient(history: Operation, source: Tensor, made: Tensor) -> Tensor:
    """What was drawn, with a node where the source has one: through it flow zeros."""
    if not (modes.is_grad_enabled() and source.requires_grad):
        return made
    out = history(source)
    out._a = made._a
    return out


# ---------------------------------------------------------------- normal numbers by tensors
_normal_of_mean = _erasing("normal_of_mean_history", "NormalBackward1")
_normal_of_std = _erasing("normal_of_std_history", "NormalBackward2")


@general(
    vjp=[zero, zero],
    node_name="NormalBackward3",
    jvp=lambda xp, tangents: _no_tangent(xp, tangents),
)
def normal_of_both_history(x: Any, y: Any) -> Any:
    """The shape that a mean and a standard deviation broadcast to, for the node of `normal(mean, std)`."""
    return np.empty(np.broadcast_shapes(x.shape, y.shape), x.dtype)


def _no_tangent(xp: Any, tangents: Any) -> Any:
    return xp.zero_map(tangents[1] if tangents[0] is None else tangents[0])


@function(method=False)
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers: `normal(mean, std)` with a tensor for at least one of the two, or `normal(mean, std, size)`."""
    by_mean, by_std = isinstance(mean, Tensor), isinstance(std, Tensor)
    if not by_mean and not by_std:
        if size is None or not isinstance(size, (tuple, list)):
            kinds = [type(value).__name__ for value in (mean, std, size) if value is not None]
            raise TypeError(
                f"normal() received an invalid combination of arguments - got ({', '.join(kinds)}), but expected one of: (mean, std, size)"
            )
        shape = read_size("normal", (tuple(size),), {})
        return drawn_tensor("normal", shape, dtype, out, requires_grad, lambda tensor: normal_(tensor, mean, std, generator=generator))
    engine = engine_of(generator, "normal")
    centre = np.asarray(values(mean._a)) if by_mean else _number("normal", "mean", 1, mean)
    spread: Any = np.asarray(values(std._a)) if by_std else _number("normal", "std", 2, std)
    source: Any = mean if by_mean else std
    if by_std:
        if spread.dtype.kind == "c":
            raise RuntimeError("normal expects standard deviation to be non-complex")
        if not np.all(spread >= 0):
            raise RuntimeError(f"normal expects all elements of std >= 0.0; the smallest is {np.min(spread)}")
    else:
        _check_std(float(spread))
    shape = broadcast_shapes(mean._a.shape if by_mean else (), std._a.shape if by_std else ())
    _check_normal(source)
    levels = random_levels()
    if levels:
        if out is not None:
            refuse_out("normal")

        def draw(memory: Array, *arrays: Array) -> None:
            distributions.normal_elementwise_(engine, memory, arrays[0] if by_mean else centre, arrays[-1] if by_std else spread)

        made = drawn_examples(levels, shape, source._a.dtype, engine, draw, [each for each in (mean, std) if isinstance(each, Tensor)])
    else:
        made = finish(np.empty(shape, source._a.dtype))
        run_quietly(distributions.normal_elementwise_, engine, made._memory(), centre, spread)
    if out is not None:
        return out.copy_(made)
    if by_mean and by_std:
        if not (modes.is_grad_enabled() and (mean.requires_grad or std.requires_grad)):
            return made
        drawn = normal_of_both_history(mean, std)
        drawn._a = made._a
        return drawn
    return _without_gradient(_normal_of_mean if by_mean else _normal_of_std, source, made)
