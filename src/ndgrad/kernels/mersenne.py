"""The Mersenne Twister behind every random number: torch's CPU stream of 32-bit words, with its saved-state format."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ndgrad.base.types import Array

DEFAULT_SEED = 67280421310721
STATE_BYTES = 5056
_WORDS = 624
_EVERY_BIT = 2**64 - 1
# seed, words left before the next twist, seeded, position; then the words, each in 8 bytes; then two unused doubles
# around the spare double normal and its flag, the spare float normal and its flag.
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<3dq fi")
_TAIL_START = _HEAD.size + 8 * _WORDS


class Mersenne:
    """A 32-bit Mersenne Twister that draws, saves and restores as torch's CPU generator does.

    Attributes
    ----------
    initial_seed : the 64-bit seed last given; only its low 32 bits reach the stream.
    spare_normal : second half of a Box-Muller pair that a scalar normal draw left for the next one, or None.
    spare_float_normal : the same in single precision; nothing on the CPU makes one, saved states carry it.
    lock : hold it to make several draws one; it is re-entrant.
    """

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.lock = threading.RLock()
        self._bits: Any = None  # NumPy's generator; made when the first number is drawn, for importing it takes a while
        self.initial_seed = 0
        self.spare_normal: float | None = None
        self.spare_float_normal: float | None = None
        self._exhausted_position = 0
        self._mark: Any = None  # what `snapshot` noted, as long as nothing has changed since
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Restart the stream from `seed`, between -2**63 and 2**64 - 1; a negative one counts from 2**64 down."""
        if not -(2**63) <= seed <= _EVERY_BIT:
            raise ValueError(f"a seed must lie between -2**63 and 2**64 - 1, got {seed}")
        seed &= _EVERY_BIT
        with self.lock:
            self._bits = self._mark = None
            self._exhausted_position = 0
            self.initial_seed = seed
            self.spare_normal = self.spare_float_normal = None

    def reseed(self) -> int:
        """Restart from 64 bits of the operating system's entropy, and return them."""
        seed = int.from_bytes(os.urandom(8))
        self.seed(seed)
        return seed

    def words(self, count: int) -> Array:
        """The next `count` 32-bit words, in an array of uint64 that is the caller's to overwrite."""
        with self.lock:
            self._note(count)
            words: Array = self._stream().random_raw(count)
        return words

    def skip(self, count: int) -> None:
        """Let `count` 32-bit words go by."""
        with self.lock:
            self._note(count)
            self._stream().random_raw(count, output=False)

    def random32(self, count: int) -> Array:
        """The next `count` words as uint32."""
        return self.words(count).astype(np.uint32)

    def random64(self, count: int) -> Array:
        """`count` numbers of 64 bits (uint64), each made of two words, the earlier one on top."""
        words = self.words(2 * count)
        numbers = words[::2] << np.uint64(32)
        numbers |= words[1::2]
        return numbers

    def get_state(self) -> Array:
        """The state as 5056 bytes (uint8), in the layout of `torch.get_rng_state()`."""
        with self.lock:
            key, position = self._dump()
            left = 1 if position == _WORDS else _WORDS + 1 - position
            if position == _WORDS:
                position = self._exhausted_position
            normal, single = self.spare_normal, self.spare_float_normal
            head = _HEAD.pack(self.initial_seed, left, 1, position)
            tail = _TAIL.pack(0.0, normal or 0.0, 0.0, normal is not None, single or 0.0, single is not None)
        return np.frombuffer(head + key.astype("<u8").tobytes() + tail, np.uint8).copy()

    def set_state(self, state: Array | bytes | bytearray | memoryview) -> None:
        """Continue from a state that `get_state` or torch's `get_rng_state()` gave."""
        data = state.tobytes() if isinstance(state, np.ndarray) else bytes(state)
        if len(data) != STATE_BYTES:
            raise RuntimeError(f"a generator state has {STATE_BYTES} bytes, got {len(data)}")
        seed, left, seeded, position = _HEAD.unpack_from(data)
        # The words run out when `left` reaches 1, wherever the position says it is: so it is just after seeding.
        if seeded & 0xFF != 1 or not 1 <= left <= _WORDS or position > _WORDS or (left != 1 and left + position != _WORDS + 1):
            raise RuntimeError("these bytes are not the state of a Mersenne Twister")
        _, normal, _, has_normal, single, has_single = _TAIL.unpack_from(data, _TAIL_START)
        key = np.frombuffer(data, "<u8", _WORDS, _HEAD.size).astype(np.uint32)
        with self.lock:
            self._load(key, _WORDS if left == 1 else position)
            self._exhausted_position = position if left == 1 else _WORDS
            self.initial_seed = seed
            self.spare_normal = normal if has_normal & 0xFFFFFFFF else None
            self.spare_float_normal = single if has_single & 0xFF else None

    def snapshot(self) -> tuple[Any, ...]:
        """The state, to be given to `restore`: next to nothing if no number has been drawn since the last one."""
        with self.lock:
            if self._mark is None:
                self._mark = (self._bits and self._dump(), self._exhausted_position, self.initial_seed)
            return self._mark, self.spare_normal, self.spare_float_normal

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Continue from a snapshot; at once, if nothing has been drawn since."""
        mark, normal, single = snapshot
        with self.lock:
            if mark is not self._mark:
                state, self._exhausted_position, self.initial_seed = mark
                self._bits = None
                if state is not None:
                    self._load(*state)
                self._mark = mark
            self.spare_normal, self.spare_float_normal = normal, single

    @contextmanager
    def drawing_from(self, snapshot: tuple[Any, ...] | None) -> Iterator[None]:
        """Draw inside what was drawn from a snapshot on, and afterwards as if that had not been; None changes nothing."""
        if snapshot is None:
            yield
            return
        now = self.snapshot()
        try:
            self.restore(snapshot)
            yield
        finally:
            self.restore(now)

    def clone(self) -> Mersenne:
        """An engine of its own that will draw the same numbers."""
        other = Mersenne.__new__(Mersenne)
        other.lock = threading.RLock()
        other._mark = None
        other.set_state(self.get_state())
        return other

    def _note(self, count: int) -> None:
        # A state saved before any draw differs from one saved after the last word, although both twist next.
        if count > 0:
            self._exhausted_position = _WORDS
            self._mark = None

    def _stream(self) -> Any:
        if self._bits is None:
            # RandomState seeds with one 32-bit number exactly as torch does; MT19937 itself hashes its seed first.
            self._load(np.random.RandomState(self.initial_seed & 0xFFFFFFFF).get_state(legacy=False)["state"]["key"], _WORDS)
        return self._bits

    def _load(self, key: Array, position: int) -> None:
        self._mark = None
        self._bits = np.random.MT19937(0)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}

    def _dump(self) -> tuple[Array, int]:
        state = self._stream().state["state"]
        return state["key"], int(state["pos"])
