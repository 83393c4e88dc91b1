"""The switching decision under uncertainty, and what the tables say about moves and offers."""

import math

import nbformat
import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import durations, switching
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS


@pytest.fixture(scope="module")
def found():
    return switching.breakeven(1000.0)


def test_quantiles_are_ordered_and_repeatable(found):
    low, middle, high = found.quantiles_in_use
    assert 1 < low < middle <= high
    assert found.quantiles_in_use == switching.breakeven(1000.0).quantiles_in_use
    assert found.never == pytest.approx(np.mean(np.isinf(found.in_use)))


def test_other_seeds_give_the_same_middle(found):
    others = [switching.breakeven(1000.0, seed=seed).quantiles_in_use[1] for seed in (1, 2, 3)]
    assert max(others) - min(others) < 0.02 * found.quantiles_in_use[1]


def test_a_case_by_hand():
    """All inputs moved to a free, instant, certain move but for a nine-month slip worth a year of spend a year."""
    centre = {item.name: item.median for item in switching.inputs()}
    plain = centre | {
        "port_months": 0.0, "port_cost_musd": 0.0, "failure_probability": 0.0, "failure_delay_months": 0.0, "failure_waste_years": 0.0,
        "start_share": 1.0, "delay_months": 9.0, "delay_value": 1.0, "horizon_years": 2.0,
    }  # fmt: skip
    assert switching.core.breakeven_advantage(switching.move(plain, 1000.0)) == pytest.approx(1.6)


def test_chance_grows_with_the_offer_and_never_reaches_what_is_impossible(found):
    chances = [found.chance(offer) for offer in (1.0, 1.5, 2.5, 10.0, math.inf)]
    assert chances == sorted(chances)
    assert found.chance(1e9) <= 1 - found.never


def test_the_bar_falls_with_size_and_rises_with_risk():
    by_spend = switching.by_spend([1, 100, 3000]).pivot(
        index="spend_musd", columns="offered", values="chance"
    )
    assert (by_spend.diff().dropna() >= 0).all(axis=None) and (
        by_spend.diff(axis=1).iloc[:, 1:] >= 0
    ).all(axis=None)
    assert by_spend.loc[1, 2.0] < by_spend.loc[3000, 2.0] - 0.1
    risky = switching.breakeven(1000.0, {"failure_probability": 0.5}).quantiles_in_use[1]
    assert risky > switching.breakeven(1000.0, {"failure_probability": 0.01}).quantiles_in_use[1]


def test_delay_grid():
    grid = switching.by_delay(1000.0, [0, 12], [0.3, 2.0]).set_index(
        ["delay_months", "delay_value"]
    )["breakeven"]
    assert grid[0, 0.3] < grid[12, 0.3] < grid[12, 2.0]


def test_what_matters_is_sorted_and_finite():
    table = switching.what_matters(1000.0)
    assert np.isfinite(table[["at_p05", "at_p95"]]).all(axis=None)
    assert table["name"].is_unique and len(table) == len(switching.assumptions())


def test_failure_assumption_follows_from_the_record():
    """The table's median and lower end are the record's Jeffreys interval; only the upper end is widened."""
    record = switching.track_record()
    low, middle, high = switching.failure_interval(record)
    row = switching.assumptions().loc["failure_probability"]
    assert row["p05"] == pytest.approx(low, abs=0.005) and row["median"] == pytest.approx(
        middle, abs=0.01
    )
    assert row["p95"] > high


def test_port_months_follow_from_the_record():
    """The shortest dated port, the median fitted to all as intervals, and the least of the longest."""
    dated = durations.ports(tables.load("move_durations"), "training")
    row = switching.assumptions().loc["port_months"]
    fitted = durations.median_months(dated["low_months"], dated["high_months"])[1]
    assert row["median"] == pytest.approx(fitted, abs=0.1)
    assert (row["p05"], row["p95"]) == (dated["high_months"].min(), dated["low_months"].max())


def test_what_is_no_port_does_not_count_as_one():
    record = switching.port_record()
    assert set(record.loc[record["counted"] == "yes", "kind"]) <= {"port", "unfinished"}
    assert record.loc[record["case"] == "W11", "counted"].eq("doubtful").all()
    assert "Zhipu / Z.ai" not in set(switching.track_record()["organisation"])


@pytest.mark.parametrize("median, spread", [(3.0, 0.5), (12.0, 1.0)])
def test_the_median_of_intervals_finds_what_made_them(median, spread):
    rng = np.random.default_rng(1)
    months = pd.Series(np.exp(rng.normal(math.log(median), spread, 400)))
    low, high = (
        months * 0.75,
        (months * 1.25).mask(months > 2 * median),
    )  # the longest were still going on
    found = durations.median_months(low.mask(months > 2 * median, 2 * median), high)
    assert found[0] < found[1] < found[2] and found[1] == pytest.approx(median, rel=0.15)


def test_unfinished_moves_lengthen_the_median():
    done = pd.Series([6.0, 9.0, 12.0])
    with_open = pd.concat([done, pd.Series([24.0])]), pd.concat([done * 1.2, pd.Series([np.nan])])
    assert durations.median_months(*with_open)[1] > durations.median_months(done, done * 1.2)[1]


def test_track_record_holds_moves_away_from_nvidia_only():
    record = switching.track_record()
    assert record["given_up"].sum() == 1
    assert not record["to_hardware"].str.contains("GB200|GPU clouds").any()
    assert record["source"].notna().all()


def test_a_move_told_twice_counts_once_and_who_came_from_nowhere_did_not_move():
    """MosaicML's MI250 is there by its later report; Apple's source tells of no training before that on TPUs."""
    away = set(switching.moves_away()["row_id"])
    assert "W04" in away and not {"W03", "W06", "W10"} & away
    frame = tables.load("switching_cases")
    with tables.replaced(switching_cases=frame[frame["row_id"] != "W04"]):
        assert "W03" in set(switching.moves_away()["row_id"]), "the only report of a move counts"
    cases = frame.set_index("row_id")
    told = cases["same_move"].dropna()
    assert (cases.loc[told.index, "date"].to_numpy() < cases.loc[told, "date"].to_numpy()).all()
    same = ["from_hardware", "to_hardware", "workload_kind"]
    assert (cases.loc[told.index, same].to_numpy() == cases.loc[told, same].to_numpy()).all()


def test_who_is_not_told_to_have_left_nvidias_chips_has_not_moved_away_from_them():
    """Anthropic, Huawei's team, LUMI and Meta ("GPU") counted as moves away; no source of theirs names chips of Nvidia's."""
    away = switching.moves_away().set_index("row_id")
    assert not {"W07", "W13", "W19", "W23", "W25"} & set(away.index)
    assert away["from_hardware"].str.contains("H800|H100|A100").all()
    tries = set(switching.tries_elsewhere()["row_id"])
    assert set(away.index) < tries and {"W06", "W07", "W19"} <= tries
    assert not {"W10", "W13", "W25"} & tries, "the makers of the chips themselves"


def test_the_chapter_begins_with_the_medians_of_the_table():
    """The page on switching had gone on with 0.08 for the chance of failure when the table said 0.096."""
    given = notebooks.defaults(
        nbformat.read(CHAPTERS / "switching.ipynb", as_version=4), "switching"
    )
    medians = switching.assumptions()["median"]
    assert {name: given[name] for name in switching.PARAMETERS} == {
        name: pytest.approx(medians[name]) for name in switching.PARAMETERS
    }


def test_a_failing_node_or_a_way_to_nvidia_is_no_trouble_of_a_move_away():
    """Nodes fail on any chips, and who came from TPUs to Nvidia's did not move elsewhere; both counted as failed moves."""
    met = tables.load("switching_cases").set_index("row_id")["trouble"]
    assert met[["W30", "W31"]].eq("no").all() and met[["W01", "W02", "W09"]].eq("yes").all()
    away = switching.moves_away()
    assert set(away["organisation"]) == set(switching.track_record()["organisation"])
    assert away.loc[away["trouble"] == "yes", "row_id"].tolist() == ["W01", "W09", "W14"]


def test_bad_inputs():
    with pytest.raises(InputError, match="did you mean 'delay_months'"):
        switching.inputs({"delay_month": 3.0})
    with pytest.raises(InputError, match="expected a number above 0"):
        switching.breakeven(0.0)
    with pytest.raises(InputError, match="failure_probability"):
        switching.inputs({"failure_probability": 1.5})
