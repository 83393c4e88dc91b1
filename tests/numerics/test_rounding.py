"""Array rounding: bit for bit ml_dtypes over millions of values, and the laws stochastic rounding must keep."""

import numpy as np
import pytest
from format_peers import PEERS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training_moat.core.errors import InputError
from training_moat.core.formats import ALL_NUMBERS, ELEMENT_FORMATS, element
from training_moat.numerics.rounding import round_nearest, round_stochastic

RANDOM_WORDS = 400_000
names = st.sampled_from(sorted(ELEMENT_FORMATS))


def probes(fmt, seed=0):
    """Random FP32 words, numbers around the format's range, and every midpoint with its two neighbours."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 32, RANDOM_WORDS, dtype=np.uint32).view(np.float32)
    near = rng.standard_normal(RANDOM_WORDS) * np.exp2(rng.uniform(-30, 20, RANDOM_WORDS))
    numbers = np.array(list(fmt.values()))
    middles = ((numbers[1:] + numbers[:-1]) / 2).astype(np.float32)
    edges = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, *(fmt.max_finite * np.linspace(0.9, 1.3, 41))]
    )
    around = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.concatenate([words, near, middles, *around, edges]).astype(np.float32)


def same(ours, theirs):
    return ((ours == theirs) & (np.signbit(ours) == np.signbit(theirs))) | (
        np.isnan(ours) & np.isnan(theirs)
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", PEERS)
def test_no_mismatch_with_ml_dtypes(name, kind):
    fmt = element(name)
    array = probes(fmt)
    if (
        fmt.specials == ALL_NUMBERS
    ):  # these have no NaN: what becomes of one is undefined, ours stays NaN
        array = array[~np.isnan(array)]
    with np.errstate(all="ignore"):
        theirs = array.astype(PEERS[name]).astype(np.float64)
    ours = round_nearest(array.astype(kind), fmt, saturate=False).astype(np.float64)
    assert (~same(ours, theirs)).sum() == 0


@pytest.mark.parametrize("name", PEERS)
def test_saturation_only_changes_what_overflows(name):
    fmt = element(name)
    array = probes(fmt, seed=1)[:200_000]
    free, clamped = (round_nearest(array, fmt, saturate=choice) for choice in (False, True))
    number = ~np.isnan(array)
    assert (np.abs(clamped[number]) <= fmt.max_finite).all()
    fits = np.abs(free) <= fmt.max_finite
    assert np.array_equal(clamped[fits], free[fits])
    assert np.array_equal(
        np.abs(clamped[number & ~fits]), np.full((number & ~fits).sum(), np.float32(fmt.max_finite))
    )


@given(names, hnp.arrays(np.float32, 20, elements=st.floats(-1e6, 1e6, width=32)))
def test_arrays_round_as_single_numbers_do(name, array):
    fmt = element(name)
    one_by_one = np.array([fmt.round(float(number)) for number in array])
    assert np.array_equal(round_nearest(array.astype(np.float64), fmt), one_by_one)
    if name != "fp32":
        assert np.array_equal(round_nearest(array, fmt), one_by_one)


@given(names, hnp.arrays(np.float32, 50, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_rounding_is_monotone_and_idempotent(name, array):
    fmt = element(name)
    rounded = round_nearest(np.sort(array), fmt)
    assert (np.diff(rounded) >= 0).all()
    assert np.array_equal(round_nearest(rounded, fmt), rounded)


@settings(max_examples=25)
@given(
    st.sampled_from(["bf16", "fp16", "e4m3fn", "e4m3fnuz", "e5m2", "e2m1fn", "int8"]),
    st.floats(-5.5, 5.5, width=32),
)
def test_stochastic_rounding_is_unbiased_and_takes_a_neighbour(name, number):
    fmt, draws = element(name), 20_000
    rounded = round_stochastic(
        np.full(draws, number, np.float32), fmt, np.random.default_rng(7)
    ).astype(np.float64)
    step = fmt.spacing(number)
    assert (np.abs(rounded - number) < step * (1 + 1e-6)).all()
    standard_error = max(rounded.std(), step * draws**-0.5) / draws**0.5
    assert abs(rounded.mean() - number) < 5 * standard_error + step * 1e-4


@pytest.mark.parametrize("name", ["bf16", "e4m3fn", "e2m1fn"])
def test_stochastic_rounding_leaves_numbers_of_the_format_alone(name):
    fmt = element(name)
    numbers = np.array(list(fmt.values()), dtype=np.float32)
    assert np.array_equal(round_stochastic(numbers, fmt, np.random.default_rng(0)), numbers)


def test_small_updates_survive_only_stochastic_rounding():
    """The cliff of pure BF16 weights: an update below half a step is lost for ever, or right on average."""
    fmt, weights = element("bf16"), np.ones(4096, np.float32)
    nearest, stochastic, rng = weights.copy(), weights.copy(), np.random.default_rng(0)
    for _ in range(100):
        nearest = round_nearest(nearest - np.float32(1e-4), fmt)
        stochastic = round_stochastic(stochastic - np.float32(1e-4), fmt, rng)
    assert np.array_equal(nearest, weights)
    assert abs(stochastic.mean() - 0.99) < 5e-4


def test_other_types_are_refused():
    with pytest.raises(InputError, match="expected float32 or float64"):
        round_nearest(np.zeros(3, dtype=np.float16), element("bf16"))
