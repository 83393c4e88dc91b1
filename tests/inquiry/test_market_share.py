"""Inference's share three ways: the pooling, the ledgers, the chips, and what keeps them apart."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import (
    chip_stock,
    lab_ledgers,
    market_share,
    market_size,
    pooling,
    published_splits,
)


def made_statements(rng, count=60, level=0.3, slope=0.2, house=0.5, noise=0.4):
    effects = rng.normal(0, house, 12)
    place, year = rng.integers(0, 12, count), rng.integers(2022, 2031, count)
    share = expit(level + slope * (year - 2025) + effects[place] + rng.normal(0, noise, count))
    frame = pd.DataFrame({"year": year, "house": [f"h{one}" for one in place], "low": share})
    return frame.assign(high=frame["low"])


@pytest.fixture
def short_chain(monkeypatch):
    """A quarter of the draws: enough for a mean and a nine-in-ten interval of one fit."""
    monkeypatch.setattr(pooling, "BURN_IN", 200)
    monkeypatch.setattr(pooling, "KEPT", 1000)


def test_pooling_finds_what_statements_were_made_from():
    found = pooling.fit(made_statements(np.random.default_rng(5), 120), ("house",))
    low, high = np.percentile(found.slope, (2.5, 97.5))
    assert low < 0.2 < high and high - low < 0.2
    low, high = np.percentile(found.level, (2.5, 97.5))
    assert low < 0.3 < high
    assert 0.3 < np.median(found.noise) < 0.5


def test_nine_of_ten_new_statements_fall_into_the_prediction_interval(short_chain):
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(100 + seed)
        found = pooling.fit(made_statements(rng, 30), ("house",), seed)
        low, high = np.percentile(found.next_statement(2026), (5, 95))
        new = expit(0.3 + 0.2 + rng.normal(0, np.hypot(0.5, 0.4), 400))
        inside.append(np.mean((low < new) & (new < high)))
    assert 0.82 < np.mean(inside) < 0.98


def test_a_bound_counts_as_a_bound_and_not_as_its_number(short_chain):
    frame = made_statements(np.random.default_rng(1), 12, level=0.0, slope=0.0)
    at_least = pd.DataFrame({"year": 2025, "house": "new", "low": [0.8] * 6, "high": 1.0})
    plain = pooling.fit(frame, ("house",)).average(2025).mean()
    bounded = pooling.fit(pd.concat([frame, at_least]), ("house",)).average(2025).mean()
    points = pooling.fit(pd.concat([frame, at_least.assign(high=0.8)]), ("house",))
    assert bounded > plain
    assert np.percentile(points.average(2025), 95) < np.percentile(
        pooling.fit(at_least, ("house",)).average(2025), 95
    )


def test_open_sides_and_an_empty_table(short_chain):
    wide = pd.DataFrame({"year": [2025], "house": ["h"], "low": [0.0], "high": [1.0]})
    found = pooling.fit(wide, ("house",)).next_statement(2025)
    assert np.isfinite(found).all() and found.min() > 0 and found.max() < 1
    with pytest.raises(InputError, match="no statement"):
        pooling.fit(wide.iloc[:0], ("house",))


def test_the_same_seed_gives_the_same_draws(short_chain):
    frame = made_statements(np.random.default_rng(2), 10)
    first, again, other = (pooling.fit(frame, ("house",), seed).level for seed in (3, 3, 4))
    assert (first == again).all() and not (first == other).all()


def test_only_statements_on_the_market_are_pooled():
    found = published_splits.market_statements()
    assert set(found["scope"]) == {"market"} and found["year"].min() >= 2022
    assert not set(found["kind_of_house"]) & set(published_splits.UNPOOLED)
    assert not set(found["row_id"]) & {"S56", "S07", "S11", *lab_ledgers.MACHINES}
    assert (found["low"] <= found["high"]).all() and found["confirmed"].ne("no").all()
    kinds = set(found["statement"])
    assert {"point", "range", "at least", "at most"} == kinds


def test_one_sided_statements_of_the_table_are_kept_as_bounds():
    found = published_splits.splits().set_index("row_id")
    assert tuple(found.loc["S31", ["low", "high"]]) == (0.0, pytest.approx(0.6))
    assert tuple(found.loc["S65", ["low", "high"]]) == (pytest.approx(0.8), 1.0)
    assert tuple(found.loc["S40", ["low", "high"]]) == (pytest.approx(0.8), pytest.approx(0.9))


def test_what_was_known_by_a_day_leaves_out_what_came_later():
    early = published_splits.market_statements("2024-10-09")
    assert set(early["row_id"]) == {"S05", "S06", "S40", "S65"}
    late = published_splits.market_statements("2026-02-20")
    assert "S36" not in set(late["row_id"]), "a date known to the year counts as its end"


def test_each_statement_is_shown_once():
    shown = published_splits.shown()
    assert shown["statement"].is_unique
    assert len(shown) == len(published_splits.market_statements())
    assert "90%" in published_splits.title(shown)


def test_books_hold_what_was_reported():
    found = lab_ledgers.shares().set_index(["organisation", "year"])
    assert found.loc[("OpenAI", 2024), "share"] == pytest.approx(1.8 / 6.8)
    assert found.loc[("OpenAI", 2024), "high"] == pytest.approx(3.767 / 8.767)
    assert found.loc[("OpenAI", 2025), "share"] == pytest.approx(8.0 / 16.3)
    assert np.isnan(found.loc[("Anthropic", 2024), "share"])
    left_over = found.loc[("Anthropic", 2025), ["low", "high"]]
    assert left_over.tolist() == pytest.approx([2.7 / 7.33, (7.33 - 4.1) / 7.33])
    assert found.loc[("OpenAI", 2026), "kind"] == "plan"
    narrow = lab_ledgers.shares("final_runs").set_index(["organisation", "year"])
    assert narrow.loc[("OpenAI", 2024), "share"] > 0.75


def test_a_plan_stands_for_its_own_years_alone():
    """Anthropic's plan to 2029 beside OpenAI's to 2030: at least 80 of 180 billion, and 225 of 665."""
    found = lab_ledgers.shares().set_index(["organisation", "year"])
    assert found.loc[("Anthropic", 2028), "share"] == pytest.approx(80 / 180)
    alone, both = lab_ledgers.disclosed(2030, 100), lab_ledgers.disclosed(2028, 100)
    assert np.allclose(alone, 225 / 665) and np.allclose(both, (80 + 225) / (180 + 665))
    assert np.allclose(lab_ledgers.disclosed(2029, 100), both)


def test_a_plan_gives_way_to_the_years_own_figure():
    by_plan = lab_ledgers.shares(known_by="2025-10-01").set_index(["organisation", "year"])
    assert by_plan.loc[("OpenAI", 2025), "share"] == pytest.approx(7 / 16)
    now = lab_ledgers.ledger()
    passed = now[(now["organisation"] == "OpenAI") & (now["year"] == 2025)]
    assert not passed["kind"].eq("plan").any()


def test_a_statement_that_a_house_gave_twice_is_pooled_once():
    """McKinsey's "more than half" of 2030 stood beside its 60%, Gartner's 55% for 2026 twice."""
    pooled = set(published_splits.market_statements()["row_id"])
    assert {"S29", "S64"} <= pooled and not {"S27", "S61"} & pooled
    # Of what was known on a day, the one that was out by then speaks.
    assert "S27" in set(published_splits.market_statements("2026-02-20")["row_id"])
    every = published_splits.splits().set_index("row_id")
    again = every.dropna(subset="repeats")
    same = ["publisher", "scope", "measure", "year"]
    assert (again[same].to_numpy() == every.loc[again["repeats"], same].to_numpy()).all()


@pytest.mark.parametrize(
    "table, column, untouched",
    [
        ("lab_ledgers", "value", (market_share.STATEMENTS, market_share.CHIPS)),
        ("market_splits", "inference_to_training_ratio", (market_share.CHIPS,)),
        ("training_runs", "training_flop", (market_share.STATEMENTS, market_share.BOOKS)),
        ("tokens_served", "tokens_per_day", (market_share.STATEMENTS, market_share.BOOKS)),
    ],
)
def test_the_three_ways_share_no_figure(table, column, untouched):
    def scale(frame):
        money = frame.get("unit", pd.Series("", frame.index)) != "USD bn"
        kept = money if table == "lab_ledgers" else pd.Series(False, frame.index)
        return frame.assign(**{column: frame[column].where(kept, frame[column] * 1.7)})

    for way in (market_share.STATEMENTS, market_share.BOOKS, market_share.CHIPS):
        before = market_share.draws_of(2025, way)
        with tables.replaced(**{table: scale(tables.load(table))}):
            after = market_share.draws_of(2025, way)
        assert np.array_equal(before, after) or way not in untouched, (table, way)


def test_the_back_test_never_sees_a_figure_of_the_lab_it_is_tested_on():
    def other_books(frame):
        mine = frame["organisation"] == "OpenAI"
        return frame.assign(value=frame["value"].where(~mine, frame["value"] * 3))

    for year, day in market_share.REPORTED.items():
        plain = lab_ledgers.pooled("OpenAI", day)
        with tables.replaced(lab_ledgers=other_books(tables.load("lab_ledgers"))):
            altered = lab_ledgers.pooled("OpenAI", day)
        assert np.array_equal(plain.level, altered.level), year
        assert (published_splits.market_statements(day)["organisation"] != "OpenAI").all()


def test_the_back_test_holds_what_openai_said_later():
    test = market_share.back_test()
    assert len(test) == 4 and test["inside"].all()
    row = test[(test["year"] == 2025) & (test["way"] == market_share.STATEMENTS)].iloc[0]
    assert row["book_low"] == pytest.approx(8 / (8 + 19.18))
    assert row["p05"] < row["book_low"] and row["book_high"] < row["p95"]
    assert 5 < market_share.miss(test) < 40


def test_the_chips_sold_add_up_to_the_stock_and_explain_at_most_all_hours():
    sold = chip_stock.sold()
    assert sold["stock"].iloc[-1] == pytest.approx(sold[["merchant", "captive"]].to_numpy().sum())
    assert 18e6 < sold["stock"].iloc[-1] < 22e6  # Epoch AI: about 20 million at the end of 2025
    for year in chip_stock.YEARS:
        found = chip_stock.year(year, 2000)
        explained = found.training + found.serving
        assert (explained <= 1 + 1e-9).all() and (found.training > 0).all()
        assert (found.serving <= found.share + 1e-9).all()
        assert (found.share <= found.ceiling + 1e-9).all()


def test_more_tokens_than_the_chips_can_serve_fill_them():
    served = tables.load("tokens_served")
    with tables.replaced(
        tokens_served=served.assign(tokens_per_day=served["tokens_per_day"] * 1e6)
    ):
        found = chip_stock.year(2025, 2000)
    assert np.median(found.share) > 0.99 and found.share.max() <= 1


def test_every_year_has_an_answer_and_forecasts_say_so():
    frame = market_share.by_year()
    together = frame[frame["way"] == market_share.TOGETHER]
    assert together["year"].tolist() == list(market_share.YEARS)
    assert (frame["p05"] <= frame["median"]).all() and (frame["median"] <= frame["p95"]).all()
    assert (frame["ten"] <= frame["larger"]).all()
    assert set(together.query("status == 'forecast'")["year"]) == set(range(2026, 2031))
    assert market_share.overview()["together"].str.contains("%").all()


def test_the_verdicts_of_the_last_known_year():
    found = market_share.share(market_share.LAST_KNOWN)
    assert market_share.verdict(found.larger) == "too close to call"
    assert market_share.verdict(found.ten) == "no" and found.p95 < market_share.TEN_TIMES
    words = [market_share.verdict(value) for value in (0.95, 0.7, 0.5, 0.2, 0.05)]
    assert words == ["yes", "probably", "too close to call", "probably not", "no"]


def test_custom_training_lowers_the_share_as_the_formula_says():
    table = market_share.with_custom(2025, (0.0, 0.5)).set_index("custom")
    s = table.loc[0.0, "median"]
    assert table.loc[0.5, "median"] == pytest.approx(s / (s + 2 * (1 - s)), rel=1e-3)
    assert table.loc[0.5, "larger"] < table.loc[0.0, "larger"]


def test_growth_to_ten_is_ten_over_the_odds():
    middle = market_share.share(2025).median
    assert market_share.growth_to(market_share.TEN_TIMES) == pytest.approx(
        10 * (1 - middle) / middle
    )


def test_a_reader_scales_each_lab_by_its_own_research():
    found = market_share.volumes().set_index("lab")
    assert found.loc["Like OpenAI", "ratio"] == pytest.approx(8.0 / 8.3)
    assert (found["low"] <= found["ratio"]).all() and (found["ratio"] <= found["high"]).all()
    assert expit(logit(0.6)) == pytest.approx(0.6)
    assert found.loc["Like Google", "ratio"] == pytest.approx(1.5)


def test_the_first_year_says_that_older_chips_are_not_counted():
    """The stock begins with none in January 2022: half of what was sold in the year is all that works in it."""
    first, *later = chip_stock.YEARS
    assert (
        chip_stock.sold()["stock"].iloc[0]
        == chip_stock.sold().iloc[0][["merchant", "captive"]].sum()
    )
    assert f"before {first}" in chip_stock.older(first) == chip_stock.older()
    assert chip_stock.older().startswith(" "), "it stands behind another sentence"
    assert not any(chip_stock.older(year) for year in later)


def test_dollars_are_sales_times_shares():
    money = market_size.parts().set_index("year")
    assert (money["addressable"] < money["inference"]).all()
    assert (money["inference"] < money["sales"]).all()
    row = money.loc[2025]
    ratio = row["addressable"] / row["inference"]
    assert 1 - row["captive_high"] < ratio < 1 - row["captive_low"]
    own = tables.load("accelerator_spend").query("year == 2025 and kind == 'disclosure'")
    assert row["sales"] < own["value"].sum() + 207


def test_a_year_of_several_figures_says_what_its_number_is_the_middle_of():
    """182 billion by the makers and 207 by a house had been told as 190."""
    money = market_size.parts().set_index("year")
    assert "the middle of 2 figures, 180 to 210" in market_size.told_sales(money.loc[2025])
    assert market_size.told_sales(money.loc[2026]).endswith("(one figure)")
    shown = market_size.shown(money.reset_index()).set_index("year")["sales"]
    assert shown["2025"] == "190 (180 to 210)" and "(" not in shown["2026"]


def test_what_is_captive_lies_between_its_count_in_computing_and_in_dollars():
    """Broadcom's 20.0 of the makers' 162.33 + 20.0 in 2025; before 2024 nobody tells it and computing stands alone."""
    share = market_size.captive_share()
    assert share.at[2025, "dollars"] == pytest.approx(20.0 / 182.33)
    assert share.at[2025, "low"] == share.at[2025, "dollars"] < share.at[2025, "computing"]
    assert (share.loc[:2023, "low"] == share.loc[:2023, "high"]).all()
    money = market_size.parts().set_index("year")
    assert money.at[2030, "captive_low"] == share.at[2025, "low"]


def test_makers_sales_leave_networking_out_once():
    sales = market_size.sales().set_index("year")
    assert sales.loc[2025, "low"] == pytest.approx(162.33 + 20.0)
    assert sales.loc[2024, "low"] == pytest.approx(102.29 + 5.0 + 12.12)


def test_a_rate_with_networking_counts_its_computing_alone():
    """Nvidia's quarter of 2026 had stood whole beside the computing of the years before: 356 for 298."""
    assert market_size.makers_own()[2026] == pytest.approx(356 * 162.33 / 193.7)


def test_a_forecast_that_sales_have_passed_counts_no_longer():
    sales = market_size.sales().set_index("year")
    own = market_size.makers_own()[2026]
    assert sales.loc[2026, "figures"] == 1 and sales.loc[2026, "middle"] == pytest.approx(own)


def test_the_draws_have_settled():
    middles = [np.median(published_splits.pooled(None, seed).average(2025)) for seed in (1, 2, 3)]
    assert max(middles) - min(middles) < 0.02


def test_other_choices_move_the_larger_use_and_never_ten_times_but_in_the_dark():
    found = market_share.variants(market_share.LAST_KNOWN).set_index("choice")
    assert len(found) == 8
    open_to_ten = found.index[found["ten"] >= 0.1].tolist()
    assert open_to_ten == ["all untraced chips serve"]
    verdicts = set(found["larger"].map(market_share.verdict))
    assert {"yes", "no", "too close to call"} <= verdicts
    early = market_share.variants(2022)
    assert "labs with books alone" not in set(early["choice"])


def test_the_growth_of_a_bill_spans_all_reports_that_contradict_one_another():
    frame = lab_ledgers.ledger().query("organisation == 'OpenAI' and item == 'inference_compute'")
    bills = {year: rows["value"] for year, rows in frame.groupby("year")}
    least, most = lab_ledgers.growth("inference_compute")
    assert most == pytest.approx(bills[2025].max() / bills[2024].min())
    assert least == pytest.approx(bills[2025].min() / bills[2024].max()) and least < most
    assert lab_ledgers.growth("rnd_compute")[0] == lab_ledgers.growth("rnd_compute")[1]


def test_labs_with_a_known_fleet_are_less_than_half_of_the_chips_that_run():
    """Five labs hold 6.1 million of some 14 million H100-equivalents: the books speak for the rest unseen."""
    assert chip_stock.fleets_share() == pytest.approx(6_147_467 / (19_653_366 * 0.71645), rel=0.01)
