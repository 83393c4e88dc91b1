"""Rounding of whole arrays to a number format, bit for bit as the formats define it.

Every function returns an array of the input's type (float32 or float64) that holds only numbers of the
format: the arithmetic that follows is then that of the low-precision hardware.
"""

from __future__ import annotations

import numpy as np

from training_moat.core.errors import InputError
from training_moat.core.formats import UNSIGNED_ZERO, FloatFormat, IntegerFormat

_WORD = {np.dtype(np.float32): (np.uint32, np.uint32(0x7F800000)),
         np.dtype(np.float64): (np.uint64, np.uint64(0x7FF0000000000000))}  # fmt: skip
_FP32_FRACTION_BITS = 23
_FP32_EXPONENT_BITS = 8


def round_nearest(array: np.ndarray, fmt: FloatFormat | IntegerFormat, saturate: bool = True) -> np.ndarray:
    """Round to the nearest number of `fmt`, ties to the even code.

    With `saturate` an overflow becomes the largest number of the format; without, what the format defines
    (infinity, or NaN where it has none). NaN stays NaN.
    """
    if isinstance(fmt, IntegerFormat):
        return _round_integer(array, fmt, saturate, dither=None)
    if _shares_fp32_exponent(array, fmt):
        return _round_fp32_bits(array, fmt, saturate, dither=None)
    steps, step = _in_steps(array, fmt)
    return _finish(np.rint(steps, out=steps), step, fmt, saturate)


def round_stochastic(
    array: np.ndarray, fmt: FloatFormat | IntegerFormat, rng: np.random.Generator, saturate: bool = True
) -> np.ndarray:
    """Round up or down at random, so that the expected result is the input (where it does not overflow)."""
    if isinstance(fmt, IntegerFormat):
        return _round_integer(array, fmt, saturate, dither=rng.random(array.shape, dtype=array.dtype))
    if _shares_fp32_exponent(array, fmt):
        cut = _FP32_FRACTION_BITS - fmt.fraction_bits
        dither = rng.integers(0, 1 << cut, size=array.shape, dtype=np.uint32)
        return _round_fp32_bits(array, fmt, saturate, dither)
    steps, step = _in_steps(array, fmt)
    steps += rng.random(array.shape, dtype=array.dtype)
    return _finish(np.floor(steps, out=steps), step, fmt, saturate)


def _shares_fp32_exponent(array: np.ndarray, fmt: FloatFormat) -> bool:
    """BF16, TF32 and FP32 are cuts of the FP32 word, subnormals included: whole-number arithmetic rounds them."""
    if array.dtype not in _WORD:
        raise InputError(f"cannot round an array of {array.dtype}: expected float32 or float64.")
    return array.dtype == np.float32 and fmt.exponent_bits == _FP32_EXPONENT_BITS


def _round_fp32_bits(array: np.ndarray, fmt: FloatFormat, saturate: bool, dither: np.ndarray | None) -> np.ndarray:
    cut = _FP32_FRACTION_BITS - fmt.fraction_bits
    if cut == 0:
        return np.clip(array, -fmt.max_finite, fmt.max_finite) if saturate else array.copy()
    word = np.ascontiguousarray(array).view(np.uint32)
    if dither is None:  # ties to even: add half a step less one, plus the last kept bit
        dither = word >> np.uint32(cut)
        dither &= np.uint32(1)
        dither += np.uint32((1 << (cut - 1)) - 1)
    dither += word
    dither &= np.uint32(0xFFFFFFFF << cut & 0xFFFFFFFF)
    rounded = dither.view(np.float32)
    finite = np.isfinite(array)
    if not finite.all():  # the carry must not run through infinity or a NaN
        np.copyto(rounded, array, where=~finite)
    return np.clip(rounded, -fmt.max_finite, fmt.max_finite) if saturate else rounded


def _in_steps(array: np.ndarray, fmt: FloatFormat) -> tuple[np.ndarray, np.ndarray]:
    """The array in units of the format's spacing around each number, and that spacing."""
    word, exponent_mask = _WORD[array.dtype]
    # one step past the largest number: enough to tell an overflow, and clear of infinity over infinity
    limit = fmt.max_finite + fmt.spacing(fmt.max_finite)
    steps = np.clip(array, -limit, limit)
    step = (steps.view(word) & exponent_mask).view(array.dtype)  # the power of two below each number
    np.clip(step, fmt.min_normal, 2.0**fmt.max_exponent, out=step)
    step *= array.dtype.type(2.0**-fmt.fraction_bits)
    steps /= step
    return steps, step


def _finish(steps: np.ndarray, step: np.ndarray, fmt: FloatFormat, saturate: bool) -> np.ndarray:
    steps *= step
    if saturate:
        np.clip(steps, -fmt.max_finite, fmt.max_finite, out=steps)
    else:
        over = np.abs(steps) > fmt.max_finite
        if over.any():
            steps[over] = np.copysign(fmt.overflow, steps[over])
    if fmt.specials == UNSIGNED_ZERO:
        steps += 0.0  # there is no negative zero
    return steps


def _round_integer(
    array: np.ndarray, fmt: IntegerFormat, saturate: bool, dither: np.ndarray | None
) -> np.ndarray:
    rounded = np.rint(array) if dither is None else np.floor(array + dither)
    top = fmt.max_finite
    return np.clip(rounded, -top, top) if saturate else np.where(np.abs(rounded) > top, np.nan, rounded)
