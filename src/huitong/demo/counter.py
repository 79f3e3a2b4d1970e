"""Random numbers by counter: the value at a place is a pure function of (key, index), so threads and chunks cannot change it."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Counters = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xD6E8FEB86659FD93)
_SECOND = np.uint64(0xCA9B0A7E3F5D1C8B)
_HALF = np.uint64(32)


def key_of(seed: int, *names: str | int) -> int:
    """A 64-bit key for a stream of numbers, from the seed and the names of what they are for."""
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


def noise(key: int, index: NDArray[np.generic]) -> Counters:
    """64 well-mixed bits for each index (multiply and shift, as in the finalisers of the splitmix family)."""
    value = index.astype(np.uint64)
    value *= _GOLDEN
    value += np.uint64(key)
    value ^= value >> _HALF
    value *= _FIRST
    value ^= value >> _HALF
    value *= _SECOND
    value ^= value >> _HALF
    return value


def below(bits: Counters, limit: int) -> NDArray[np.int64]:
    """A number in [0, limit) from the upper 32 of 64 random bits; `limit` at most 2^31."""
    return (((bits >> _HALF) * np.uint64(limit)) >> _HALF).astype(np.int64)


def happens(bits: Counters, rate: int) -> NDArray[np.bool_]:
    """True for `rate` in 100,000, decided by the lower 32 bits."""
    return (bits & np.uint64(0xFFFFFFFF)) < np.uint64(rate * 2**32 // 100_000)


class Permutation:
    """A bijection of [0, size) that looks random: invertible mixing on the next power of two, walked until it falls inside."""

    def __init__(self, key: int, size: int) -> None:
        self.size = size
        self._bits = max(2, (size - 1).bit_length())
        self._mask = np.uint64((1 << self._bits) - 1)
        self._shift = np.uint64(self._bits // 2 + 1)
        rounds = noise(key, np.arange(8))
        self._factors = [np.uint64(value) | np.uint64(1) for value in rounds[:4].tolist()]
        self._terms = [np.uint64(value) for value in rounds[4:].tolist()]

    def _step(self, value: Counters) -> Counters:
        for factor, term in zip(self._factors, self._terms, strict=True):
            value = (value * factor + term) & self._mask
            value ^= value >> self._shift
        return value

    def __call__(self, index: NDArray[np.generic]) -> NDArray[np.int64]:
        """The images of the indices, each in [0, size)."""
        value = self._step(index.astype(np.uint64))
        outside = np.flatnonzero(value >= np.uint64(self.size))
        while outside.size:
            value[outside] = self._step(value[outside])
            outside = outside[value[outside] >= np.uint64(self.size)]
        return value.astype(np.int64)
