"""The market model and its sentence under every definition and unit, and the evidence beside it."""

import itertools
import re

import numpy as np
import pytest

from training_moat.core import lifecycle
from training_moat.core.errors import InputError
from training_moat.inquiry import market, market_evidence, market_words

COUNTS = list(itertools.product(lifecycle.DEFINITIONS, lifecycle.UNITS))
DRAWS = 20_000


@pytest.fixture(scope="module")
def case():
    return market.Case(draws=DRAWS)


@pytest.mark.parametrize("definition, unit", COUNTS)
def test_the_sentence_says_the_definition_the_unit_and_the_computed_ratio(case, definition, unit):
    counted = case.counted(definition, unit)
    answer = counted.answer()
    sentence = answer.sentence()
    assert market.UNIT_WORDS[unit] in sentence and market.DEFINITION_WORDS[definition] in sentence
    said = float(re.search(r"\*\*([\d.,]+) times\*\*", sentence)[1].replace(",", ""))
    assert said == pytest.approx(float(np.median(counted.ratio(counted.drawn))), rel=0.06)
    assert ("the larger market" in sentence) == (answer.ratio.median > 1)


def test_the_answer_differs_by_definition_as_the_multipliers_say(case):
    draws = case.drawn
    final, training, rnd = (case.counted(d, "flop").ratio(draws) for d in lifecycle.DEFINITIONS)
    assert final / training == pytest.approx(draws["post_training_multiplier"])
    assert training / rnd == pytest.approx(draws["rnd_multiplier"])


def test_the_answer_differs_by_unit_as_utilisation_and_prices_say(case):
    draws = case.drawn
    flop, hours, dollars = (
        case.counted("final_run", unit).ratio(draws) for unit in lifecycle.UNITS
    )
    assert hours / flop == pytest.approx(draws["mfu_training"] / draws["mfu_inference"])
    prices = draws["serving_usd_per_chip_hour"] / draws["training_usd_per_chip_hour"]
    assert dollars / hours == pytest.approx(prices)


def test_probabilities_of_thresholds_are_stable_between_seeds():
    found = [market.Case("final_run", "dollars", seed=seed).answer().ten for seed in (1, 2, 3)]
    values = [item.value for item in found]
    assert min(values) > 0.05 and max(values) - min(values) < 0.01
    assert all(item.error < 0.01 for item in found)


def test_an_analysts_median_moves_the_answer():
    base = market.Case(draws=DRAWS).answer().ratio.median
    doubled = market.Case(medians={"served_tokens_t": 380.0}, draws=DRAWS).answer().ratio.median
    assert doubled == pytest.approx(2 * base, rel=0.02)


def test_impossible_questions_are_refused():
    with pytest.raises(InputError, match="did you mean 'cache_share'"):
        market.inputs({"cache_shares": 0.5})
    with pytest.raises(InputError, match="outside its bounds"):
        market.inputs({"cache_share": 1.5})
    with pytest.raises(InputError, match="outside its bounds"):
        market.inputs({"served_tokens_t": -5.0})
    with pytest.raises(InputError, match="did you mean 'all_rnd'"):
        market.Case("all_rd")
    with pytest.raises(InputError, match="unknown unit"):
        market.Case(unit="euros")


def test_sobol_indices_add_up_and_rank_like_the_tornado(case):
    causes = market.causes(case, draws=1024)
    assert causes["first"].sum() == pytest.approx(1.0, abs=0.05)  # a product: no interactions
    assert causes.name[0] == market.tornado(case).name[0] == "served_tokens_t"
    silent = causes.set_index("name").total[["active_params_b", "life_months", "rollout_share"]]
    assert (silent.abs() < 1e-6).all()  # they cancel in the ratio


def test_ten_times_is_what_the_ratio_reaches(case):
    needed = market.ten_times(case)
    life = market.life_of(case.central)
    at_ten = market.ten_times(case).today * market.TEN / float(case.ratio(case.central))
    assert needed.needed.p05 < at_ten < needed.needed.p95
    surface = market.ten_times_surface(case)
    row = surface[(surface.tokens_per_training_token == 10) & (surface.rnd_multiplier == 4)].iloc[0]
    draws = case.central | {
        "served_tokens_t": 10 * case.central["training_tokens_t"],
        "rnd_multiplier": 4.0,
    }
    assert row.ratio == pytest.approx(float(case.counted("all_rnd", case.unit).ratio(draws)))
    assert life.served_tokens > 0


def test_what_ifs_move_the_right_way(case):
    table = market.what_ifs(case, 4.0).set_index("change")["median"]
    base = table["As assumed"]
    assert table["Volume grows 4-fold a year"] > base
    assert table.filter(like="computed per token").iloc[0] > base
    assert table["Nothing is read from a cache"] > base > table["Retrained every two months"]
    assert table["No custom models"] > base > table.filter(like="of training is custom").iloc[0]


def test_rollouts_widen_what_an_inference_chip_can_address(case):
    share = market.vendor_share(case)
    assert share.with_rollouts.median > share.serving.median
    none = market.vendor_share(case.counted("final_run", case.unit))
    assert "no part of training" in none.sentence() and "inference kernels" in share.sentence()
    assert none.with_rollouts.median == pytest.approx(none.serving.median)


def test_break_even_comes_later_the_more_counts_as_training(case):
    days = market.break_even(case)["median"]
    assert days.is_monotonic_increasing


def test_deepseek_is_reproduced_from_its_disclosed_figures():
    found = market_evidence.deepseek()
    assert found.training_chip_hours == pytest.approx(2.788e6)
    assert found.serving_chip_hours_per_day == pytest.approx(43_536)
    assert found.tokens_per_day == pytest.approx(776e9)
    assert found.days_chip_hours == pytest.approx(64.0, abs=0.1)
    assert found.days_flop_all_tokens == pytest.approx(57.2, abs=0.1)
    assert found.days_flop_computed == pytest.approx(102.3, abs=0.1)
    assert 0.32 < found.training_mfu < 0.34 and 0.20 < found.inference_mfu < 0.22


def test_the_model_agrees_with_the_one_lab_that_disclosed_all_r_and_d(case):
    splits = market_evidence.splits().set_index("row_id")
    ratio = case.counted("all_rnd", "dollars").answer().ratio
    for row in ("S07", "S11", "S12"):
        assert ratio.p05 < splits.loc[row, "ratio"] < ratio.p95


def test_every_split_is_classified_and_no_unconfirmed_one_is_shown():
    shown = market_evidence.splits()
    assert shown["counts"].notna().all() and (shown["confirmed"] != "no").all()
    assert set(shown[shown["house"] == "article"]["row_id"]) == {"S56"}


def test_the_article_is_never_its_own_evidence(case):
    for definition in lifecycle.DEFINITIONS:
        ways = market_evidence.top_down_and_bottom_up(case.counted(definition, "dollars"))
        assert not ways["way"].str.contains("zach").any()
        assert market_words.ways(ways).startswith(
            "No published" if definition == "final_run" else "The published"
        )


def test_sentences_follow_their_frames(case):
    published = market_evidence.splits()
    assert "None reaches ten" in market_words.splits(published)
    assert market_words.years_title(published).startswith(
        "The middle of the published ratios moves from"
    )
    raised = published.assign(ratio=published["ratio"].where(published["house"] != "analyst", 12.0))
    assert "That reaches ten" in market_words.splits(raised)
    worlds = market.what_ifs(case, 4.0)
    assert market_words.worlds_title(worlds) == "No single change carries the median to ten"
    assert market_words.worlds_title(worlds.assign(median=20.0)).startswith(f"{len(worlds)} of")


def test_token_growth_uses_series_of_at_least_half_a_year():
    growth = market_evidence.token_growth()
    assert (growth["growth_per_year"] > 1).all() and len(growth) >= 4
    assert ((growth["last"] - growth["first"]).dt.days >= 180).all()
    race = market_evidence.growth_race(market.Case(draws=2000))
    assert (race["years_to_ten"] > 0).all()


def test_custom_training_lowers_the_ratio_in_proportion(case):
    table = market_evidence.custom_branch(case).set_index("custom_share")["median"]
    assert table[0.8] == pytest.approx(0.2 * table[0.0])


def test_assumptions_hold_their_own_sources_and_ranges():
    frame = market.assumptions()
    assert set(market.FIELDS) <= set(frame.index)
    assert frame["method"].str.len().min() > 30
    for name in frame.index:
        market.assumed(name)
    with pytest.raises(InputError, match="did you mean 'cache_share'"):
        market.assumed("cach_share")


def test_cheap_fine_tunes_are_a_sliver_of_training():
    found = market_evidence.finetuning()
    per_job = lifecycle.finetune_flop(8.03e9, found.tokens_per_job, frozen_base=True)
    assert found.flop == pytest.approx(found.jobs * per_job, rel=0.01)
    assert 0 < found.share < 0.05 and f"{found.share:.1%}" in found.sentence()


def test_the_sampling_error_is_said(case):
    assert "points" in market_words.stability(case.answer()) or "tenth" in market_words.stability(
        case.answer()
    )
