"""Rounding of whole arrays to a number format, bit for bit as the formats define it.

Every function returns an array of the input's type (float32 or float64) that holds only numbers of the
format: the arithmetic that follows is then that of the low-precision hardware.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from training_moat.core.errors import InputError
from training_moat.core.formats import UNSIGNED_ZERO, FloatFormat, IntegerFormat

_WORD: dict[np.dtype, tuple[type, Any]] = {np.dtype(np.float32): (np.uint32, np.uint32(0x7F800000)),
         np.dtype(np.float64): (np.uint64, np.uint64(0x7FF0000000000000))}  # fmt: skip
_FP32_FRACTION_BITS = 23
_FP32_EXPONENT_BITS = 8
_ONE, _ALL = np.uint32(1), np.uint32(0xFFFFFFFF)


def round_nearest(
    array: np.ndarray, fmt: FloatFormat | IntegerFormat, saturate: bool = True
) -> np.ndarray:
    """Round to the nearest number of `fmt`, ties to the even code.

    With `saturate` an overflow becomes the largest number of the format; without, what the format defines
    (infinity, or NaN where it has none). NaN stays NaN.
    """
    if isinstance(fmt, IntegerFormat):
        return _round_integer(array, fmt, saturate, dither=None)
    limits = _limits(fmt, array.dtype)
    if limits.cut is not None:
        return _round_fp32_bits(array, limits, saturate, dither=None)
    # the largest number rounds to itself: clipped before, nothing can overflow after
    steps, step = _in_steps(array, limits, limits.top if saturate else limits.past)
    np.rint(steps, out=steps)
    return _in_numbers(steps, step, limits, fmt, checked=saturate)


def round_stochastic(
    array: np.ndarray,
    fmt: FloatFormat | IntegerFormat,
    rng: np.random.Generator,
    saturate: bool = True,
) -> np.ndarray:
    """Round up or down at random, so that the expected result is the input (where it does not overflow)."""
    if isinstance(fmt, IntegerFormat):
        return _round_integer(
            array, fmt, saturate, dither=rng.random(array.shape, dtype=array.dtype)
        )
    limits = _limits(fmt, array.dtype)
    if limits.cut is not None:
        dither = rng.integers(0, 1 << int(limits.cut), size=array.shape, dtype=np.uint32)
        return _round_fp32_bits(array, limits, saturate, dither)
    steps, step = _in_steps(array, limits, limits.past)
    steps += rng.random(array.shape, dtype=array.dtype)
    np.floor(steps, out=steps)
    rounded = _in_numbers(steps, step, limits, fmt, checked=saturate)
    return rounded.clip(-limits.top, limits.top, out=rounded) if saturate else rounded


class _Limits(NamedTuple):
    """What rounding needs of a format, as scalars of the array's type: computed once, not at every call."""

    top: np.floating  # largest number
    past: (
        np.floating
    )  # one step more: enough to tell an overflow, and clear of infinity over infinity
    smallest: np.floating  # smallest normal number
    highest: np.floating  # power of two of the largest number
    unit: np.floating  # spacing between one and two
    word: type  # whole numbers as wide as the array's
    exponent: np.unsignedinteger  # the exponent's bits of such a word
    cut: np.uint32 | None  # bits to drop, for formats that are cuts of the FP32 word


@cache
def _limits(fmt: FloatFormat, kind: np.dtype) -> _Limits:
    if kind not in _WORD:
        raise InputError(f"cannot round an array of {kind}: expected float32 or float64.")
    # BF16, TF32 and FP32 are cuts of the FP32 word, subnormals included: whole-number arithmetic rounds them
    is_cut = kind == np.float32 and fmt.exponent_bits == _FP32_EXPONENT_BITS
    beyond = fmt.max_finite + (0.0 if is_cut else fmt.spacing(fmt.max_finite))
    numbers = (
        fmt.max_finite,
        beyond,
        fmt.min_normal,
        2.0**fmt.max_exponent,
        2.0**-fmt.fraction_bits,
    )
    cut = np.uint32(_FP32_FRACTION_BITS - fmt.fraction_bits) if is_cut else None
    top, past, smallest, highest, unit = map(kind.type, numbers)
    return _Limits(top, past, smallest, highest, unit, *_WORD[kind], cut)


def _round_fp32_bits(
    array: np.ndarray, limits: _Limits, saturate: bool, dither: np.ndarray | None
) -> np.ndarray:
    cut = limits.cut or np.uint32(0)
    if cut == 0:
        return array.clip(-limits.top, limits.top) if saturate else array.copy()
    array = np.ascontiguousarray(array)
    word = array.view(np.uint32)
    if dither is None:  # ties to even: add half a step less one, plus the last kept bit
        dither = word >> cut
        dither &= _ONE
        dither += (_ONE << (cut - _ONE)) - _ONE
    dither += word
    dither &= _ALL << cut
    rounded = dither.view(np.float32)
    if not all_finite(array):  # the carry must not run through infinity or a NaN
        np.copyto(rounded, array, where=~np.isfinite(array))
    return rounded.clip(-limits.top, limits.top, out=rounded) if saturate else rounded


def all_finite(array: np.ndarray) -> bool:
    """Whether the array holds neither infinity nor NaN; the sum of squares tells at once unless it overflows."""
    flat = array.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.dot(flat, flat)
    return math.isfinite(squares) or bool(np.isfinite(flat).all())


def _in_steps(
    array: np.ndarray, limits: _Limits, end: np.floating
) -> tuple[np.ndarray, np.ndarray]:
    """The array, clipped at `end`, in units of the format's spacing around each number, and that spacing."""
    steps = array.clip(-end, end)
    step = (steps.view(limits.word) & limits.exponent).view(
        steps.dtype
    )  # the power of two below each number
    step.clip(limits.smallest, limits.highest, out=step)
    step *= limits.unit
    steps /= step
    return steps, step


def _in_numbers(
    steps: np.ndarray, step: np.ndarray, limits: _Limits, fmt: FloatFormat, checked: bool
) -> np.ndarray:
    """Undo `_in_steps`; what lies beyond the largest number overflows, unless the caller sees to that (`checked`)."""
    steps *= step
    if not checked and not max(steps.max(initial=0), -steps.min(initial=0)) <= limits.top:
        over = np.abs(steps) > limits.top
        steps[over] = np.copysign(fmt.overflow, steps[over])
    if fmt.specials == UNSIGNED_ZERO:
        steps += 0.0  # there is no negative zero
    return steps


def _round_integer(
    array: np.ndarray, fmt: IntegerFormat, saturate: bool, dither: np.ndarray | None
) -> np.ndarray:
    rounded = np.rint(array) if dither is None else np.floor(array + dither)
    top = fmt.max_finite
    return (
        np.clip(rounded, -top, top)
        if saturate
        else np.where(np.abs(rounded) > top, np.nan, rounded)
    )
