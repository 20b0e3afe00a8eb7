"""Random numbers of JAX, bit for bit: the threefry cipher on integers.

A key is one int64 here, its two words of 32 bits side by side. Source: J. Salmon, M. Moraes, R. Dror, D. Shaw,
"Parallel random numbers: as easy as 1, 2, 3" (2011), Threefry-2x32 with 20 rounds; which counters stand for which
numbers is JAX's own (`jax_threefry_partitionable`, its default).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.random")

Shape = tuple[int, ...]

_WORD = 0xFFFFFFFF
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _is_other(given: Mapping[str, Any]) -> bool:
    dtypes = [str(getattr(value, "dtype", "")) for value in given.values()]
    return given.get("impl", "fry") != "fry" or any(d.startswith("key<") and d != "key<fry>" for d in dtypes)


_OTHER = Limit(
    "a generator that is not threefry",
    _is_other,
    "unsupported",
    "its numbers come from the processor's own generator, which no other framework has: use jax.random.key(seed)",
)
_OLD_COUNTERS = Limit(
    "jax_threefry_partitionable switched off",
    lambda given: given.get("partitionable") is False,
    "unsupported",
    "the counters of that setting are not written here: leave it at its default",
)


def threefry(high_key: Tensor, low_key: Tensor, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
    """Two words of 32 bits, enciphered with a key of two words; all int64, broadcast against each other."""
    keys = (high_key, low_key, high_key ^ low_key ^ 0x1BD11BDA)
    x, y = high + keys[0] & _WORD, low + keys[1] & _WORD
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x = x + y & _WORD
            y = (y << distance & _WORD | y >> 32 - distance) ^ x
        x = x + keys[(group + 1) % 3] & _WORD
        y = y + keys[(group + 2) % 3] + group + 1 & _WORD
    return x, y


def packed(high: Tensor, low: Tensor) -> Tensor:
    """A key of its two words."""
    return high << 32 | low


def wrap_key_data(words: Tensor) -> Tensor:
    """Keys of their words, [..., 2], as `jax.random.key_data` gives them."""
    words = words.to(torch.int64)
    return packed(words[..., 0], words[..., 1])


def high_word(key: Tensor) -> Tensor:
    return key >> 32 & _WORD


def low_word(key: Tensor) -> Tensor:
    return key & _WORD


def cipher_of_counts(key: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """The cipher of 0, 1, 2, ... in an array of this shape, for every key: int64[*key.shape, *shape] twice."""
    numbers = torch.arange(math.prod(shape), device=key.device).reshape(shape)
    keys = key.reshape(tuple(key.shape) + (1,) * len(shape))
    return threefry(high_word(keys), low_word(keys), numbers >> 32, numbers & _WORD)


def words(key: Tensor, shape: Shape) -> Tensor:
    """Random words of 32 bits: int64[*key.shape, *shape]."""
    high, low = cipher_of_counts(key, shape)
    return high ^ low


def split(key: Tensor, shape: Shape) -> Tensor:
    """Keys made of every key, as `jax.random.split` makes them: [*key.shape, *shape]."""
    return packed(*cipher_of_counts(key, shape))


def uniform(key: Tensor, shape: Shape, low: Tensor | float = 0.0, high: Tensor | float = 1.0, bits: int = 32) -> Tensor:
    """The numbers of `jax.random.uniform`, from `low` up to `high`: [*key.shape, *shape].

    They are float32, drawn as 23 bits, or with `bits=64` float64, drawn as 52 bits.
    """
    if bits == 32:
        drawn = (words(key, shape) >> 9).to(torch.float32) * 2.0**-23
    else:
        first, second = cipher_of_counts(key, shape)
        drawn = (first << 20 | second >> 12).to(torch.float64) * 2.0**-52
    low, high = (torch.as_tensor(end, dtype=drawn.dtype, device=drawn.device) for end in (low, high))
    return torch.maximum(low, drawn * (high - low) + low)


def normal(key: Tensor, shape: Shape, bits: int = 32) -> Tensor:
    """The numbers of `jax.random.normal`, float32 or with `bits=64` float64: [*key.shape, *shape]."""
    step = 2.0**-24 if bits == 32 else 2.0**-53  # from -1 to the next number
    return math.sqrt(2) * torch.erfinv(uniform(key, shape, step - 1.0, 1.0, bits))


def randint(key: Tensor, shape: Shape, low: Tensor | int, high: Tensor | int) -> Tensor:
    """The numbers of `jax.random.randint`, at least `low` and below `high`: int32[*key.shape, *shape].

    Two words of 32 bits are one number of 64, of which the remainder is taken in 32 bits.
    """
    low, high = (torch.as_tensor(end, dtype=torch.int64, device=key.device) for end in (low, high))
    span = (high - low).clamp(min=1)
    first, second = (words(half, shape) for half in split(key, (2,)).unbind(-1))
    factor = ((2**16 % span) ** 2 & _WORD) % span
    return (low + ((first % span * factor & _WORD) + second % span & _WORD) % span).to(torch.int32)


@TABLE.rule("lax.random_seed", limits=[_OTHER])
def random_seed(seeds: Tensor, impl: object = None) -> Tensor:
    """random_seed(seeds, *, impl): the bits of a seed of 64 or fewer bits"""
    return seeds if seeds.dtype is torch.int64 else seeds.to(torch.int64) & _WORD


@TABLE.rule("lax.random_wrap", limits=[_OTHER])
def random_wrap(base: Tensor, impl: object = None) -> Tensor:
    """random_wrap(base, *, impl): words of 32 bits as keys"""
    return wrap_key_data(base)


@TABLE.rule("lax.random_unwrap", limits=[_OTHER])
def random_unwrap(keys: Tensor) -> Tensor:
    """random_unwrap(keys): keys as words of 32 bits"""
    return torch.stack([high_word(keys), low_word(keys)], -1).to(torch.uint32)


@TABLE.rule("lax.random_fold_in", limits=[_OTHER])
def random_fold_in(keys: Tensor, msgs: Tensor | int) -> Tensor:
    """random_fold_in(keys, msgs)"""
    data = torch.as_tensor(msgs, device=keys.device).to(torch.int64)
    return packed(*threefry(high_word(keys), low_word(keys), torch.zeros_like(data), data & _WORD))


@TABLE.rule("lax.random_split", limits=[_OTHER, _OLD_COUNTERS])
def random_split(keys: Tensor, shape: Shape, partitionable: bool = True) -> Tensor:
    """random_split(keys, *, shape)"""
    return split(keys, shape)


@TABLE.rule("lax.random_clone", limits=[_OTHER])
def random_clone(keys: Tensor) -> Tensor:
    """random_clone(keys)"""
    return keys


@TABLE.rule("lax.random_bits", limits=[_OTHER, _OLD_COUNTERS])
def random_bits(keys: Tensor, bit_width: int, shape: Shape, partitionable: bool = True) -> Tensor:
    """random_bits(keys, *, bit_width, shape)"""
    if bit_width == 64:
        return packed(*cipher_of_counts(keys, shape)).view(torch.uint64)
    if bit_width == 32:
        return words(keys, shape).to(torch.uint32)
    if bit_width == 16:
        return (words(keys, shape) & 0xFFFF).to(torch.uint16)
    return (words(keys, shape) & 0xFF).to(torch.uint8)


@TABLE.rule("jax.random.uniform", limits=[_OTHER, _OLD_COUNTERS])
def random_uniform(
    key: Tensor,
    minval: Tensor | float,
    maxval: Tensor | float,
    shape: Shape,
    bits: int = 32,
    partitionable: bool = True,
) -> Tensor:
    """uniform(key, shape, minval=0.0, maxval=1.0) in float32, or with 64 bits in float64"""
    if bits == 64:
        return uniform(key, shape, minval, maxval, bits=64)
    if isinstance(minval, float) and isinstance(maxval, float) and minval == 0.0 and maxval == 1.0:
        return uniform(key, shape)
    return uniform(key, shape, minval, maxval)


@TABLE.rule("jax.random.normal", limits=[_OTHER, _OLD_COUNTERS])
def random_normal(key: Tensor, shape: Shape, bits: int = 32, partitionable: bool = True) -> Tensor:
    """normal(key, shape) in float32, or with 64 bits in float64"""
    if bits == 64:
        return normal(key, shape, bits=64)
    return normal(key, shape)


@TABLE.rule("jax.random.randint", limits=[_OTHER, _OLD_COUNTERS])
def random_randint(
    key: Tensor, minval: Tensor | int, maxval: Tensor | int, shape: Shape, partitionable: bool = True
) -> Tensor:
    """randint(key, shape, minval, maxval) in int32"""
    return randint(key, shape, minval, maxval)


@TABLE.rule("lax.threefry2x32")
def threefry2x32(key1: Tensor, key2: Tensor, count1: Tensor, count2: Tensor) -> tuple[Tensor, Tensor]:
    """threefry2x32(key1, key2, count1, count2)"""
    words = (torch.as_tensor(word).to(torch.int64) & _WORD for word in (key1, key2, count1, count2))
    high, low = threefry(*words)
    return high.to(torch.uint32), low.to(torch.uint32)


_OWN_GENERATOR = Limit(
    "always",
    lambda _: True,
    "unsupported",
    "XLA's own generator gives other numbers on every processor: use jax.random, whose numbers are defined",
)


@TABLE.rule("lax.rng_bit_generator", limits=[_OWN_GENERATOR])
def rng_bit_generator(key: Tensor, shape: Shape, dtype: torch.dtype, algorithm: object = None) -> tuple[Tensor, Tensor]:
    """rng_bit_generator(key, *, shape, dtype, algorithm)"""
    raise NotImplementedError


@TABLE.rule("lax.rng_uniform", limits=[_OWN_GENERATOR])
def rng_uniform(a: Tensor, b: Tensor, shape: Shape) -> Tensor:
    """rng_uniform(a, b, *, shape)"""
    raise NotImplementedError
