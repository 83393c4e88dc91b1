"""How matrix units add: products aligned to the largest exponent, cut to a few bits, summed, cut again.

Models of the accumulation inside the tensor and matrix cores of seven accelerators, for whole arrays of dot
products. The behaviour (group sizes, fraction bits, truncation, order) is that published by Xie et al. 2025,
arXiv 2511.10909, who verified it bit by bit on hardware, and by DeepSeek-AI 2024, arXiv 2412.19437, section 3.3.2
(promotion to FP32 every 128 terms). Infinities and NaNs are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.core.errors import InputError, require_known
from training_moat.core.formats import FLOAT_FORMATS, FloatFormat, element
from training_moat.numerics.rounding import round_nearest
from training_moat.numerics.scaling import largest, per_tensor, rounding, tensor_scale

_NO_EXPONENT = -126  # what the hardware takes for zero
_FP32_FRACTION_BITS = 23
_AMD_SUM_BITS, _AMD_CARRY_BITS, _AMD_CARRY_REACH = 31, 24, 25


@dataclass(frozen=True)
class MatrixUnit:
    """One accelerator's accumulation of one operand format."""

    name: str
    chips: str
    vendor: str
    operand: str
    group: int  # products summed in one fused step
    fraction_bits: int  # bits kept of each term after alignment
    output_bits: int = _FP32_FRACTION_BITS  # fraction bits of the running sum between steps
    promote_every: int | None = None  # terms after which the sum moves to an FP32 register outside


MATRIX_UNITS = {
    unit.name: unit
    for unit in (
        MatrixUnit("volta_fp16", "V100", "NVIDIA", "fp16", 4, 23),
        MatrixUnit("ampere_bf16", "A100", "NVIDIA", "bf16", 8, 24),
        MatrixUnit("hopper_bf16", "H100, H800", "NVIDIA", "bf16", 16, 25),
        MatrixUnit("hopper_fp8", "H100, H800 (fast accumulation)", "NVIDIA", "e4m3fn", 32, 13, 13),
        MatrixUnit("hopper_fp8_promoted", "H100, H800 (promoted every 128)", "NVIDIA", "e4m3fn", 32, 13, 13, 128),
        MatrixUnit("blackwell_fp8", "B200", "NVIDIA", "e4m3fn", 32, 25),
        MatrixUnit("cdna3_bf16", "MI300X", "AMD", "bf16", 8, 24),
        MatrixUnit("cdna3_fp8", "MI300X", "AMD", "e4m3fnuz", 16, 24),
    )
}  # fmt: skip
"""Modelled matrix units, by name."""


def matrix_unit(name: str) -> MatrixUnit:
    """The matrix unit called `name`."""
    require_known("matrix unit", name, MATRIX_UNITS)
    return MATRIX_UNITS[name]


def dot(a: np.ndarray, b: np.ndarray, unit: MatrixUnit) -> np.ndarray:
    """Dot products of the rows of `a` and `b`, both (rows, terms), as the unit would return them in FP32.

    The operands must already be numbers of the unit's operand format; terms beyond a whole group are padded with
    zeros, as kernels do.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(
            f"dot: operands of {a.shape} and {b.shape}: expected two (rows, terms) arrays alike."
        )
    a, b = (_padded(np.asarray(side, dtype=np.float64), unit.group) for side in (a, b))
    low = FLOAT_FORMATS[unit.operand].min_exponent
    exponents = _exponent(a, low) + _exponent(b, low)
    products = a * b  # exact in FP64: at most 22 significant bits
    step = _amd_step if unit.vendor == "AMD" else _nvidia_step
    running = np.zeros(len(a))
    promoted = np.zeros(len(a), dtype=np.float32)
    for start in range(0, a.shape[1], unit.group):
        part = slice(start, start + unit.group)
        running = step(products[:, part], exponents[:, part], running, unit)
        if unit.promote_every and (start + unit.group) % unit.promote_every == 0:
            promoted += running.astype(np.float32)
            running = np.zeros(len(a))
    return promoted + running.astype(np.float32)


def error_by_length(
    units: Iterable[str], lengths: Sequence[int], rows: int = 256, positive: bool = False
) -> pd.DataFrame:
    """Relative error of sums against their length, for normal operands scaled per tensor into the operand format.

    With `positive` the operands are the magnitudes of normal numbers: truncation then errs in one direction, and the errors
    add up instead of averaging out. The reference is the exact sum of the same rounded operands, so only the accumulation
    errs. Columns: unit, chips, operand, label (chips and format for readers), terms, rms_error (root mean square over the
    rows, relative to that of the sums), max_error (largest error over the root mean square of the sums).
    """
    generator = np.random.default_rng(0)
    draws = generator.standard_normal((2, rows, max(lengths)))
    draws = np.abs(draws) if positive else draws
    records = []
    for unit in map(matrix_unit, units):
        fmt = FLOAT_FORMATS[unit.operand]
        label = f"{fmt.title.split(' (')[0].split(' E4M3')[0]} on {unit.chips}"
        a, b = (_as_operands(side, fmt) for side in draws)
        for terms in lengths:
            exact = (a[:, :terms] * b[:, :terms]).sum(axis=1)
            error = dot(a[:, :terms], b[:, :terms], unit) - exact
            scale = np.sqrt(np.mean(exact**2))
            sizes = np.sqrt(np.mean(error**2)) / scale, np.abs(error).max() / scale
            records.append((unit.name, unit.chips, unit.operand, label, terms, *sizes))
    columns = ["unit", "chips", "operand", "label", "terms", "rms_error", "max_error"]
    return pd.DataFrame(records, columns=columns)


def _as_operands(draws: np.ndarray, fmt: FloatFormat) -> np.ndarray:
    if fmt.bits > 8:
        return round_nearest(draws, fmt)
    scale = tensor_scale(largest(draws), fmt.max_finite)
    return per_tensor(draws * scale, fmt, 1.0, rounding())


def _padded(side: np.ndarray, group: int) -> np.ndarray:
    return np.pad(side, ((0, 0), (0, -side.shape[1] % group)))


def _exponent(numbers: np.ndarray, low: int) -> np.ndarray:
    """Binary exponent of each number, not below `low`; zeros lie below everything."""
    exponent = np.maximum(np.frexp(numbers)[1] - 1, low)
    return np.where(numbers == 0, _NO_EXPONENT, exponent)


def _cut(numbers: np.ndarray, exponent: np.ndarray, bits: int, how=np.trunc) -> np.ndarray:
    """Drop what lies below `bits` binary places under 2^exponent."""
    unit = np.ldexp(1.0, exponent - bits)
    return how(numbers / unit) * unit


def _nvidia_step(
    products: np.ndarray, exponents: np.ndarray, running: np.ndarray, unit: MatrixUnit
) -> np.ndarray:
    """One fused step: the running sum is a term like the others (arXiv 2511.10909, algorithm for tensor cores)."""
    carried = _exponent(running, _NO_EXPONENT)
    top = np.maximum(exponents.max(axis=1), carried)
    total = _cut(products, top[:, None], unit.fraction_bits).sum(axis=1) + _cut(
        running, top, unit.fraction_bits
    )
    return _cut(total, _exponent(total, _NO_EXPONENT), unit.output_bits)


def _amd_step(
    products: np.ndarray, exponents: np.ndarray, running: np.ndarray, unit: MatrixUnit
) -> np.ndarray:
    """One fused step of CDNA3: FP8 products in two halves, rounding down where the parts meet, to nearest at the end."""
    if element(unit.operand).bits == 8:
        bits = unit.fraction_bits
        halves = [_fused(products[:, side::2], exponents[:, side::2], bits) for side in (0, 1)]
        top = np.maximum(halves[0][1], halves[1][1])
        one, other = (_cut(half, top, bits, np.floor) for half, _ in halves)
        total = one + other
    else:
        total, top = _fused(products, exponents, unit.fraction_bits)
    carried = _exponent(running, _NO_EXPONENT)
    highest = np.maximum(top, carried)
    total = _cut(total, highest, _AMD_SUM_BITS, np.floor)
    kept = _cut(running, highest, _AMD_CARRY_BITS, np.floor)
    if element(unit.operand).bits == 8:
        kept = np.where(carried >= highest - _AMD_CARRY_REACH, kept, 0.0)
    return (total + kept).astype(np.float32).astype(np.float64)


def _fused(products: np.ndarray, exponents: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    top = exponents.max(axis=1)
    return _cut(products, top[:, None], bits).sum(axis=1), top
