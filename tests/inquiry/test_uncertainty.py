"""Distributions, draws, probabilities and sensitivity, against closed forms and brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from training_moat.core.errors import InputError
from training_moat.inquiry.uncertainty import (
    Uncertain,
    chance,
    percentiles,
    replicates,
    sample,
    sobol_indices,
    tornado,
)

TOKENS = Uncertain("tokens", 40.0, 190.0, 900.0, "T")
SHARE = Uncertain("cache_share", 0.1, 0.5, 0.8, "share", low=0.0, high=1.0)
MULTIPLIER = Uncertain("multiplier", 1.05, 1.4, 5.0, "times", low=1.0)
SHIFT = Uncertain("shift", -2.0, -0.5, 3.0, "units", low=-math.inf)


@pytest.mark.parametrize("item", [TOKENS, SHARE, MULTIPLIER, SHIFT])
def test_the_three_percentiles_are_met_exactly(item):
    assert item.quantile(np.array([0.05, 0.5, 0.95])) == pytest.approx(
        [item.p05, item.median, item.p95]
    )


@pytest.mark.parametrize("item", [TOKENS, SHARE, MULTIPLIER, SHIFT])
def test_draws_have_the_percentiles_and_stay_in_bounds(item):
    values = sample([item], 100_000, seed=3)[item.name]
    found = percentiles(values)
    assert list(found) == pytest.approx([item.p05, item.median, item.p95], rel=0.01)
    low, high = item.bounds
    assert (values > low).all() and (values < high).all()


@given(st.floats(1e-3, 1e3), st.floats(1.01, 50), st.floats(1.01, 50))
def test_quantiles_rise(median, down, up):
    item = Uncertain("x", median / down, median, median * up, "")
    values = item.quantile(np.linspace(0.001, 0.999, 99))
    assert (np.diff(values) > 0).all()


def test_same_seed_same_draws_other_seed_others():
    first, again, other = (sample([TOKENS, SHARE], 1000, seed) for seed in (1, 1, 2))
    assert (first["tokens"] == again["tokens"]).all()
    assert (first["tokens"] != other["tokens"]).any()
    assert len(sample([TOKENS], 777, 0)["tokens"]) == 777


def test_inputs_are_independent():
    draws = sample([TOKENS, SHARE, MULTIPLIER], 2**14, 0)
    correlation = np.corrcoef(
        [np.log(draws["tokens"]), draws["cache_share"], np.log(draws["multiplier"])]
    )
    assert np.abs(correlation - np.eye(3)).max() < 0.01


def test_a_median_of_the_analyst_keeps_the_relative_spread():
    moved = TOKENS.centred(380.0)
    assert (moved.p05, moved.median, moved.p95) == pytest.approx((80.0, 380.0, 1800.0))
    assert 0 < SHARE.centred(0.95).p05 < 0.95 < SHARE.centred(0.95).p95 < 1
    assert SHARE.centred(0.0).fixed
    with pytest.raises(InputError, match="outside its bounds"):
        SHARE.centred(1.4)


def test_probability_agrees_with_the_closed_form_and_is_stable():
    a = Uncertain("a", math.exp(-1), 1.0, math.exp(1), "")
    b = Uncertain("b", math.exp(-2), 1.0, math.exp(2), "")
    width = math.hypot(1, 2) / norm.ppf(0.95)
    exact = norm.sf(math.log(3.0) / width)
    split = [replicates([a, b], 100_000, seed) for seed in range(5)]
    found = [chance([d["a"] * d["b"] for d in own], 3.0) for own in split]
    assert all(p.value == pytest.approx(exact, abs=0.002) for p in found)
    assert max(p.value for p in found) - min(p.value for p in found) < 0.01
    assert all(0 < p.error < 0.005 for p in found)


def test_sobol_indices_of_a_product_match_the_closed_form():
    widths = {"a": 1.0, "b": 2.0, "c": 0.5}
    inputs = [Uncertain(n, math.exp(-w), 1.0, math.exp(w), "") for n, w in widths.items()]
    known = Uncertain("known", 2.0, 2.0, 2.0, "")
    table = sobol_indices(lambda d: d["a"] * d["b"] * d["c"] * d["known"], [*inputs, known])
    shares = {name: w**2 / sum(v**2 for v in widths.values()) for name, w in widths.items()} | {
        "known": 0.0
    }
    assert table.name.tolist() == ["b", "a", "c", "known"]
    for row in table.itertuples():
        assert row.first == pytest.approx(shares[row.name], abs=0.02)
        assert row.total == pytest.approx(shares[row.name], abs=0.02)
    assert table["first"].sum() == pytest.approx(1.0, abs=0.03)


def test_sobol_indices_match_brute_force_with_an_interaction():
    inputs = [Uncertain(n, 0.05, 0.5, 0.95, "", low=0.0, high=1.0) for n in ("x", "y")]

    def model(d):
        return 1.0 + d["x"] + 2.0 * d["x"] * d["y"]

    grid = (np.arange(400) + 0.5) / 400
    x, y = (item.quantile(grid) for item in inputs)
    table_of = np.array([[model({"x": a, "y": b}) for b in y] for a in x])
    variance = table_of.var()
    first = {
        "x": table_of.mean(axis=1).var() / variance,
        "y": table_of.mean(axis=0).var() / variance,
    }
    total = {
        "x": table_of.var(axis=0).mean() / variance,
        "y": table_of.var(axis=1).mean() / variance,
    }
    for row in sobol_indices(lambda d: np.exp(model(d)), inputs).itertuples():
        assert row.first == pytest.approx(first[row.name], abs=0.03)
        assert row.total == pytest.approx(total[row.name], abs=0.03)
    assert total["x"] > first["x"]


def test_tornado_is_ordered_and_brackets_the_base():
    table = tornado(lambda d: d["tokens"] / d["multiplier"], [MULTIPLIER, TOKENS])
    assert table.name.tolist() == ["tokens", "multiplier"]
    assert (table.at_p95 - table.at_p05).abs().is_monotonic_decreasing
    # By their ratio the other would be first, and a chart's title would name what its second bar shows.
    shifted = tornado(lambda d: d["tokens"] + 1e6 / d["multiplier"], [MULTIPLIER, TOKENS])
    assert (shifted.at_p95 - shifted.at_p05).abs().is_monotonic_decreasing
    assert table.base.iloc[0] == pytest.approx(190 / 1.4)
    assert table.at_p05.iloc[0] == pytest.approx(40 / 1.4) and table.at_p95.iloc[
        1
    ] == pytest.approx(190 / 5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(p05=3.0, median=2.0, p95=1.0), "expected p05 <= median <= p95"),
        (dict(p05=-1.0, median=2.0, p95=3.0), "must lie inside its bounds, 0 to inf"),
        (dict(p05=0.2, median=0.5, p95=1.1, high=1.0), "must lie inside its bounds, 0 to 1"),
        (dict(p05=0.2, median=math.nan, p95=1.1), "median must be a finite number"),
        (dict(p05=0.2, median=0.5, p95=1.0, low=2.0, high=1.0), "lower bound 2 must be below"),
    ],
)
def test_impossible_distributions_are_refused(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        Uncertain("tokens_per_life", unit="T", **arguments)
    assert "tokens_per_life" in str(caught.value)


def test_empty_and_doubled_scenarios_are_refused():
    for call in (
        sample,
        lambda i: sobol_indices(lambda d: d, i),
        lambda i: tornado(lambda d: d, i),
    ):
        with pytest.raises(InputError, match="the scenario is empty"):
            call([])
        with pytest.raises(InputError, match="given twice: tokens"):
            call([TOKENS, TOKENS])
    with pytest.raises(InputError, match="draws must be a whole number"):
        sample([TOKENS], 0)
    with pytest.raises(InputError, match="no variance"):
        sobol_indices(lambda d: d["k"], [Uncertain("k", 1.0, 1.0, 1.0, "")])


def test_a_hundred_thousand_draws_of_a_dozen_inputs_fit_in_memory_and_agree():
    inputs = [Uncertain(f"x{i}", 0.5, 1.0, 2.0, "") for i in range(12)]
    draws = sample(inputs, 100_000, 0)
    product = np.prod([draws[name] for name in draws], axis=0)
    width = math.log(2) * math.sqrt(12) / norm.ppf(0.95)
    assert percentiles(product).p95 == pytest.approx(math.exp(norm.ppf(0.95) * width), rel=0.05)
    assert list(itertools.islice(draws, 2)) == ["x0", "x1"]
