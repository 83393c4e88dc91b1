"""Matrix units: the vectorised sums against a plain reading of the published algorithms, and the known ordering."""

import math

import numpy as np
import pytest

from training_moat.core.errors import InputError
from training_moat.core.formats import element
from training_moat.numerics import matrix_unit as mu
from training_moat.numerics.rounding import round_nearest

LENGTHS = (128, 1024, 4096)


@pytest.fixture(scope="module")
def errors():
    return mu.error_by_length(mu.MATRIX_UNITS, LENGTHS, rows=128).set_index(["unit", "terms"])


def exponent(number, low):
    return max(math.frexp(number)[1] - 1, low) if number else -126


def tensor_core(a, b, unit):
    """One dot product, term by term, in whole numbers (Xie et al. 2025: align, truncate, add, truncate)."""
    low, total, promoted = element(unit.operand).min_exponent, 0.0, np.float32(0)
    for start in range(0, len(a), unit.group):
        pairs = list(zip(a[start : start + unit.group], b[start : start + unit.group], strict=True))
        terms = [(x * y, exponent(x, low) + exponent(y, low)) for x, y in pairs] + [
            (total, exponent(total, -126))
        ]
        top = max(power for _, power in terms)
        whole = sum(int(number * 2.0 ** (unit.fraction_bits - top)) for number, _ in terms)
        exact = whole * 2.0 ** (top - unit.fraction_bits)
        step = 2.0 ** (exponent(exact, -126) - unit.output_bits)
        total = int(exact / step) * step
        if unit.promote_every and (start + unit.group) % unit.promote_every == 0:
            promoted, total = np.float32(promoted + np.float32(total)), 0.0
    return np.float32(promoted + np.float32(total))


@pytest.mark.parametrize(
    "name", [name for name, unit in mu.MATRIX_UNITS.items() if unit.vendor == "NVIDIA"]
)
def test_vectorised_sums_equal_the_plain_reading(name):
    unit, rng = mu.matrix_unit(name), np.random.default_rng(3)
    operands = rng.standard_normal((2, 40, 320)) * np.exp2(rng.integers(-4, 5, (2, 40, 320)))
    operands[:, :, ::7] = 0.0
    a, b = round_nearest(operands, element(unit.operand))
    expected = np.array([tensor_core(list(x), list(y), unit) for x, y in zip(a, b, strict=True)])
    assert np.array_equal(mu.dot(a, b, unit), expected)


def test_hopper_fast_accumulation_is_the_worst(errors):
    for terms in (1024, 4096):
        at = errors.xs(terms, level="terms")["rms_error"].sort_values(ascending=False)
        print(at.map("{:.1e}".format).to_string())
        assert list(at.index[:2]) == ["hopper_fp8", "hopper_fp8_promoted"]


def test_promotion_is_about_ten_times_better_at_4096_terms(errors):
    gain = (
        errors.loc[("hopper_fp8", 4096), "rms_error"]
        / errors.loc[("hopper_fp8_promoted", 4096), "rms_error"]
    )
    print(f"promotion every 128 terms lowers Hopper's error {gain:.1f} times at 4096 terms")
    assert 5 < gain < 20


def test_error_grows_with_length_unless_promoted(errors):
    for name in ("hopper_fp8", "hopper_bf16", "ampere_bf16", "blackwell_fp8"):
        assert errors.loc[(name, 4096), "rms_error"] > 2 * errors.loc[(name, 128), "rms_error"]
    promoted = errors.loc["hopper_fp8_promoted"]["rms_error"]
    assert promoted[4096] < 2 * promoted[128]


def test_blackwell_and_cdna3_do_not_have_hoppers_defect(errors):
    at = errors.xs(4096, level="terms")["rms_error"]
    assert max(at["blackwell_fp8"], at["cdna3_fp8"]) < at["hopper_fp8"] / 1000


def test_published_error_lies_between_operands_around_zero_and_of_one_sign():
    """DeepSeek-V3 report, section 3.3.2: a maximum relative error of nearly 2% at 4,096 terms."""
    largest = [
        mu.error_by_length(["hopper_fp8"], [4096], rows=64, positive=sign)["max_error"].iloc[0]
        for sign in (False, True)
    ]
    print(
        f"largest error of Hopper's fast FP8 at 4096 terms: {largest[0]:.1%} around zero, {largest[1]:.1%} of one sign"
    )
    assert largest[0] < 0.02 < largest[1]


def test_short_exact_sums_come_out_exactly():
    ones = np.ones((3, 16))
    for unit in mu.MATRIX_UNITS.values():
        assert np.array_equal(mu.dot(ones, ones, unit), np.full(3, 16.0, np.float32))


def test_hopper_drops_what_lies_thirteen_places_below():
    a = np.zeros((1, 32))
    a[0, :2] = 128.0, 2.0**-6
    b = np.zeros((1, 32))
    b[0, :2] = 128.0, 1.0
    assert mu.dot(a, b, mu.matrix_unit("hopper_fp8"))[0] == 128.0**2
    assert mu.dot(a, b, mu.matrix_unit("blackwell_fp8"))[0] == 128.0**2 + 2.0**-6


def test_cdna3_rounds_towards_minus_infinity_between_halves():
    """Asymmetry found by Xie et al. 2025: negating the operands does not negate the result."""
    rng = np.random.default_rng(0)
    a, b = round_nearest(
        rng.standard_normal((2, 500, 64)) * np.exp2(rng.integers(-6, 6, (2, 500, 64))),
        element("e4m3fnuz"),
    )
    unit = mu.matrix_unit("cdna3_fp8")
    plus, minus = mu.dot(a, b, unit).astype(float), -mu.dot(-a, b, unit).astype(float)
    assert (plus <= minus).all() and (plus < minus).any()


def test_bad_operands():
    with pytest.raises(InputError, match=r"expected two \(rows, terms\) arrays"):
        mu.dot(np.zeros((2, 3)), np.zeros((3, 2)), mu.matrix_unit("hopper_fp8"))
    with pytest.raises(InputError, match="unknown matrix unit 'hoper_fp8'"):
        mu.error_by_length(["hoper_fp8"], [16])
