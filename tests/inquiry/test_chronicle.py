"""Events and runs: an event once, a run once, and whose chips it used."""

import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import chronicle


@pytest.fixture(scope="module")
def runs():
    return chronicle.runs()


def test_a_run_whose_chips_are_doubtful_counts_for_nobody():
    """Reports put GLM-5 on Ascend and its paper names no cluster: one page had counted it, the others not."""
    doubtful = tables.load("training_runs").query("model == 'GLM-5'").iloc[0]
    assert pd.isna(doubtful["hardware"]) and pd.isna(doubtful["chip_id"])
    assert not chronicle.runs()["model"].str.startswith("GLM-5").any()


def test_later_reports_of_an_event_do_not_count_twice():
    events, later = chronicle.events(), tables.load("history_events")
    repeats = later.loc[later["extends"].fillna("").str.contains(r"\bE\d"), "row_id"]
    assert len(repeats) > 10 and not set(repeats) & set(events["row_id"])
    assert events["row_id"].is_unique and events["date"].is_monotonic_increasing


def test_every_company_of_an_event_is_a_known_maker_or_none():
    names = set(chronicle.makers()["maker"])
    assert {"SambaNova", "Groq", "Cerebras"} <= set(chronicle.startups()) <= names
    assert not {"NVIDIA", "Huawei", "Google"} & set(chronicle.startups())


def test_a_run_stands_once_and_knows_its_maker(runs):
    assert not runs.duplicated(["table", "row_id"]).any()
    whose = runs.set_index("model")["maker"]
    assert whose["Jais 2 70B"] == "Cerebras" and whose["LongCat-2.0"] == "not named"
    assert whose["SpikingBrain-7B"] == "MetaX" and whose["Pangu Ultra"] == "Huawei"
    assert (runs.loc[runs["model"] == "GPT-3 175B (davinci)", "maker_kind"] == "Nvidia").all()


def test_a_run_on_two_makers_chips_counts_for_the_other():
    one = tables.load("training_runs").head(1).assign(hardware="NVIDIA A100,AMD MI250X")
    none = tables.load("runs_non_nvidia").head(0)
    with tables.replaced(training_runs=one, runs_non_nvidia=none):
        assert chronicle.runs()["maker"].tolist() == ["AMD"]


def test_fewer_runs_lie_above_a_higher_threshold(runs):
    curve = chronicle.over_thresholds(runs, [1e22, 1e23, 1e24, 1e25])
    wide = curve.pivot(index="threshold_flop", columns="maker_kind", values="runs")
    assert (wide.diff().dropna() <= 0).all(axis=None)
    sums = curve.groupby("threshold_flop")["share"].sum()
    assert sums.tolist() == pytest.approx([1.0] * len(sums))
    assert (
        wide.loc[1e22, "startup"]
        == (runs.query("maker_kind == 'startup'")["training_flop"] >= 1e22).sum()
    )


def test_a_run_of_which_two_models_came_counts_once(runs):
    """GPT-4 of March and of June 2023 stand in the table with one size, one cluster and one number of chip-hours."""
    models = set(runs["model"])
    assert "DeepSeek-V3" in models and "DeepSeek-V3 (Mar 2025)" not in models, (
        "its hours are told once"
    )
    assert {"NVLM-H 72B", "NVLM-D 72B"} <= models, "two models of a day whose hours nobody told"
    gpt4 = runs[runs["model"].str.startswith("GPT-4 (")]
    assert gpt4["date"].tolist() == ["2023-03-15"]
    assert not runs.dropna(subset=chronicle.ONE_RUN).duplicated(chronicle.ONE_RUN).any()


def test_years_without_rows_show_all_years():
    frame = pd.DataFrame({"date": ["2020-01", "2024"]})
    assert len(chronicle.in_years(frame, 2023, 2025)) == 1
    assert len(chronicle.in_years(frame, 1990, 1991)) == 2


def test_entry_shares_of_a_round_add_up_to_one():
    for suite in ("training", "inference"):
        shares = chronicle.entry_shares(suite).groupby("day")["share"].sum()
        assert shares.tolist() == pytest.approx([1.0] * len(shares), abs=0.002)


def test_makers_that_offered_for_training_and_have_no_run_are_named(runs):
    """The table of merchants had left them out without a word."""
    idle = chronicle.without_runs(runs)
    assert "Graphcore" in idle and not {"NVIDIA", "Intel"} & set(idle)
    assert not set(idle) & set(chronicle.merchants(runs)["maker"])
    assert "SambaNova" in chronicle.without_runs(runs[runs["maker"] != "SambaNova"])


def test_a_study_of_a_format_that_trained_a_model_is_a_run_of_its_maker(runs):
    """Intel's 7B on 2 trillion tokens stood among studies of formats alone, and Gaudi2 had no model on record."""
    row = chronicle.merchants(runs).set_index("maker").loc["Intel"]
    assert row["runs"] == 2 and row["largest_flop"] == pytest.approx(6 * 7e9 * 2e12)


def test_merchants_show_their_largest_run(runs):
    table = chronicle.merchants(runs)
    own = runs[runs["maker"] == "Cerebras"]
    row = table.set_index("maker").loc["Cerebras"]
    assert row["largest_flop"] == own["training_flop"].max() and row["runs"] == len(own)
    assert not {"NVIDIA", "Google"} & set(table["maker"]) and {"China", "United States"} <= set(
        table["region"]
    )


def test_an_unknown_company_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'SambaNova'"):
        chronicle.chosen(["SambaNov"], 2016, 2026)
