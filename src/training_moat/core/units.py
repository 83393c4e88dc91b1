"""Unit factors, named once. Decimal prefixes are powers of 1,000; binary ones powers of 1,024."""

MB, GB, TB = 1e6, 1e9, 1e12
MIB, GIB = 1024.0**2, 1024.0**3
TERA = 1e12
BITS_PER_BYTE = 8.0
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3600.0, 86400.0

BYTES_PER_VALUE = {
    "fp32": 4.0,
    "tf32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "int8": 1.0,
    "mxfp6": 0.75 + 1 / 32,
    "mxfp4": 0.5 + 1 / 32,
    "nvfp4": 0.5 + 1 / 16,
    "int4": 0.5 + 2.5 / 128,
    "fp4": 0.5 + 1 / 32,
}
"""Bytes one stored value takes, block scales included (MX: one 8-bit scale per 32 values, OCP MX v1.0
section 5.2; NVFP4: one 8-bit scale per 16 values; INT4: a 16-bit scale and a 4-bit zero per 128 values, as GPTQ and
AWQ checkpoints have)."""
