"""Number formats against ml_dtypes, code by code, and the rules of rounding."""

import functools
import math

import ml_dtypes
import numpy as np
import pytest
from format_peers import PEERS
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core import formats
from training_moat.core.errors import InputError

reals = st.floats(allow_nan=False, allow_infinity=False, width=32)
small = st.sampled_from([name for name, fmt in formats.ELEMENT_FORMATS.items() if fmt.bits <= 16])


@pytest.mark.parametrize("name", PEERS)
def test_every_code_has_the_value_that_ml_dtypes_gives_it(name):
    fmt = formats.element(name)
    word = np.uint16 if fmt.bits == 16 else np.uint8
    with np.errstate(invalid="ignore"):
        theirs = np.arange(1 << fmt.bits, dtype=word).view(PEERS[name]).astype(np.float64)
    ours = np.array([fmt.value(code) for code in range(1 << fmt.bits)])
    assert np.array_equal(ours, theirs, equal_nan=True)
    numbers = ~np.isnan(ours)
    assert np.array_equal(np.signbit(ours[numbers]), np.signbit(theirs[numbers]))


@pytest.mark.parametrize("name", PEERS)
def test_limits_are_those_of_ml_dtypes(name):
    fmt, info = formats.element(name), ml_dtypes.finfo(PEERS[name])
    assert fmt.max_finite == float(info.max)
    assert fmt.min_normal == float(info.smallest_normal)
    assert fmt.min_subnormal == float(info.smallest_subnormal)


def test_fp32_and_tf32_limits():
    fp32, tf32 = formats.element("fp32"), formats.element("tf32")
    assert fp32.max_finite == float(np.finfo(np.float32).max)
    assert fp32.min_subnormal == float(np.finfo(np.float32).smallest_subnormal)
    assert (tf32.bits, tf32.min_normal) == (19, fp32.min_normal)


def test_fnuz_code_means_half_of_the_ocp_code():
    ocp, fnuz = formats.element("e4m3fn"), formats.element("e4m3fnuz")
    assert all(fnuz.value(code) == ocp.value(code) / 2 for code in range(1, 0x7F))


def test_stored_bits_include_the_share_of_the_scale():
    assert formats.scaled("mxfp4").bits == 4.25
    assert formats.scaled("nvfp4").bits == 4.5


@functools.cache
def numbers_of(name):
    return np.array(list(formats.element(name).values()))


@given(small, reals)
def test_rounding_gives_the_nearest_number_of_the_format(name, number):
    fmt = formats.element(name)
    rounded = fmt.round(number)
    numbers = numbers_of(name)
    assert rounded in numbers
    clamped = max(-fmt.max_finite, min(fmt.max_finite, number))
    assert abs(rounded - clamped) <= np.abs(numbers - clamped).min() * (1 + 1e-12)


@given(small, reals, reals)
def test_rounding_is_monotone_odd_and_idempotent(name, one, other):
    fmt = formats.element(name)
    low, high = sorted((one, other))
    assert fmt.round(low) <= fmt.round(high)
    assert fmt.round(-one) == -fmt.round(one)
    assert fmt.round(fmt.round(one)) == fmt.round(one)


@pytest.mark.parametrize(
    ("name", "beyond"),
    [("fp16", math.inf), ("e5m2", math.inf), ("e4m3fn", math.nan), ("e4m3fnuz", math.nan)],
)
def test_overflow_without_saturation(name, beyond):
    fmt = formats.element(name)
    result = fmt.round(fmt.max_finite * 2, saturate=False)
    assert result == beyond or (math.isnan(result) and math.isnan(beyond))
    assert fmt.round(fmt.max_finite * 2) == fmt.max_finite


def test_int8_is_symmetric():
    fmt = formats.element("int8")
    assert fmt.value(0xFF) == -1
    assert (fmt.round(-1000.0), fmt.round(2.5), min(fmt.values())) == (-127.0, 2.0, -127.0)


def test_bad_names_and_codes_are_one_sentence():
    with pytest.raises(InputError, match="did you mean 'e4m3fn'"):
        formats.element("e4m3n")
    with pytest.raises(InputError, match="expected 0 to 255"):
        formats.element("e4m3fn").value(256)
    with pytest.raises(InputError, match="at most 16 bits"):
        formats.element("fp32").values()
    with pytest.raises(InputError, match="microscaled format"):
        formats.scaled("nvfp5")
