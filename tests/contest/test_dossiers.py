"""Dossiers: what is published about a chip, with its sources, and nothing else."""

from __future__ import annotations

import re

import pytest

from training_moat.calibrate import measured_training
from training_moat.catalog import chips, tables
from training_moat.catalog.relatives import wide_peak
from training_moat.contest import counterfactual, dossiers, due_diligence, winners
from training_moat.figures import theme
from training_moat.press import page_sets


@pytest.mark.parametrize("name", ["sn40l", "wse-2", "groq-lpu-v1", "mi300x"])
def test_a_data_sheet_cites_known_sources_for_every_number(name):
    sheet = dossiers.data_sheet(chips.chip(name))
    known = set(tables.load("sources")["key"])
    assert len(sheet) > 5
    assert all(set(cell.split(";")) <= known for cell in sheet["source"])
    assert not sheet["value"].str.contains("nan").any()


def test_a_range_is_shown_where_sources_differ():
    sheet = dossiers.data_sheet(chips.chip("sn40l")).set_index("quantity")
    assert sheet.loc["Bandwidth of the high-bandwidth memory", "range"] == "1.6 to 2"


def test_a_roofline_rises_to_the_peak_and_no_further():
    chip = chips.chip("h100-sxm")
    lines = dossiers.roofline(chip)
    assert lines["tflops"].max() == pytest.approx(wide_peak(chip) / 1e12)
    assert lines.groupby("tier")["tflops"].apply(lambda one: one.is_monotonic_increasing).all()


def test_a_wafers_weights_come_from_an_outside_store_and_what_differs_is_told_in_sentences():
    wafer = chips.chip("wse-2")
    assert set(dossiers.roofline(wafer)["tier"]) == {"SRAM, 40 GB", "outside store, 2,400,000 GB"}
    disputed = dossiers.conflicts(wafer)
    assert disputed["what"].iloc[1].endswith("7,500 and not 62,500")
    notes = disputed["resolved"].iloc[0]
    assert ";" not in notes and "checked" not in notes and ". The price is of a whole" in notes


def test_history_is_the_makers_own_and_in_order():
    found = dossiers.history(chips.chip("sn40l"))
    assert len(found) > 3 and found["date"].is_monotonic_increasing


def test_no_event_is_told_twice_for_one_day():
    found = dossiers.history(chips.chip("sn40l"))
    assert found["event"].str.contains("Series F").sum() == 1
    assert found["event"].str.contains("Intel in").sum() == 1
    # A later report of the same maker on another day stays.
    assert dossiers.history(chips.chip("corsair"))["event"].str.contains("production").sum() == 2


@pytest.mark.parametrize("name", ["gaudi2", "tpu-v7", "groq-3-lpu"])
def test_a_benchmark_round_of_several_makers_is_no_event_of_one(name):
    found = dossiers.history(chips.chip(name))
    assert len(found) > 2 and not found["event"].str.contains("entries").any()


def test_models_trained_on_a_chip_are_listed_the_largest_first():
    found = dossiers.trained_on(chips.chip("ascend-910b"))
    assert found["model"].iloc[0] == "Pangu Ultra" and found["model"].is_unique
    sizes = found["training_flop"].dropna()
    assert sizes.is_monotonic_decreasing and found["training_flop"].isna().any()
    assert dossiers.trained_on(chips.chip("corsair")).empty


def test_an_estimated_price_is_not_called_confirmed_and_no_number_has_an_exponent():
    sheet = dossiers.data_sheet(chips.chip("tpu-v7")).set_index("quantity")
    assert sheet.loc["Price of one chip", "confirmed"] == "no"
    wafer = dossiers.data_sheet(chips.chip("wse-3"))
    assert not (wafer["value"] + wafer["range"]).str.contains(r"\de[+-]", regex=True).any()


def test_a_replaced_value_is_told_in_words():
    told = " ".join(dossiers.conflicts(chips.chip("sn50"))["what"])
    assert "nan" not in told and "tdp_w" not in told and "1,250 is not used" in told


def test_no_value_that_was_put_in_where_none_stood_replaces_a_number():
    """Links that a maker told at a conference had been "240 and not nan" on the page of its chip."""
    changed = tables.load("corrections").query("table == 'chips'")["row"]
    told = [
        text for row in changed.unique() for text in dossiers.conflicts(chips.chip(row))["what"]
    ]
    assert any(text.endswith(", 240") for text in told)
    assert not [text for text in told if re.search(r"\bnan\b", text)]


def test_a_card_says_ahead_or_behind_only_where_the_range_leaves_no_doubt():
    found = counterfactual.splits(["groq-lpu-v1", "bow-ipu", "mi250x"])
    badges = [dossiers.badge(one) for one in found]
    assert badges[0] == "cannot"
    for one, word in zip(found, badges, strict=True):
        if word in ("behind", "ahead"):
            assert not one.low <= 1 <= one.high
    assert sum(word in ("cannot", "behind", "likely behind") for word in badges) == sum(
        one.behind for one in found
    )
    assert set(dossiers.cards(found)["badge"]) <= set(theme.SCALES["standing"])


def test_every_measured_run_is_a_point_of_the_roofline():
    chip = chips.chip("gaudi2")
    runs = dossiers.measured(chip)
    assert (
        len(runs) > 5
        and (runs["flop_per_byte"] > 0).all()
        and runs["peak_share"].between(0, 1).all()
    )
    assert runs["tflops"].is_monotonic_decreasing
    assert dossiers.measured(chips.chip("sn50")).empty


def test_a_chip_with_runs_that_are_not_shown_is_told_why():
    """Three pages asked for a first step time while the tables held some that wait for a fit or lack something."""
    shown = measured_training.usable().frame["chip_id"]
    held = measured_training.configurations()["chip_id"].value_counts()
    for name in set(held.index) & set(tables.load("challengers")["chip_id"]) - set(shown):
        said = dossiers.unmeasured(chips.chip(name))
        assert said.startswith(f"Of {held[name]} training run") and (
            "wait" in said or "cannot" in said
        )
    assert dossiers.unmeasured(chips.chip("sn40l")).startswith("A single published step time")


def test_challengers_have_pages_and_each_shows_its_own_chip():
    own = {page.own: page.parameters for page in page_sets.further_pages()}
    shown = {values["chip"] for values in own.values()}
    compared = set(counterfactual.challengers())
    assert shown <= compared and len(shown) == len(own) >= 16
    assert {"sn10", "sn30", "sn40l", "sn50", "groq-lpu-v1", "wse-3", "corsair", "mi300x"} <= shown
    for values in own.values():
        assert values["chip"] in values["chips"] and set(values["chips"]) <= compared


def test_the_chapter_links_to_every_page():
    text = (page_sets.CHAPTERS / "challenger.ipynb").read_text(encoding="utf-8")
    linked = re.findall(r"challenger-([a-z0-9-]+)\.html", text.split("from training_moat", 1)[0])
    assert linked == [page.own for page in page_sets.further_pages()]


def test_the_report_does_not_deny_the_runs_that_its_page_shows():
    told = " ".join(due_diligence.report("mi250x").assumed)
    assert "on record" not in told or "1 training run on it on record" in told
    assert "no training run on it is on record" not in told


def test_a_roofline_reaches_as_far_as_the_runs_on_it():
    for name in ("wse-3", "sn40l"):
        runs, line = dossiers.measured(chips.chip(name)), dossiers.roofline(chips.chip(name))
        assert runs.empty or line["flop_per_byte"].max() >= runs["flop_per_byte"].max()


def test_a_run_that_stands_in_two_tables_is_told_once():
    """The paper on ZAYA1 and its row among the notable runs were two models on the chip's page and one in the chapter on
    switching."""
    found = dossiers.trained_on(chips.chip("mi300x"))
    counts = winners.trained_on().loc["mi300x"]
    large = found[~(found["training_flop"] < winners.LEAST_FLOP)]
    assert len(large) == counts["others"] + counts["own"]


def test_a_card_of_a_chip_that_is_not_behind_says_that_nothing_decides():
    cards = dossiers.cards(counterfactual.splits(["mi300x", "sn40l"])).set_index("heading")
    assert cards.loc["Instinct MI300X", "half"] == dossiers.NOTHING
    assert dossiers.NOTHING not in set(cards.loc["SN40L RDU (Cerulean)"])
