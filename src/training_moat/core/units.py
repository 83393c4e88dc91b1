"""Unit factors, named once. Decimal prefixes are powers of 1,000; binary ones powers of 1,024."""

from __future__ import annotations

from typing import NamedTuple

MB, GB, TB = 1e6, 1e9, 1e12
MIB, GIB = 1024.0**2, 1024.0**3
BILLION, TERA = 1e9, 1e12
BITS_PER_BYTE = 8.0
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3600.0, 86400.0


class NumberFormat(NamedTuple):
    """A number format: the bytes that one stored value takes, block scales included; the formats that a chip without units
    for it computes in instead, best first; and the width of the units whose matmuls reach about the same share of peak."""

    value_bytes: float | None
    instead: str
    width: str = ""


NUMBER_FORMATS = {
    "fp32": NumberFormat(4.0, "tf32", "16"),
    "tf32": NumberFormat(4.0, "fp32", "16"),
    "fp16": NumberFormat(2.0, "bf16 tf32 fp32", "16"),
    "bf16": NumberFormat(2.0, "fp16 tf32 fp32", "16"),
    "fp6": NumberFormat(None, "", "8"),
    "fp8": NumberFormat(1.0, "bf16 fp16 tf32 fp32", "8"),
    "mxfp8": NumberFormat(1.0 + 1 / 32, "fp8 bf16 fp16 tf32 fp32", "8"),
    "int8": NumberFormat(1.0, "fp8 bf16 fp16 tf32 fp32", "8"),
    "mxfp6": NumberFormat(0.75 + 1 / 32, ""),
    "mxfp4": NumberFormat(0.5 + 1 / 32, "fp4 fp8 bf16 fp16 tf32 fp32", "4"),
    "nvfp4": NumberFormat(0.5 + 1 / 16, "fp4 mxfp4 fp8 bf16 fp16 tf32 fp32", "4"),
    "int4": NumberFormat(0.5 + 2.5 / 128, "int8 fp8 bf16 fp16 tf32 fp32"),
    "fp4": NumberFormat(0.5 + 1 / 32, "fp8 bf16 fp16 tf32 fp32", "4"),
}
"""MX: one 8-bit scale per 32 values, OCP MX v1.0 section 5.2; NVFP4: one 8-bit scale per 16 values; INT4: a 16-bit scale and a
4-bit zero per 128 values, as GPTQ and AWQ checkpoints have."""

BYTES_PER_VALUE = {
    name: one.value_bytes for name, one in NUMBER_FORMATS.items() if one.value_bytes is not None
}
"""Bytes one stored value takes, by format."""
