"""Scaled quantisation against ml_dtypes' own arithmetic and against what the standards say."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core.errors import InputError
from training_moat.core.formats import SCALED_FORMATS, element, scaled
from training_moat.numerics import scaling

PEERS = {
    "e4m3fn": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2, "e3m2fn": ml_dtypes.float6_e3m2fn,
    "e2m3fn": ml_dtypes.float6_e2m3fn, "e2m1fn": ml_dtypes.float4_e2m1fn,
}  # fmt: skip
MX = [name for name, fmt in SCALED_FORMATS.items() if fmt.scale == "e8m0"]


def matrix(seed=0, shape=(64, 128)):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * np.exp2(rng.uniform(-6, 6, (shape[0], 1)))).astype(
        np.float32
    )


def relative(quantised, array):
    return float(np.sqrt(((quantised - array) ** 2).sum() / (array**2).sum()))


@pytest.mark.parametrize("name", MX)
def test_mx_by_the_letter_of_the_standard(name):
    """OCP MX 1.0, section 6.3: shared exponent = floor(log2(largest)) - exponent of the element format's maximum."""
    fmt, array = scaled(name), matrix()
    blocks = array.reshape(-1, fmt.block).astype(np.float64)
    shared = np.exp2(
        np.floor(np.log2(np.abs(blocks).max(axis=1, keepdims=True))) - fmt.element.max_exponent
    )
    clipped = np.clip(blocks / shared, -fmt.element.max_finite, fmt.element.max_finite).astype(
        np.float32
    )
    expected = clipped.astype(PEERS[fmt.element.name]).astype(np.float64) * shared
    ours = scaling.microscaled(array, fmt, scaling.rounding(), scale_up=False)
    assert np.array_equal(ours.reshape(expected.shape), expected.astype(np.float32))


@pytest.mark.parametrize("name", MX)
def test_scale_rounded_up_never_overflows_and_is_the_smallest_such(name):
    fmt, array = scaled(name), matrix(1)
    array[0] *= fmt.element.max_finite / np.abs(array[0]).max()  # one block needs no scale at all
    blocks = np.abs(array.reshape(-1, fmt.block))
    seen = []
    scaling.microscaled(
        array, fmt, lambda scaled_blocks, _: seen.append(scaled_blocks.copy()) or scaled_blocks
    )
    largest = np.abs(seen[0].reshape(blocks.shape)).max(axis=1)
    assert (largest <= fmt.element.max_finite).all()
    assert (largest > fmt.element.max_finite / 2).all()


def test_nvfp4_follows_its_two_level_definition():
    """arXiv 2509.25149: one FP32 scale per tensor, one E4M3 scale per block of sixteen, elements E2M1."""
    array = matrix(2)
    blocks = array.reshape(-1, 16)
    whole = np.abs(array).max() / (6.0 * 448.0)
    per_block = (np.abs(blocks).max(axis=1, keepdims=True) / np.float32(6.0 * whole)).astype(
        ml_dtypes.float8_e4m3fn
    )
    step = per_block.astype(np.float32) * np.float32(whole)
    safe = np.where(step > 0, step, 1)
    expected = (
        np.clip(blocks / safe, -6, 6).astype(ml_dtypes.float4_e2m1fn).astype(np.float32) * safe
    )
    ours = scaling.microscaled(array, scaled("nvfp4"), scaling.rounding())
    assert np.array_equal(ours.reshape(blocks.shape), expected)


@pytest.mark.parametrize("name", SCALED_FORMATS)
def test_axis_means_the_axis(name):
    array = matrix(3, (64, 64))
    across = scaling.microscaled(
        np.ascontiguousarray(array.T), scaled(name), scaling.rounding(), axis=0
    )
    assert np.array_equal(
        across.T, scaling.microscaled(array, scaled(name), scaling.rounding(), axis=1)
    )


def test_finer_blocks_keep_what_one_scale_loses():
    """Rows a million times apart: one scale per tensor drops the small rows, blocks keep them."""
    array = matrix(4)
    array[::2] *= np.float32(2.0**-20)
    fmt, round_to = element("e4m3fn"), scaling.rounding()
    whole = scaling.per_tensor(
        array, fmt, scaling.tensor_scale(scaling.largest(array), fmt.max_finite), round_to
    )
    blocks = scaling.microscaled(array, scaled("mxfp8_e4m3"), round_to)
    assert relative(blocks[::2], array[::2]) < 0.04 < 5 * 0.04 < relative(whole[::2], array[::2])


def test_error_grows_as_bits_fall():
    array = matrix(5)
    errors = [
        relative(scaling.microscaled(array, scaled(name), scaling.rounding()), array)
        for name in ("mxfp8_e4m3", "mxfp6_e3m2", "nvfp4", "mxfp4")
    ]
    assert errors == sorted(errors)


def test_delayed_scale_trusts_the_past():
    scale = scaling.DelayedScale(top=448.0, history=2)
    assert scale.next(np.array([1.0, -2.0])) == 224.0
    assert scale.next(np.array([100.0])) == 224.0  # the jump comes too late for its own step
    assert scale.next(np.array([1.0])) == 4.48
    assert scale.next(np.array([1.0])) == 4.48  # the largest of the last two
    assert scale.next(np.array([1.0])) == 448.0


def test_ported_constant_overflows_only_without_saturation():
    array = matrix(6)
    fmt, scale = element("e4m3fnuz"), scaling.tensor_scale(scaling.largest(array), 448.0)
    assert np.isnan(scaling.per_tensor(array, fmt, scale, scaling.rounding(saturate=False))).any()
    kept = scaling.per_tensor(array, fmt, scale, scaling.rounding())
    assert np.isclose(np.abs(kept).max(), np.abs(array).max() * 240 / 448)


@given(st.integers(0, 1000), st.sampled_from(sorted(SCALED_FORMATS)))
def test_powers_of_two_pass_through_microscaling(seed, name):
    """Scaling the tensor by a power of two scales the result alike: no hidden absolute threshold."""
    array = matrix(seed, (2, 64))
    round_to = scaling.rounding()
    one, other = (
        scaling.microscaled(array * np.float32(factor), scaled(name), round_to)
        for factor in (1.0, 2.0**10)
    )
    assert np.array_equal(one * np.float32(2.0**10), other)


def test_zeros_and_non_finite_numbers_do_not_break_a_scale():
    zeros = np.zeros((2, 64), np.float32)
    for fmt in SCALED_FORMATS.values():
        assert np.array_equal(scaling.microscaled(zeros, fmt, scaling.rounding()), zeros)
    assert scaling.tensor_scale(0.0, 448.0) == 1.0
    assert scaling.largest(np.array([1.0, np.inf, np.nan, -3.0])) == 3.0


def test_blocks_must_divide():
    with pytest.raises(InputError, match="blocks of 32"):
        scaling.microscaled(np.zeros((2, 33), np.float32), scaled("mxfp8_e4m3"), scaling.rounding())
