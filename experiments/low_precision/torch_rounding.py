"""Rounding and scaling in PyTorch, bit for bit those of `training_moat.numerics.rounding` and `.scaling`.

All functions take and return FP32 tensors and hold for finite numbers. The first axis counts runs that are trained side
by side: a scale "of a tensor" is one per run. Steps that are powers of two are divided by through their inverse, which is
exact however a compiler divides; where one of two numbers is a constant it is spread to a tensor first, because PyTorch
multiplies by the inverse of a constant, which is rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training_moat.core.formats import UNSIGNED_ZERO, FloatFormat, ScaledFormat, element

_EXPONENT, _ALL_EXPONENTS = 0x7F800000, 0x7F000000
_BF16_CUT = 16
_E4M3 = element("e4m3fn")
_SMALLEST_STEP, _LARGEST_STEP = -126, 127


def _in_steps(x: Tensor, fmt: FloatFormat, end: float) -> tuple[Tensor, Tensor]:
    """`x`, clipped at `end`, in units of the format's spacing around each number, and that spacing."""
    clipped = x.clamp(-end, end)
    below = (clipped.view(torch.int32) & _EXPONENT).view(torch.float32)
    step = below.clamp(fmt.min_normal, 2.0**fmt.max_exponent) * 2.0**-fmt.fraction_bits
    return clipped * inverse(step), step


def inverse(power: Tensor) -> Tensor:
    """One over powers of two, exactly, by their exponent's bits."""
    return (_ALL_EXPONENTS - power.view(torch.int32)).view(torch.float32)


def _past(fmt: FloatFormat) -> float:
    """One step beyond the largest number: enough to tell an overflow."""
    return fmt.max_finite + fmt.spacing(fmt.max_finite)


def _in_numbers(steps: Tensor, step: Tensor, fmt: FloatFormat, checked: bool) -> Tensor:
    numbers = steps * step
    if not checked:
        over = torch.copysign(torch.full_like(numbers, fmt.overflow), numbers)
        numbers = torch.where(numbers.abs() > fmt.max_finite, over, numbers)
    return numbers + 0.0 if fmt.specials == UNSIGNED_ZERO else numbers


def nearest(x: Tensor, fmt: FloatFormat, saturate: bool = True) -> Tensor:
    """Round to the nearest number of `fmt`, ties to the even code; see `rounding.round_nearest`."""
    if fmt.name == "fp32":
        return x.clamp(-fmt.max_finite, fmt.max_finite) if saturate else x
    if fmt.name == "bf16":
        rounded = x.to(torch.bfloat16).float()
        return rounded.clamp(-fmt.max_finite, fmt.max_finite) if saturate else rounded
    steps, step = _in_steps(x, fmt, fmt.max_finite if saturate else _past(fmt))
    return _in_numbers(torch.round(steps), step, fmt, checked=saturate)


def stochastic(x: Tensor, fmt: FloatFormat, draws: Tensor, saturate: bool = True) -> Tensor:
    """Round up or down by `draws`: evenly from [0, 1), for BF16 from the whole numbers below 2^16."""
    if fmt.name == "bf16":
        word = (x.view(torch.int32) + draws) & -(1 << _BF16_CUT)
        rounded = torch.where(torch.isfinite(x), word.view(torch.float32), x)
        return rounded.clamp(-fmt.max_finite, fmt.max_finite) if saturate else rounded
    steps, step = _in_steps(x, fmt, _past(fmt))
    rounded = _in_numbers(torch.floor(steps + draws), step, fmt, checked=saturate)
    return rounded.clamp(-fmt.max_finite, fmt.max_finite) if saturate else rounded


def tensor_scale(amax: Tensor, top: Tensor) -> Tensor:
    """Factor that maps `amax` onto `top`; one where that is no number; see `scaling.tensor_scale`."""
    scale = top / amax
    return torch.where((amax > 0) & torch.isfinite(scale), scale, torch.ones_like(scale))


def round_to(x: Tensor, fmt: FloatFormat, saturate: bool, draws: Tensor | None) -> Tensor:
    """`nearest`, or `stochastic` where there are draws."""
    return nearest(x, fmt, saturate) if draws is None else stochastic(x, fmt, draws, saturate)


def block_steps(amax: Tensor, whole: Tensor, fmt: ScaledFormat, scale_up: bool) -> Tensor:
    """Shared step of every block from its largest magnitude; `whole` is `whole_scale` of the tensor, for NVFP4."""
    one = torch.ones_like(amax)
    if fmt.scale != "e8m0":
        step = nearest(amax / (fmt.element.max_finite * whole).float(), _E4M3)
        return torch.where(step > 0, step, one)
    safe = torch.where(amax > 0, amax, one)
    if scale_up:  # smallest power of two that brings the largest element inside the range
        word = (safe / torch.full_like(safe, fmt.element.max_finite)).view(torch.int32)
        exponent = (word >> 23) - 127 + (word & 0x7FFFFF).clamp(max=1)
    else:
        exponent = (safe.view(torch.int32) >> 23) - 127 - fmt.element.max_exponent
    exponent = exponent.clamp(_SMALLEST_STEP, _LARGEST_STEP)
    return torch.where(amax > 0, ((exponent + 127) << 23).view(torch.float32), one)


def whole_scale(amax: Tensor, fmt: ScaledFormat) -> Tensor:
    """NVFP4's second scale, one a tensor, in FP64 (arXiv 2509.25149, equations 2 to 5); one for an empty tensor."""
    scale = amax.double() / (fmt.element.max_finite * _E4M3.max_finite)
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def microscaled(
    x: Tensor, axis: int, whole: Tensor, fmt: ScaledFormat, scale_up: bool, draws: Tensor | None
) -> Tensor:
    """Quantise blocks that lie along `axis` (of length `fmt.block`); see `scaling.microscaled`.

    Returns elements times block scales: for MX formats the numbers themselves, for NVFP4 the numbers over `whole`.
    Both are exact in BF16, which the numbers under NVFP4's FP32 scale are not.
    """
    step = block_steps(x.abs().amax(axis, keepdim=True), whole, fmt, scale_up)
    if fmt.scale == "e8m0":
        codes = round_to(x * inverse(step), fmt.element, True, draws)
    else:
        codes = round_to(x / (step * whole.float()), fmt.element, True, draws)
    return codes * step


def hashed(count: int, key: Tensor) -> Tensor:
    """`count` evenly spread words of 32 bits, as int32, from a counter and a key (Wellons' hash "lowbias32").

    Draws by a counter, so that a step replayed as one graph draws anew without a generator's state.
    """
    word = torch.arange(count, dtype=torch.int32, device=key.device) + key
    word = (word ^ ((word >> 16) & 0xFFFF)) * 0x7FEB352D
    word = (word ^ ((word >> 15) & 0x1FFFF)) * (0x846CA68B - (1 << 32))
    return word ^ ((word >> 16) & 0xFFFF)


def evenly(count: int, key: Tensor) -> Tensor:
    """`count` draws from [0, 1) on a grid of 2^-24."""
    return ((hashed(count, key) >> 8) & 0xFFFFFF).float() * 2.0**-24


def dither(count: int, key: Tensor) -> Tensor:
    """`count` whole numbers from [0, 2^16)."""
    return (hashed(count, key) >> 16) & 0xFFFF
