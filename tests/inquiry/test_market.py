"""One lab's serving over its own training, under every definition and unit, and what stands beside it."""

import itertools

import numpy as np
import pytest

from training_moat.catalog import tables
from training_moat.core import lifecycle
from training_moat.core.errors import InputError
from training_moat.inquiry import lab_ledgers, market, market_evidence

COUNTS = list(itertools.product(lifecycle.DEFINITIONS, lifecycle.UNITS))
DRAWS = 4_000


@pytest.fixture(scope="module")
def case():
    return market.Case(draws=DRAWS)


def test_the_answer_differs_by_definition_as_the_multipliers_say(case):
    draws = case.drawn
    final, training, rnd = (case.counted(d, "flop").ratio(draws) for d in lifecycle.DEFINITIONS)
    assert final / training == pytest.approx(draws["post_training_multiplier"])
    most = np.maximum(draws["rnd_multiplier"], draws["post_training_multiplier"])
    assert final / rnd == pytest.approx(most)


def test_the_answer_differs_by_unit_as_utilisation_and_prices_say(case):
    draws = case.drawn
    flop, hours, dollars = (case.counted("final_run", u).ratio(draws) for u in lifecycle.UNITS)
    assert hours / flop == pytest.approx(draws["mfu_training"] / draws["mfu_inference"])
    prices = draws["serving_usd_per_chip_hour"] / draws["training_usd_per_chip_hour"]
    assert dollars / hours == pytest.approx(prices)


@pytest.mark.parametrize("lab", market.LABS)
def test_a_labs_tokens_stand_over_its_own_runs(lab):
    own = market.own(lab)
    assert {"served_tokens_t", "final_run_flop", "life_months"} <= set(own)
    drawn = market.Case(lab, draws=DRAWS).drawn
    assert (drawn["final_run_flop"] == own["final_run_flop"].median).all()
    life = market.life_of(drawn)
    flop = lifecycle.training_cost(life, "final_run", "flop")
    assert flop == pytest.approx(own["final_run_flop"].median)


def test_a_number_that_a_lab_told_has_no_range_and_openai_has_its_own_research():
    assert market.own("openai")["rnd_multiplier"].median == pytest.approx(1 / 0.096)
    deepseek = market.own("deepseek")
    assert all(item.fixed for item in deepseek.values())
    assert deepseek["active_params_b"].median == pytest.approx(37)


def test_the_research_of_openai_from_runs_agrees_with_its_bill():
    """9.6% of research is final runs, 8.3 billion dollars the bill of 2025: two sources, one sum."""
    life = market.life_of(market.Case(draws=DRAWS).drawn)
    dollars = lifecycle.training_cost(life, "all_rnd", "dollars") / 1e9
    frame = tables.load("lab_ledgers").set_index("row_id")
    low, high = np.percentile(dollars, (5, 95))
    assert low < frame.loc["L08", "value"] < high
    assert np.median(dollars) == pytest.approx(frame.loc["L08", "value"], rel=0.5)


def test_the_ratio_from_tokens_holds_what_the_books_allow():
    share = market.Case(draws=DRAWS).answer().share
    books = lab_ledgers.shares().set_index(["organisation", "year"]).loc[("OpenAI", 2025)]
    assert share.p05 < books["low"] and books["high"] < share.p95


def test_nine_counts_and_their_order(case):
    counts = market.every_count(case)
    assert len(counts) == 9 and counts[["definition", "unit"]].drop_duplicates().shape[0] == 9
    assert (counts.groupby("unit")["median"].diff().dropna() <= 0).all()


def test_an_analysts_median_moves_the_answer():
    base = market.Case("world", draws=DRAWS).answer().ratio.median
    told = market.own("world")["served_tokens_t"].median
    doubled = market.Case("world", medians={"served_tokens_t": 2 * told}, draws=DRAWS)
    assert doubled.answer().ratio.median == pytest.approx(2 * base, rel=0.02)


def test_impossible_questions_are_refused():
    with pytest.raises(InputError, match="did you mean 'cache_share'"):
        market.inputs("openai", {"cache_shares": 0.5})
    with pytest.raises(InputError, match="outside its bounds"):
        market.inputs("openai", {"cache_share": 1.5})
    with pytest.raises(InputError, match="did you mean 'all_rnd'"):
        market.Case(definition="all_rd")
    with pytest.raises(InputError, match="unknown unit"):
        market.Case(unit="euros")
    with pytest.raises(InputError, match="did you mean 'deepseek'"):
        market.inputs("depseek")
    with pytest.raises(InputError, match="did you mean 'cache_share'"):
        market.assumed("cach_share")


def test_sobol_indices_add_up_and_rank_like_the_tornado(case):
    causes = market.causes(case)
    assert causes["first"].sum() == pytest.approx(1.0, abs=0.1)  # nearly a product
    assert causes.name[0] == market.tornado(case).name[0] == "active_params_b"
    known = causes.set_index("name").total[["final_run_flop", "life_months", "rollout_share"]]
    assert (known.abs() < 1e-6).all()
    assert market.tornado(case)["title"].notna().all()


def test_ten_times_is_what_the_ratio_reaches(case):
    needed = market.tokens_for_ten(case)
    assert needed.p05 < needed.median < needed.p95
    served = case.drawn["served_tokens_t"] * needed.median
    share = np.mean(case.ratio(case.drawn | {"served_tokens_t": served}) >= market.TEN)
    assert share == pytest.approx(0.5, abs=0.03)


def test_rollouts_widen_what_an_inference_chip_can_do(case):
    serving, shaped = market.rollouts(case)
    assert shaped.median > serving.median
    same, none = market.rollouts(case.counted("final_run", case.unit))
    assert none.median == pytest.approx(same.median)


def test_break_even_comes_later_the_more_counts_as_training(case):
    days = market.break_even(case)
    assert days["median"].is_monotonic_increasing
    assert days["within_life"].is_monotonic_decreasing


def test_deepseek_is_reproduced_from_its_disclosed_figures():
    found = market_evidence.deepseek()
    assert found.training_chip_hours == pytest.approx(2.788e6)
    assert found.serving_chip_hours_per_day == pytest.approx(43_536)
    assert found.tokens_per_day == pytest.approx(776e9)
    assert found.days_chip_hours == pytest.approx(64.0, abs=0.1)
    assert found.days_flop_all_tokens == pytest.approx(57.2, abs=0.1)
    assert found.days_flop_computed == pytest.approx(102.3, abs=0.1)
    assert 0.32 < found.training_mfu < 0.34 and 0.20 < found.inference_mfu < 0.22


def test_the_case_of_deepseek_breaks_even_on_the_disclosed_day():
    days = market.break_even(market.Case("deepseek", unit="chip_hours", draws=DRAWS))
    assert days["median"].iloc[0] == pytest.approx(64.0, rel=0.01)


def test_token_growth_uses_series_of_at_least_half_a_year():
    growth = market_evidence.token_growth()
    assert (growth["growth_per_year"] > 1).all() and len(growth) >= 4
    assert ((growth["last"] - growth["first"]).dt.days >= 180).all()
    assert market_evidence.training_growth() > 1


def test_assumptions_hold_their_own_sources_and_ranges():
    frame = market.assumptions()
    assert set(market.FIELDS) - {"final_run_flop"} <= set(frame.index)
    assert frame["method"].str.len().min() > 30
    for name in frame.index:
        market.assumed(name)


def test_cheap_fine_tunes_are_a_sliver_of_training():
    found = market_evidence.finetuning()
    per_job = lifecycle.finetune_flop(8.03e9, found.tokens_per_job, frozen_base=True)
    assert found.flop == pytest.approx(found.jobs * per_job, rel=0.01)
    assert 0 < found.share < 0.05
