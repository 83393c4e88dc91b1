"""Chapters run to a page under settings nobody tried: every code cell in process, and no broken words."""

import re
from types import MappingProxyType

import cells
import pytest

from training_moat import figures
from training_moat.catalog import scenario, tables

BROKEN = re.compile(
    r"\bnan\b|\binf\b|\bof 1 chips\b|\b1 (?:chips|offers|moves|races|runs|events)\b|\bNone\b(?! of)"
    r"|without limit the|to without|, and $|\(\s*\)|: \)"
)
QUICK = ("corsair", "tpu-v5e")
"""A chip that cannot be modelled and one with little memory; the slow tests take one of every sort."""
LINKS = ("scaleup_gb_per_s_per_direction", "scaleup_domain_chips", "scaleout_gbit_per_s_per_chip")
HELD = ("hbm_gb", "ddr_gb", "bf16_tflops", "fp16_tflops", "available")
PEAKS = (
    "bf16_tflops",
    "fp16_tflops",
    "fp8_tflops",
    "fp4_tflops",
    "int8_tops",
    "tdp_w",
    "price_usd",
    "available",
)


def sorts(*columns):
    """The first chip of each sort: of those of which the same of these figures are known. `benchmarks.reruns` takes each
    chip."""
    chips = tables.load("chips")
    known = chips[list(columns)].isin([0, "0", None]) | chips[list(columns)].isna()
    return chips.loc[~known.duplicated(), "id"].tolist()


@pytest.fixture
def heard(monkeypatch, request):
    """Sentences, titles, captions and alternative texts of the chapters that a test runs.

    The quick tests write their charts out and hold them against Vega-Lite's schema; another chip in the same chart changes
    its data alone.
    """
    words, quick = [], request.node.get_closest_marker("slow") is None

    def publish(chart, *, caption, alt, **_):
        drawn = hasattr(chart, "to_dict")  # of what these settings leave empty there is no chart
        title = (chart.to_dict().get("title") if quick else chart.title) if drawn else None
        words.extend([caption, alt, title])

    monkeypatch.delenv("MOAT_STRICT", raising=False)
    monkeypatch.setattr(figures, "sentence", lambda text, **_: words.append(text))
    monkeypatch.setattr(figures, "publish", publish)
    return words


FEW = {"draws": 2000}
"""Of every run of the chapter on switching: what other settings do not reach says what it says with these."""


def told(chapter, words, always=MappingProxyType({}), **settings):
    """What a chapter says under other settings, in the cells that depend on them. always: settings of every run."""
    reached = cells.touched(chapter, settings, **always)
    for number, (cell, space) in enumerate(reached):
        if number == 0:
            words.clear()  # the defaults have been run by now
        cell.run(space)
    return [text for text in words if isinstance(text, str)]


def check(words):
    assert words
    for text in words:
        assert not BROKEN.search(text), text


@pytest.mark.parametrize("settings", [
    {"yearly_spend_musd": 1}, {"yearly_spend_musd": 1_000_000}, {"delay_value": 100}, {"horizon_years": 0.1},
    {"port_months": 0}, {"failure_probability": 0.95}, {"realised_share": 10}, {"delay_months": 0, "delay_value": 0},
    {"port_cost_musd": 100_000, "port_months": 10},
], ids=str)  # fmt: skip
def test_switching(settings, heard):
    check(told("switching", heard, FEW, **settings))


@pytest.mark.parametrize("settings", [
    {"companies": None}, {"companies": []}, {"companies": ["Etched"]}, {"from_year": 2025, "to_year": 2025}, {"from_year": 2016, "to_year": 2018},
], ids=str)  # fmt: skip
def test_history(settings, heard):
    check(told("history", heard, **settings))


@pytest.mark.parametrize("chip", QUICK)
def test_networking_with_two_kinds_of_chip(chip, heard):
    check(told("networking", heard, chip=chip))


@pytest.mark.slow
@pytest.mark.parametrize("chip", [chip for chip in sorts(*LINKS, *HELD) if chip not in QUICK])
def test_networking_with_each_sort_of_chip(chip, heard):
    if chip == cells.run_once("networking").space["chip"]:
        pytest.skip("the page as it is stored, which every chapter's own test runs")
    check(told("networking", heard, chip=chip))


@pytest.mark.parametrize(
    "settings",
    [{"chip_count": 1}, {"chip": "sn10", "chip_count": 8}, {"scaleup_gb_per_s": 0.1}],
    ids=str,
)
def test_networking_with_odd_clusters(settings, heard):
    check(told("networking", heard, **settings))


def test_a_size_that_may_end_late_names_the_one_that_is_sure(heard):
    """The page had named 4,096 chips for a deadline that the range of its own answer passes by weeks."""
    (answer,) = [text for text in told("cluster", heard) if text and "train Llama" in text]
    assert "by the far end of that range, too, takes 8,192 chips" in answer
    heard.clear()
    (tight,) = [
        text
        for text in told("cluster", heard, max_days=16)
        if text and "train" in text and "**" in text
    ]
    assert "takes more chips than were asked for" in tight


@pytest.mark.parametrize(("chip", "least"), [("wse-3", "days at least"), ("sohu", "no curve")])
def test_a_cluster_that_never_ends_in_time_still_has_its_page(chip, least, heard):
    """Of wafers, which share the batch alone, the largest size has no plan: the chapter had stopped at its table of them."""
    told_here = told("cluster", heard, model="llama3.1-405b", chip=chip)
    check(told_here)
    assert any("None of the sizes asked for" in text for text in told_here)
    assert any(least in text for text in told_here)
    assert not any("unknown days" in text for text in told_here)


def test_a_bill_that_no_size_changes_is_one_sum(heard):
    """Of sequences so long that few sizes are left, "110 to 110 million dollars"."""
    words = told("cluster", heard, seq_len=404_273)
    assert any("The bill: " in text for text in words)
    assert not [text for text in words if re.search(r"\b([\d.,]+) to \1 million", text)]


def test_a_speed_that_falls_with_its_links_is_not_kept_by_the_plan(heard):
    """A card whose speed falls to one part in seventy had kept it "because the plan adapts"."""
    said = " ".join(told("networking", heard, chip="rtx-4090"))
    assert "whatever the layout" in said and "because the plan adapts" not in said
    assert "because the plan adapts" in " ".join(told("networking", heard, chip="h100-sxm"))


@pytest.mark.slow
@pytest.mark.parametrize("chip", sorts(*PEAKS))
def test_precision_with_each_sort_of_chip(chip, heard):
    check(told("precision", heard, chips=[chip]))


def test_precision_on_one_chip_and_one_format(heard):
    check(told("precision", heard, chip_count=1, formats=["int8"]))


def test_two_chips_names_who_is_left_out_and_counts_the_chips_of_a_copy(heard, monkeypatch):
    """A wafer's copy of a 70B model, eight in a row, had been "1"; whom no row and no bar was for went unsaid."""
    tables_shown = []
    monkeypatch.setattr(figures, "table", lambda frame, **_: tables_shown.append(frame))
    words = told("two_chips", heard, chips=["wse-3", "groqchip", "b200"], chip_count=64)
    assert any("Not at that speed on 64 chips: GroqChip1" in text for text in words)
    assert any("No rent in the chips table: WSE-3 / CS-3." in text for text in words)
    assert "A million tokens: " in " ".join(words) and "least, on B200" in " ".join(words)
    copies = tables_shown[-1].set_index("chip")["chips a copy"]
    assert copies["WSE-3 / CS-3"] >= 4


def test_two_chips_of_which_none_can_be_asked_is_a_page_that_says_so(heard):
    """It had stopped at the overhead of answers that were none."""
    words = told("two_chips", heard, chips=["mtt-s5000"], precision="fp16")
    check(words)
    assert any("None of these chips serves" in text for text in words)


def test_an_own_chip_is_rented_on_words_and_serves_on_assumed_software(tmp_path, heard):
    """A rent of a scenario had stood "(nan)", and a copy of H200 at a fortieth of its speed, without a word of why."""
    body = "bf16_tflops: 900\n    hbm_gb: 141\n    hbm_tb_per_s: 4\n    cloud_usd_per_h: 1.2\n    scaleup_domain_chips: 8\n"
    links = "    scaleup_gb_per_s_per_direction: 400\n    scaleout_gbit_per_s_per_chip: 400\n"
    file = tmp_path / "own.yaml"
    file.write_text(f"chips:\n  renter:\n    name: A_B & C\n    {body}{links}", encoding="utf-8")
    with scenario.laid_over(file):
        check(told("cluster", heard, chip="renter"))
        shown = [text for text in heard if "A_B & C" in text]
        assert any(text.endswith("at least") for text in shown), "a title has the name as it is"
        assert any("1.2 dollars a chip-hour (as the chip's row has it)" in text for text in heard)
        words = told("two_chips", heard, chips=["renter", "h200"])
    assert any("overhead of software that is assumed" in text for text in words)


def test_a_chip_that_is_sold_and_not_rented_is_not_without_any_price(heard):
    """Of a card that every shop sells: "Nobody publishes a price." """
    settings = {"model": "llama3.1-8b", "tokens_b": 1.0, "global_batch": 8, "max_days": 1.0}
    words = told("cluster", heard, chip="rtx-4090", **settings)
    check(words)
    assert "The chips table has no rent of GeForce RTX 4090." in words
    assert not any("1 days" in text for text in words if "within" in text)


def test_the_backtest_of_one_year_has_no_range_of_years(heard):
    words = " ".join(told("backtest", heard, least_flop=1e26))
    assert "so that no range is known" in words and "names 1 maker rightly" in words


def test_number_formats_that_would_widen_a_gap_are_not_said_to_make_no_difference(heard):
    words = " ".join(told("counterfactual", heard, chip="gaudi2", chips=["gaudi2"]))
    assert re.search(r"the gap would be [\d.]+ times as wide", words) and "-0%" not in words


def test_a_run_of_the_cells_reached_says_what_a_whole_run_says(heard):
    """And the cells that are not reached say in a whole run what they say with the defaults."""
    chapter, settings = "switching", {"port_months": 0}

    def said(settings):
        space, found = {}, {}
        for cell in cells.code(chapter):
            heard.clear()
            cell.run(space)
            if cell.sets_parameters:
                space.update(settings)
            found[cell.id] = list(heard)
        return found

    whole = said(FEW | settings)
    reached = {}
    for cell, space in cells.touched(chapter, settings, **FEW):
        heard.clear()
        cell.run(space)
        reached[cell.id] = list(heard)
    assert 0 < len(reached) < len(whole)
    assert said(FEW) | reached == whole
