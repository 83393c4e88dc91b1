"""Number formats of AI accelerators, described by their bits.

Sources: IEEE 754-2019 (fp32, fp16); Kalamkar et al. 2019, arXiv 1905.12322 (bf16); Micikevicius et al. 2022,
arXiv 2209.05433 (E4M3, E5M2 as in OCP 8-bit Floating Point 1.0); Noune et al. 2022, arXiv 2206.02915 (the
"fnuz" variants); OCP Microscaling Formats (MX) 1.0, 2023 (MXFP8, MXFP6, MXFP4, E8M0 scale); NVIDIA 2025,
arXiv 2509.25149, section 2 (NVFP4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from training_moat.core.errors import InputError, require_known

IEEE = "ieee"  # infinities and NaNs in the top exponent
FINITE = "fn"  # no infinity; one NaN per sign, all bits set
UNSIGNED_ZERO = "fnuz"  # no infinity, no negative zero; the code of negative zero is the only NaN
ALL_NUMBERS = "none"  # every code is a number


def _require_code(name: str, code: int, bits: int) -> None:
    """Refuse what no word of so many bits holds."""
    if not 0 <= code < 1 << bits:
        raise InputError(f"code {code} is not one of {name}: expected 0 to {(1 << bits) - 1}.")


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format: sign, exponent, fraction, and what it does with its special codes."""

    name: str
    title: str
    exponent_bits: int
    fraction_bits: int
    bias: int
    specials: str

    @property
    def bits(self) -> int:
        """Width of one code in bits, sign included."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def max_exponent(self) -> int:
        """Power of two of the binade that holds the largest finite number."""
        top = (1 << self.exponent_bits) - 1
        if self.specials == IEEE or (self.specials == FINITE and self.fraction_bits == 0):
            top -= 1
        return top - self.bias

    @property
    def max_finite(self) -> float:
        """Largest finite number."""
        steps = (1 << (self.fraction_bits + 1)) - 1
        if self.specials == FINITE:
            steps -= 1  # the all-ones code is NaN
        return math.ldexp(steps, self.max_exponent - self.fraction_bits)

    @property
    def min_exponent(self) -> int:
        """Power of two of the smallest normal number; subnormals share its spacing."""
        return 1 - self.bias

    @property
    def min_normal(self) -> float:
        """Smallest positive normal number."""
        return math.ldexp(1.0, self.min_exponent)

    @property
    def min_subnormal(self) -> float:
        """Smallest positive number."""
        return math.ldexp(1.0, self.min_exponent - self.fraction_bits)

    @property
    def binades(self) -> float:
        """Doublings between the smallest and the largest positive number."""
        return math.log2(self.max_finite / self.min_subnormal)

    @property
    def overflow(self) -> float:
        """Magnitude that a cast without saturation gives beyond the largest number."""
        return {IEEE: math.inf, FINITE: math.nan, UNSIGNED_ZERO: math.nan}.get(
            self.specials, self.max_finite
        )

    def value(self, code: int) -> float:
        """The number that `code` stands for (NaN and infinity included)."""
        _require_code(self.name, code, self.bits)
        sign = -1.0 if code >> (self.bits - 1) else 1.0
        magnitude = code & ((1 << (self.bits - 1)) - 1)
        exponent, fraction = (
            magnitude >> self.fraction_bits,
            magnitude & ((1 << self.fraction_bits) - 1),
        )
        if self.specials == IEEE and exponent == (1 << self.exponent_bits) - 1:
            return math.nan if fraction else sign * math.inf
        if self.specials == FINITE and magnitude == (1 << (self.bits - 1)) - 1:
            return math.nan
        if self.specials == UNSIGNED_ZERO and magnitude == 0 and sign < 0:
            return math.nan
        if exponent == 0:
            return sign * math.ldexp(fraction, self.min_exponent - self.fraction_bits)
        steps = fraction + (1 << self.fraction_bits)
        return sign * math.ldexp(steps, exponent - self.bias - self.fraction_bits)

    def values(self) -> Iterator[float]:
        """All finite numbers of the format in rising order (formats of at most 16 bits)."""
        if self.bits > 16:
            raise InputError(
                f"{self.name} has 2^{self.bits} codes: expected a format of at most 16 bits."
            )
        numbers = (self.value(code) for code in range(1 << self.bits))
        return iter(sorted({number for number in numbers if math.isfinite(number)}))

    def spacing(self, number: float) -> float:
        """Distance between neighbours of the format around `number`."""
        if number == 0:
            return self.min_subnormal
        exponent = max(math.frexp(abs(number))[1] - 1, self.min_exponent)
        return math.ldexp(1.0, min(exponent, self.max_exponent) - self.fraction_bits)

    def round(self, number: float, saturate: bool = True) -> float:
        """Nearest number of the format, ties to the even code.

        With `saturate` an overflow becomes the largest number; without, infinity or NaN as the format has it.
        """
        if math.isnan(number):
            return math.nan
        if math.isinf(number):
            return math.copysign(self.max_finite if saturate else self.overflow, number)
        step = self.spacing(number)
        rounded = math.copysign(round(abs(number) / step) * step, number)
        if abs(rounded) > self.max_finite:
            return math.copysign(self.max_finite if saturate else self.overflow, number)
        if rounded == 0 and self.specials == UNSIGNED_ZERO:
            return 0.0
        return rounded


@dataclass(frozen=True)
class IntegerFormat:
    """A two's-complement integer used with a scale, kept symmetric (the lowest code is not used)."""

    name: str
    title: str
    bits: int

    @property
    def max_finite(self) -> float:
        """Largest number."""
        return float((1 << (self.bits - 1)) - 1)

    @property
    def min_normal(self) -> float:
        """Smallest positive number: steps are even, there are no subnormals."""
        return 1.0

    @property
    def min_subnormal(self) -> float:
        """Smallest positive number."""
        return 1.0

    @property
    def binades(self) -> float:
        """Doublings between the smallest and the largest positive number."""
        return math.log2(self.max_finite)

    def value(self, code: int) -> float:
        """The number that the two's-complement `code` stands for."""
        _require_code(self.name, code, self.bits)
        return float(code - (1 << self.bits) if code >> (self.bits - 1) else code)

    def values(self) -> Iterator[float]:
        """All numbers in use, in rising order."""
        top = int(self.max_finite)
        return iter(float(number) for number in range(-top, top + 1))

    def spacing(self, number: float) -> float:
        """Distance between neighbours: always one."""
        return 1.0

    def round(self, number: float, saturate: bool = True) -> float:
        """Nearest integer, ties to even; beyond the range the largest one, or NaN without saturation."""
        if math.isnan(number):
            return math.nan
        if abs(number) > self.max_finite + 0.5 or math.isinf(number):
            return math.copysign(self.max_finite, number) if saturate else math.nan
        return max(-self.max_finite, min(self.max_finite, float(round(number))))


@dataclass(frozen=True)
class ScaledFormat:
    """Elements that share a scale in blocks along the contraction axis."""

    name: str
    title: str
    element: FloatFormat
    block: int
    scale: str  # "e8m0": power of two; "e4m3": FP8 block scale under one FP32 scale per tensor

    @property
    def bits(self) -> float:
        """Stored bits per number, the block's share of its 8-bit scale included."""
        return self.element.bits + 8.0 / self.block


_FLOATS = (
    FloatFormat("fp32", "FP32", 8, 23, 127, IEEE),
    FloatFormat("tf32", "TF32", 8, 10, 127, IEEE),
    FloatFormat("fp16", "FP16", 5, 10, 15, IEEE),
    FloatFormat("bf16", "BF16", 8, 7, 127, IEEE),
    FloatFormat("e4m3fn", "FP8 E4M3 (OCP)", 4, 3, 7, FINITE),
    FloatFormat("e4m3fnuz", "FP8 E4M3 (FNUZ)", 4, 3, 8, UNSIGNED_ZERO),
    FloatFormat("e4m3", "FP8 E4M3 (IEEE-like)", 4, 3, 7, IEEE),
    FloatFormat("e5m2", "FP8 E5M2 (OCP)", 5, 2, 15, IEEE),
    FloatFormat("e5m2fnuz", "FP8 E5M2 (FNUZ)", 5, 2, 16, UNSIGNED_ZERO),
    FloatFormat("e3m2fn", "FP6 E3M2", 3, 2, 3, ALL_NUMBERS),
    FloatFormat("e2m3fn", "FP6 E2M3", 2, 3, 1, ALL_NUMBERS),
    FloatFormat("e2m1fn", "FP4 E2M1", 2, 1, 1, ALL_NUMBERS),
)
FLOAT_FORMATS = {item.name: item for item in _FLOATS}
"""Floating-point formats, by name."""

ELEMENT_FORMATS: dict[str, FloatFormat | IntegerFormat] = {
    **FLOAT_FORMATS,
    "int8": IntegerFormat("int8", "INT8", 8),
}
"""Formats of a single number, by name."""

SCALED_FORMATS = {
    item.name: item
    for item in (
        ScaledFormat("mxfp8_e4m3", "MXFP8 E4M3", FLOAT_FORMATS["e4m3fn"], 32, "e8m0"),
        ScaledFormat("mxfp8_e5m2", "MXFP8 E5M2", FLOAT_FORMATS["e5m2"], 32, "e8m0"),
        ScaledFormat("mxfp6_e3m2", "MXFP6 E3M2", FLOAT_FORMATS["e3m2fn"], 32, "e8m0"),
        ScaledFormat("mxfp6_e2m3", "MXFP6 E2M3", FLOAT_FORMATS["e2m3fn"], 32, "e8m0"),
        ScaledFormat("mxfp4", "MXFP4", FLOAT_FORMATS["e2m1fn"], 32, "e8m0"),
        ScaledFormat("nvfp4", "NVFP4", FLOAT_FORMATS["e2m1fn"], 16, "e4m3"),
    )
}
"""Microscaled formats, by name."""


def element(name: str) -> FloatFormat | IntegerFormat:
    """The format of a single number called `name`."""
    require_known("number format", name, ELEMENT_FORMATS)
    return ELEMENT_FORMATS[name]


def scaled(name: str) -> ScaledFormat:
    """The microscaled format called `name`."""
    require_known("microscaled format", name, SCALED_FORMATS)
    return SCALED_FORMATS[name]
