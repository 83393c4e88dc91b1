"""Quantisation with a scale: per tensor and microscaled.

Each function returns the numbers the matrix unit would see, scale undone ("quantise and dequantise"), in the
input's type. Sources: Transformer Engine's delayed and current scaling (docs/features/low_precision_training);
OCP MX 1.0, section 6.3, and arXiv 2506.08027 (microscaling, rounding of the shared scale); arXiv 2509.25149,
appendix B (NVFP4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from training_moat.core.errors import InputError
from training_moat.core.formats import FloatFormat, IntegerFormat, ScaledFormat, element
from training_moat.numerics.rounding import round_nearest, round_stochastic

Rounding = Callable[[np.ndarray, FloatFormat | IntegerFormat], np.ndarray]
"""Rounds an array to a format."""

_E4M3 = element("e4m3fn")
_E8M0_SMALLEST, _E8M0_LARGEST = -127, 127


def rounding(
    rng: np.random.Generator | None = None, saturate: bool = True
) -> Callable[[np.ndarray, FloatFormat | IntegerFormat], np.ndarray]:
    """A rounding function: to nearest, or stochastic when a generator is given."""
    if rng is None:
        return lambda array, fmt: round_nearest(array, fmt, saturate)
    return lambda array, fmt: round_stochastic(array, fmt, rng, saturate)


def largest(array: np.ndarray) -> float:
    """Largest magnitude among the finite entries; zero for an array without any."""
    magnitude = float(max(array.max(initial=0.0), -array.min(initial=0.0)))
    if not np.isfinite(magnitude):
        finite = array[np.isfinite(array)]
        magnitude = float(np.abs(finite).max(initial=0.0))
    return magnitude


def tensor_scale(amax: float, top: float) -> float:
    """Factor that maps `amax` onto `top`; one for an empty tensor."""
    scale = top / amax if amax > 0 else 1.0
    return scale if np.isfinite(scale) else 1.0


def per_tensor(
    array: np.ndarray, fmt: FloatFormat | IntegerFormat, scale: float, round_to: Rounding
) -> np.ndarray:
    """Quantise with one scale for the whole tensor."""
    factor = array.dtype.type(scale)
    quantised = round_to(array * factor, fmt)
    quantised /= factor
    return quantised


class DelayedScale:
    """One tensor's scale, chosen from the largest magnitudes of its last uses (Transformer Engine's default).

    The scale of a step is fixed before the tensor of that step exists, so a jump in magnitude overflows.
    """

    def __init__(self, top: float, history: int) -> None:
        self._top = top
        self._amax: deque[float] = deque(maxlen=history)

    def next(self, array: np.ndarray) -> float:
        """Scale for this use; records the array for the uses to come. The first use scales by itself."""
        amax = largest(array)
        scale = tensor_scale(max(self._amax) if self._amax else amax, self._top)
        self._amax.append(amax)
        return scale


def microscaled(
    array: np.ndarray, fmt: ScaledFormat, round_to: Rounding, axis: int = -1, scale_up: bool = True
) -> np.ndarray:
    """Quantise along `axis` with the format's shared scales.

    For MX formats the power-of-two scale is rounded up so that no element overflows (`scale_up`, Nvidia's recipe,
    arXiv 2506.08027), or taken from the exponent of the largest element (OCP MX 1.0, section 6.3), where the
    largest elements may overflow and are clamped.
    """
    size = array.shape[axis]
    if size % fmt.block:
        raise InputError(
            f"axis of {size} numbers cannot be cut into blocks of {fmt.block} for {fmt.name}: expected a multiple."
        )
    axis %= array.ndim
    blocks = array.reshape(*array.shape[:axis], -1, fmt.block, *array.shape[axis + 1 :])
    amax = _block_amax(blocks, axis + 1)
    step = (
        _power_of_two_scale(amax, fmt.element, scale_up)
        if fmt.scale == "e8m0"
        else _two_level_scale(amax, fmt.element)
    )
    quantised = round_to(blocks / step, fmt.element)
    quantised *= step
    return quantised.reshape(array.shape)


def _block_amax(blocks: np.ndarray, axis: int) -> np.ndarray:
    """Largest magnitude along a short axis, kept with length one; the last axis by halving, faster than a reduction."""
    amax = np.abs(blocks)
    if axis < amax.ndim - 1:
        return amax.max(axis=axis, keepdims=True)
    while amax.shape[-1] > 1:
        half = amax.shape[-1] // 2
        amax = np.maximum(amax[..., :half], amax[..., half:])
    return amax


def _power_of_two_scale(amax: np.ndarray, fmt: FloatFormat, scale_up: bool) -> np.ndarray:
    some = amax > 0
    safe = amax if some.all() else np.where(some, amax, 1.0).astype(amax.dtype)
    if scale_up:  # smallest power of two that brings the largest element inside the range
        fraction, exponent = np.frexp(safe / amax.dtype.type(fmt.max_finite))
        exponent -= fraction == 0.5
    else:
        exponent = np.frexp(safe)[1]
        exponent -= 1 + fmt.max_exponent
    step = np.ldexp(
        amax.dtype.type(1.0), exponent.clip(_E8M0_SMALLEST, _E8M0_LARGEST, out=exponent)
    )
    return step if safe is amax else np.where(some, step, amax.dtype.type(1.0))


def _two_level_scale(amax: np.ndarray, fmt: FloatFormat) -> np.ndarray:
    """FP32 scale per tensor and E4M3 scale per block (arXiv 2509.25149, equations 2 to 5)."""
    per_whole = largest(amax) / (fmt.max_finite * _E4M3.max_finite)
    if per_whole == 0:
        return np.ones_like(amax)
    step = round_nearest(amax / amax.dtype.type(fmt.max_finite * per_whole), _E4M3)
    step *= amax.dtype.type(per_whole)
    empty = ~(step > 0)
    if empty.any():
        step[empty] = 1.0
    return step
