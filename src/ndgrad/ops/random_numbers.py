"""Generators, and tensors filled with random numbers: PyTorch's stream, number for number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ndgrad.base import modes
from ndgrad.base.devices import CPU, check_device, device
from ndgrad.base.dtypes import FLOATING, as_dtype, get_default_dtype, int64, numpy_dtype, type_name
from ndgrad.base.shapes import check_sizes
from ndgrad.base.types import Array
from ndgrad.core.batches import values
from ndgrad.core.tensor import Tensor, wrap
from ndgrad.kernels import sampling
from ndgrad.kernels.mersenne import DEFAULT_SEED, STATE_BYTES, Mersenne
from ndgrad.ops.arguments import check_tensor
from ndgrad.ops.creation import boxed, dtype_of_out, finish, levels_of, like_array, out_array, read_size
from ndgrad.ops.declare import function
from ndgrad.ops.randomness import drawn_examples, random_levels, refuse_out, sizes_of, with_own_numbers


class Generator:
    """A source of random numbers that runs through the same sequence as PyTorch's generator of the same seed."""

    def __init__(self, device: Any = "cpu") -> None:
        check_device(device)
        self.engine = Mersenne(DEFAULT_SEED)

    @property
    def device(self) -> device:
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start the sequence that belongs to `seed`; returns the generator."""
        if not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        seed_engine(self.engine, seed.__index__())
        return self

    def seed(self) -> int:
        """Start a sequence that nobody can foresee; returns its seed."""
        return self.engine.reseed()

    def initial_seed(self) -> int:
        """The seed that the sequence began with."""
        return self.engine.initial_seed

    def get_state(self) -> Tensor:
        """The state as a tensor of bytes, which `set_state` (and PyTorch's) takes."""
        return wrap(self.engine.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Continue from a state that `get_state` gave."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        state = new_state._a
        if state.dtype != np.uint8:
            raise TypeError(f"RNG state must be a torch.ByteTensor; this one is {new_state.dtype}")
        if state.size != STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_BYTES} but found the input RNG state size to be {state.size}"
            )
        try:
            self.engine.set_state(np.ascontiguousarray(state))
        except RuntimeError as error:
            raise RuntimeError(f"Invalid mt19937 state: {error}") from None
        return self

    def clone_state(self) -> Generator:
        """Another generator that continues as this one would."""
        other = Generator()
        other.engine = self.engine.clone()
        return other

    graphsafe_get_state = clone_state

    def get_offset(self) -> int:
        """Generators of other devices have one; here always an error."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> Generator:
        """Generators of other devices have one; here always an error."""
        raise RuntimeError("CPU Generator does not use offset")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.engine.get_state().tobytes(),)


def _restored(state: bytes) -> Generator:
    generator = Generator()
    generator.engine.set_state(state)
    return generator


def seed_engine(engine: Mersenne, seed: int) -> None:
    try:
        engine.seed(seed)
    except ValueError:
        raise ValueError(f"Overflow when unpacking long long: the seed {seed} is not between -2**63 and 2**64 - 1") from None


#: What every random function draws from unless it is given a generator.
default_generator = Generator()


def engine_of(generator: Any, function: str) -> Mersenne:
    """The engine of a generator, the default one's for None."""
    if generator is None:
        return default_generator.engine
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise TypeError(f"{function}() received an invalid combination of arguments: 'generator' must be torch.Generator, not {kind}")
    return generator.engine


@function(method=False)
def manual_seed(seed: Any) -> Generator:
    """Seed the default generator; returns it."""
    seed_engine(default_generator.engine, int(seed))
    return default_generator


@function(method=False, name="seed")
def reseed() -> int:
    """Seed the default generator with something that nobody can foresee; returns the seed."""
    return default_generator.seed()


@function(method=False)
def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


@function(method=False)
def get_rng_state() -> Tensor:
    """The default generator's state, a tensor of bytes."""
    return default_generator.get_state()


@function(method=False)
def set_rng_state(new_state: Tensor) -> None:
    """Give the default generator a state that `get_rng_state` returned."""
    default_generator.set_state(new_state)


# ---------------------------------------------------------------- new tensors
def drawn_tensor(
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    out: Tensor | None,
    requires_grad: bool,
    fill: Callable[[Tensor], Any],
    fallback: Any = None,
) -> Tensor:
    """A tensor of the shape, new or `out`, filled; nothing about the filling is recorded."""
    wanted = None if dtype is None else as_dtype(dtype)
    if requires_grad and (wanted or fallback or get_default_dtype()).category < FLOATING:
        raise RuntimeError(f"Only Tensors of floating point and complex dtype can require gradients; {wanted or fallback} was asked for")
    levels = random_levels()
    if levels:
        if out is not None:
            refuse_out(name)
        own = with_own_numbers(levels)
        with levels[0].below():
            every = drawn_tensor(name, (*sizes_of(own), *check_sizes(shape)), dtype, None, False, fill, fallback)
        made = boxed(every._a, own)
        if requires_grad:
            made.requires_grad = True
        return made
    if out is None:
        kind = wanted or fallback or get_default_dtype()
        made = finish(np.empty(check_sizes(shape), numpy_dtype(kind)))
    else:
        made = out_array(out, check_sizes(shape), wanted, name)
    before = modes.set_mode("grad", False)
    try:
        fill(made)
    finally:
        modes.set_mode("grad", before)
    if requires_grad:
        made.requires_grad = True
    return made


def _floating(name: str, fill: str, doc: str) -> None:
    def made(
        *size: Any,
        generator: Generator | None = None,
        out: Tensor | None = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **named: Any,
    ) -> Tensor:
        check_device(device)
        engine_of(generator, name)
        shape = read_size(name, size, named)
        return drawn_tensor(name, shape, dtype, out, requires_grad, lambda tensor: getattr(tensor, fill)(generator=generator))

    def made_like(
        input: Tensor,
        *,
        generator: Generator | None = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        check_tensor(input, f"{name}_like", "input", 1)
        return _like(input, dtype, device, requires_grad, memory_format, lambda tensor: getattr(tensor, fill)(generator=generator))

    made.__name__ = made.__qualname__ = name
    made.__doc__ = f"A tensor of the given size, {doc}."
    made_like.__name__ = made_like.__qualname__ = f"{name}_like"
    made_like.__doc__ = f"A tensor of the shape and dtype of another, {doc}."
    function(made, method=False)
    function(made_like, method=False)


def _like(input: Tensor, dtype: Any, device: Any, requires_grad: bool, memory_format: Any, fill: Callable[[Any], Any]) -> Tensor:
    check_device(device)
    kind = input._a.dtype if dtype is None else numpy_dtype(as_dtype(dtype))
    made = drawn_like(input, kind, fill, memory_format)
    if requires_grad:
        made.requires_grad = True
    return made


def drawn_like(input: Tensor, kind: Any, fill: Callable[[Any], Any], memory_format: Any = None) -> Tensor:
    """A tensor laid out as another is, filled with random numbers."""
    levels = random_levels()
    if not levels:
        made = finish(like_array(input._a, kind, memory_format))
        fill(made)
        return made
    own = with_own_numbers(levels)
    shape = input._a.shape
    with levels[0].below():
        alike = levels_of(input._a) == own
        every = finish(like_array(values(input._a), kind, memory_format) if alike else np.empty((*sizes_of(own), *shape), kind))
        fill(every)
    return boxed(every._a, own)


_floating("rand", "uniform_", "uniform between 0 and 1 (1 excluded)")
_floating("randn", "normal_", "normal with mean 0 and standard deviation 1")


@function(method=False)
def randint(
    *args: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """`randint(high, size)` or `randint(low, high, size)`: whole numbers from `low` (0) to before `high`, int64 unless a dtype is given."""
    check_device(device)
    engine_of(generator, "randint")
    low, high, rest = _bounds("randint", args, named, ("low", "high", "size"))
    if rest is None:
        kinds = ", ".join(type(value).__name__ for value in args)
        raise TypeError(f"randint() received an invalid combination of arguments - got ({kinds}), where a size is missing")
    if not isinstance(rest, (tuple, list)):
        raise TypeError(
            f"randint(): argument 'size' (position {2 if len(args) == 2 else 3}) must be tuple of ints, not {type(rest).__name__}"
        )
    shape = read_size("randint", (tuple(rest),), {})
    return drawn_tensor(
        "randint",
        shape,
        dtype,
        out,
        requires_grad,
        lambda tensor: tensor.random_(low, high, generator=generator),
        int64,
    )


def _bounds(name: str, args: tuple[Any, ...], named: dict[str, Any], names: tuple[str, ...]) -> tuple[int, int, Any]:
    """`low`, `high` and what follows them, where a single bound is `high`."""
    after = len(names) - 2
    given = dict(named)
    positional = list(args)
    rest = None
    if after:
        rest = given.pop("size") if "size" in given else positional.pop() if len(positional) + len(given) > 1 and positional else None
    low = 0
    if "low" in given:
        low = given.pop("low")
    elif len(positional) + len(given) == 2:
        low = positional.pop(0)
    high = given.pop("high") if "high" in given else positional.pop(0) if positional else None
    if given or positional or high is None:
        raise TypeError(f"{name}() received an invalid combination of arguments - got {args} and {named}")
    return read_int(name, "low", 1, low), read_int(name, "high", 1 if low == 0 else 2, high), rest


def read_int(name: str, argument: str, position: int, value: Any) -> int:
    """An argument that must be a whole number of 64 bits."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be int, not {type(value).__name__}")
    number: int = value.__index__()
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"Overflow when unpacking long long: '{argument}' is {number}")
    return number


@function(method=False)
def randint_like(
    input: Tensor,
    *args: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """`randint_like(input, high)` or `(input, low, high)`: whole numbers in the shape and dtype of another tensor."""
    check_tensor(input, "randint_like", "input", 1)
    low, high, _ = _bounds("randint_like", args, named, ("low", "high"))
    return _like(input, dtype, device, requires_grad, memory_format, lambda tensor: tensor.random_(low, high, generator=generator))


@function(method=False)
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers from 0 to n - 1 in random order."""
    check_device(device)
    count = read_int("randperm", "n", 1, n)
    check_sizes((count,))
    engine = engine_of(generator, "randperm")
    given = dtype_of_out(out, "randperm") if out is not None and dtype is None else None
    wanted = as_dtype(dtype) if dtype is not None else given or int64
    kind = numpy_dtype(wanted)
    if kind.kind not in "fiu" or kind in (np.uint16, np.uint32, np.uint64):
        raise NotImplementedError(f"\"randperm\" not implemented for '{type_name(wanted)}'")
    if requires_grad and kind.kind != "f":
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    if kind.kind != "f" and count and count - 1 > np.iinfo(kind).max:
        raise RuntimeError(
            f"value cannot be converted to type {kind.name}_t without overflow: there is no permutation of {count} numbers in it"
        )
    if kind.kind == "f" and count > 2 ** (np.finfo(kind).nmant + 1) + 1:
        raise RuntimeError(f"n cannot be greater than {2 ** (np.finfo(kind).nmant + 1) + 1} for {type_name(wanted)} type.")

    def fill(tensor: Tensor) -> None:
        memory = tensor._memory()
        for one in np.ndindex(memory.shape[-2::-1]):  # the examples of a vmap, in the order of torch; otherwise a single vector
            memory[one[::-1]] = sampling.randperm(engine, count, kind)

    return drawn_tensor("randperm", (count,), wanted, out, requires_grad, fill)


@function(out=True)
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Numbers of categories, drawn with the probabilities (or weights) in each row of `input`."""
    check_tensor(input, "multinomial", "input", 1)
    count = read_int("multinomial", "num_samples", 2, num_samples)
    if input._a.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim; its shape is {list(input._a.shape)}")
    weights = np.asarray(values(input._a))
    if weights.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {type_name(input.dtype)}")
    if count <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples: num_samples is {count}")
    if weights.shape[-1] > 2**24:
        raise RuntimeError(f"number of categories cannot exceed 2^24, but there are {weights.shape[-1]}")
    if not replacement and count > weights.shape[-1]:
        raise RuntimeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: num_samples is {count}, the size {weights.shape[-1]}"
        )
    with np.errstate(all="ignore"):
        proper = bool(np.all(np.isfinite(weights) & (weights >= 0)))
        positive = bool(np.all(weights.sum(-1, dtype=np.float64) > 0))
    if not proper and not (replacement and count > 1):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not proper:
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if not positive:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    engine = engine_of(generator, "multinomial")
    levels = random_levels()
    if levels:

        def draw(memory: Array, rows: Array) -> None:
            every = np.broadcast_to(rows, (*memory.shape[:-1], rows.shape[-1])).reshape(-1, rows.shape[-1])
            memory[...] = sampling.multinomial(engine, every, count, bool(replacement)).reshape(memory.shape)

        return drawn_examples(levels, (*input._a.shape[:-1], count), np.dtype(np.int64), engine, draw, [input])
    drawn = sampling.multinomial(engine, weights, count, bool(replacement))
    return finish(np.ascontiguousarray(drawn))
