"""The scorecard: jobs of their day, dollars per chip-hour, gates, and the best plan over numbers of chips."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import chips, scenario, tables
from training_moat.catalog.dates import day
from training_moat.catalog.relatives import wide_peak
from training_moat.contest import (
    best_plan,
    chip_hours,
    counterfactual,
    deciding,
    due_diligence,
    gates,
    published_costs,
    reference_jobs,
    scorecard,
    serving_costs,
)
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import GROUPS, training_formats
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.workload import active_params
from training_moat.inquiry import holding
from training_moat.inquiry.wording import digits


@pytest.fixture(scope="module")
def job():
    return reference_jobs.job("gpt3-175b")


def test_the_job_of_a_day_is_the_newest_published_by_then():
    assert reference_jobs.of_day(pd.Timestamp("2022-03-31")).job == "gpt3-175b"
    assert reference_jobs.of_day(pd.Timestamp("2023-06-30")).job == "palm-540b"
    assert reference_jobs.of_day(pd.Timestamp("2023-07-01")).job == "llama2-70b"
    assert reference_jobs.of_day(pd.Timestamp("2016-01-01")).job == "gpt3-175b"


@pytest.mark.parametrize("name", ["gpt3-175b", "palm-540b", "llama3.1-405b"])
def test_a_frontier_job_is_the_largest_run_whose_shape_was_published(name):
    """Llama 2 70B and DeepSeek-V3 are the two of a new kind."""
    asked, runs = reference_jobs.job(name), tables.load("training_runs")
    own = 6 * active_params(asked.model) * asked.tokens
    by_then = runs["date"].map(day) <= asked.date + pd.offsets.MonthEnd()
    larger = runs[by_then & runs["model_id"].notna() & (runs["training_flop"] > 1.1 * own)]
    assert asked.frontier and larger.empty, larger[["model", "date", "training_flop"]]


def test_no_plan_takes_more_chips_than_any_machine_or_run_on_record():
    assert best_plan.COUNTS[-1] <= tiers.LARGEST_SYSTEM < best_plan.UNBUILT[0]
    assert tables.load("training_runs")["chips"].max() <= tiers.LARGEST_SYSTEM
    found = scorecard.cards("llama3.1-405b", ["bow-ipu", "h100-sxm"])
    assert [one.run is None for one in found] == [True, False]
    stopped = scorecard.stopped_by_size(found)
    assert list(stopped["chip"]) == ["bow-ipu"] and stopped["chips"].min() > tiers.LARGEST_SYSTEM
    (most,) = re.findall(r"days at best, on ([\d,]+) chips", found[0].limit)
    assert int(most.replace(",", "")) in best_plan.COUNTS


def test_a_chip_of_little_memory_gets_the_same_answer_as_in_the_memory_chapter():
    """Its plans share everything out over links that no usual plan cuts a matrix over."""
    chip, asked = chips.chip("grayskull"), reference_jobs.job("llama3.1-405b")
    told = holding.verdicts(
        asked.model_id, chips=[chip.id], seq_len=asked.seq_len, sequences=asked.batch
    )
    usual = best_plan.fewest(chip, asked, ("fp16",), (best_plan.at,))
    found = best_plan.together([usual, best_plan.fewest(chip, asked, ("fp16",))])
    assert found == [None, told["training_chips"].iloc[0]]


def test_batches_are_those_of_the_papers():
    """Narayanan et al. 2021 run GPT-3 with 1,536 sequences, DeepSeek-V3 states 15,360."""
    assert reference_jobs.job("gpt3-175b").batch == 1536
    assert reference_jobs.job("deepseek-v3").batch == 15360


def test_the_yardstick_is_never_of_a_later_day_nor_cut_for_export():
    for chip in chips.all_chips().values():
        if chip.available and chip.supports_training:
            start = reference_jobs.launched(chip)
            rival = reference_jobs.yardstick(start)
            first = reference_jobs.launched(chips.chip("v100"))
            assert reference_jobs.launched(rival) <= max(start, first)
            assert rival.id not in reference_jobs.cut_for_export()
    assert reference_jobs.yardstick(pd.Timestamp("2023-11-01")).id == "h100-sxm"


def test_an_unknown_job_names_the_nearest():
    with pytest.raises(InputError, match="llama2-70b"):
        reference_jobs.job("llama2-7b")


def test_a_bought_chip_costs_its_price_over_its_busy_life():
    chip = replace(chips.chip("h100-sxm"), id="own", price_usd=30_000.0, tdp_w=700.0)
    known = {name: item.median for name, item in chip_hours.assumptions().items()}
    hours = known["life_years"] * 8766 * known["busy_share"]
    capital = 30_000 * known["server_overhead"] / (1 - known["network_share"]) / hours
    watts = 700 * known["power_per_tdp"] * known["load_share"] * known["pue"]
    found = chip_hours.purchase(chip)
    assert found.capital_usd == pytest.approx(capital)
    assert found.power_usd == pytest.approx(watts / 1000 * known["electricity_usd_per_kwh"])


def test_the_price_of_a_system_is_not_marked_up_again():
    wafer = chips.chip("wse-2")
    plain = replace(wafer, id="own-wafer")
    assert chip_hours.capital_usd_per_h(wafer, 1e6) < chip_hours.capital_usd_per_h(plain, 1e6)


def test_two_prices_are_compared_only_when_known_in_the_same_way():
    rival = chips.chip("h100-sxm")
    own, other = chip_hours.pair(chips.chip("mi300x"), rival)
    assert own.basis == other.basis
    assert chip_hours.pair(chips.chip("sn10"), rival) is None


def test_a_chip_that_is_not_sold_has_no_price_of_sale():
    assert chip_hours.purchase(chips.chip("tpu-v7")) is None


def test_a_variant_of_a_chip_priced_with_its_system_pays_for_no_second_server(tmp_path):
    """A scenario's copy of GB200, whose price is a part of a rack, had been charged a server on top of it."""
    path = tmp_path / "own.yaml"
    path.write_text("chips: {same: {base: gb200}, dearer: {base: gb200, price_usd: 40000}}")
    rack = chip_hours.purchase(chips.chip("gb200"))
    with scenario.laid_over(path):
        same, dearer = (chip_hours.purchase(chips.chip(name)) for name in ("same", "dearer"))
    assert same.capital_usd == pytest.approx(rack.capital_usd)
    assert dearer.capital_usd == pytest.approx(rack.capital_usd * 40_000 / 35_000)


def test_what_used_chips_cost_is_no_price_of_sale():
    """The A100's price of 2026, second-hand, had stood beside what its rivals cost when they were new."""
    table = tables.load("chips")
    used = table["price_note"].where(table["id"] != "a100-80", "2026 refurb/used street range")
    assert chip_hours.purchase(chips.chip("a100-80")) is not None
    with tables.replaced(chips=table.assign(price_note=used)):
        assert chip_hours.purchase(chips.chip("a100-80")) is None


def test_a_rent_holds_its_power():
    found = chip_hours.rent(chips.chip("a100-80"), "on-demand", pd.Timestamp("2022-08-01"))
    assert 0 < found.power_usd < found.usd


def test_the_best_number_of_chips_beats_its_neighbours(job):
    chip = chips.chip("a100-80")
    formats = training_formats(chip)
    ((hours, count, name),) = best_plan.together([best_plan.cheapest(chip, job, formats)])
    for other in (count // 2, 2 * count):
        run = best_plan.run(chip, job, other, name)
        assert run is None or run.chip_hours >= hours or run.days > best_plan.MAX_DAYS
    assert best_plan.run(chip, job, count, name).days <= best_plan.MAX_DAYS


def test_four_of_five_recorded_runs_are_shorter_than_the_longest_allowed():
    hours = tables.load("training_runs")["training_hours"].dropna()
    assert np.quantile(hours, 0.8) <= 24 * best_plan.MAX_DAYS <= hours.max()


def test_formats_follow_the_table_and_the_makers_words():
    assert training_formats(chips.chip("h100-sxm")) == ("bf16", "fp8")
    assert training_formats(chips.chip("a100-80")) == ("bf16",)
    assert training_formats(chips.chip("corsair")) == ()
    assert wide_peak(chips.chip("groq-3-lpu")) < chips.chip("groq-3-lpu").peak_flops["fp8"]


def test_a_chip_that_is_given_eight_bits_trains_in_them_whatever_its_base_was_said_to_do(tmp_path):
    """The words on SN40L name sixteen bits alone; an SN40L with FP8 kept them, and gained nothing."""
    assert training_formats(chips.chip("sn40l")) == ("bf16",)
    path = tmp_path / "mine.yaml"
    path.write_text("chips: {sn40l: {fp8_tflops: 1276}, wider: {base: sn40l, hbm_gb: 128}}")
    with scenario.laid_over(path):
        assert training_formats(chips.chip("sn40l")) == ("bf16", "fp8")
        assert training_formats(chips.chip("wider")) == ("bf16", "fp8")
    path.write_text("chips: {wider: {base: sn40l, hbm_gb: 128}}")
    with scenario.laid_over(path):
        assert training_formats(chips.chip("wider")) == ("bf16",)


def test_an_sram_chip_stops_where_memory_does_and_a_gpu_passes(job):
    groq = scorecard.card(chips.chip("groq-lpu-v1"), job)
    gpu = scorecard.card(chips.chip("a100-80"), job)
    assert groq.stops_at and groq.run is None and np.isnan(groq.usd)
    assert gpu.run is not None and {"formats", "holds", "exchanges", "in time", "software"} <= {
        gate.name for gate in gpu.gates if gate.passed == gates.YES
    }


def test_dollars_are_chip_hours_times_price_and_inside_their_range(job):
    card = scorecard.card(chips.chip("a100-80"), job)
    assert card.usd == pytest.approx(card.run.chip_hours * card.price.usd)
    low, high = card.usd_range
    assert low < card.usd < high


@pytest.mark.parametrize(
    ("chip", "least", "words", "installed"),
    [
        ("gaudi2", 1024, "on record has 1,024", False),  # a benchmark's run
        ("ascend-910c", 384, "its maker's system of 384", False),
        ("bow-ipu", 256, "its maker's system of 256", False),  # four racks of 64
        ("mi355x", 10_000, "one owner took up about", True),
        ("ascend-910b", 10_000, "on record has 10,000", True),
    ],
)
def test_the_largest_machine_on_record_counts_runs_owners_tests_and_systems(
    chip, least, words, installed
):
    found = gates.largest_known(chips.chip(chip))
    assert found.chips >= least and words in found.words and found.installed == installed


def test_a_system_that_is_sold_shuts_no_gate_to_a_larger_one():
    gate = {one.name: one for one in due_diligence.report("sn40l").card.gates}["bought"]
    assert gate.passed == gates.UNKNOWN and "system of 16 chips; of a larger" in gate.why


def test_nothing_is_on_record_of_a_chip_that_nobody_installed():
    own = replace(chips.chip("h100-sxm"), id="own", available=None)
    assert gates.largest_known(own) is None


def test_faster_serving_is_not_cheaper():
    slow = serving_costs.costs("llama3.1-70b", ["h100-sxm"], speed=10.0)
    fast = serving_costs.costs("llama3.1-70b", ["h100-sxm"], speed=60.0)
    assert fast["chip_hours_per_mtok"].iloc[0] >= slow["chip_hours_per_mtok"].iloc[0]
    assert fast["tokens_per_s_per_user"].iloc[0] >= 60.0


def test_a_model_is_served_in_one_byte_where_that_is_cheaper(monkeypatch):
    """Hosts serve in eight bits: what was priced in sixteen alone looked dearer by a quarter or more."""
    found = serving_costs.costs("llama3.1-405b", ["h200", "mi250x"]).set_index("chip")
    assert found.loc["h200", "format"] == "fp8"
    monkeypatch.setattr(serving_costs, "EIGHT_BITS", ())
    serving_costs._costs.forget()
    wide = serving_costs.costs("llama3.1-405b", ["h200"]).set_index("chip")
    assert wide.loc["h200", "format"] == "bf16"
    ratio = wide.loc["h200", "chip_hours_per_mtok"] / found.loc["h200", "chip_hours_per_mtok"]
    assert 1.2 < ratio < 2.0


def test_asking_from_few_sequences_to_many_finds_what_asking_all_finds(monkeypatch):
    found = serving_costs.costs("llama3.1-70b", ["h100-sxm", "wse-3"])
    kept = serving_costs._keeping
    everything = [
        ((name, count, form), batch)
        for name in ("h100-sxm", "wse-3")
        for form in (None, "fp8")[: 1 + (name == "h100-sxm")]
        for count in serving_costs.COUNTS
        for batch in serving_costs.BATCHES
    ]
    common = {"model": "llama3.1-70b", "input_len": 1024, "output_len": 1024}
    rates = {}
    for (name, _, _), _, told in kept(everything, serving_costs.SPEED, common):
        rates[name] = max(rates.get(name, 0.0), told["tokens_per_s_per_chip"])
    for row in found.itertuples():
        assert 1e6 / 3600 / row.chip_hours_per_mtok >= 0.999 * rates[row.chip]


def test_a_host_asks_for_the_prompt_too():
    """3.50 USD for a million tokens in and 3.50 out are 7.00 for a million answered as long as they were asked."""
    found = serving_costs.listed("llama3.1-405b").set_index("host")
    assert found.loc["Together AI", "usd_per_mtok"] == pytest.approx(7.0)
    assert found.index.is_unique and found["usd_per_mtok"].is_monotonic_increasing
    assert serving_costs.listed("opt-175b").empty


def test_a_machine_s_hours_at_full_load_agree_with_the_most_that_was_measured():
    """Eight H200 under TensorRT-LLM put out 3,330 tokens a second of Llama 3.1 405B in FP8 at most (1,000 in and out)."""
    table = tables.load("serving_measurements")
    own = table[(table["source"] == "trtllm_perf_total") & (table["model_id"] == "llama3.1-405b")]
    own = own[(own["chip_id"] == "h200") & (own["input_len"] == 1000) & (own["output_len"] == 1000)]
    most = own["value"].max()
    told = serving_costs.costs("llama3.1-405b", ["h200"], speed=0.1)
    assert 8e6 / 3600 / told["chip_hours_per_mtok"].iloc[0] == pytest.approx(most, rel=0.25)


def test_published_hours_are_met_within_half_in_the_mean():
    found = published_costs.against_published()
    assert len(found) >= 10
    assert published_costs.mean_error(found) < 0.5


def test_a_decision_counts_every_challenger_once():
    found = counterfactual.splits(["groq-lpu-v1", "bow-ipu", "mi250x"])
    for one in deciding.decisions(found):
        assert len(one.yes) + len(one.no) + len(one.without) == 3
        assert one.low <= one.value <= one.high
    memory = deciding.decision("memory", found)
    assert any("Groq" in name for name in memory.yes)


def test_a_single_quote_is_as_uncertain_as_sellers_differ():
    least, most = chip_hours.sellers("on-demand")
    assert least < 0.7 and most > 1.5
    found = chip_hours.rent(chips.chip("mi325x"), "on-demand", pd.Timestamp("2026-05-01"))
    assert found.quotes == 1 and (found.low, found.high) == (least, most)
    many = chip_hours.rent(chips.chip("a100-80"), "on-demand", pd.Timestamp("2022-08-01"))
    assert many.quotes >= chip_hours.COMPANY and many.high / many.low < most / least


def test_one_list_price_against_one_discount_is_compared_only_where_nothing_else_is_known():
    found = chip_hours.pair(chips.chip("mi325x"), chips.chip("gb200"))
    assert {one.basis for one in found} == {chip_hours.OWNERSHIP}


def test_the_batch_is_sought_between_the_powers_of_four(monkeypatch) -> None:
    """A price that jumps where one more power of four is too slow is one of the grid, not of the chip."""
    chips = ["h100-sxm", "h100-nvl", "h200"]
    found = serving_costs.costs("llama3.1-405b", chips).set_index("chip")
    monkeypatch.setattr(serving_costs, "HALVINGS", 0)
    serving_costs._costs.forget()
    coarse = serving_costs.costs("llama3.1-405b", chips).set_index("chip")
    assert (found["usd_per_mtok"] <= coarse["usd_per_mtok"]).all()
    assert (found["usd_per_mtok"] < coarse["usd_per_mtok"]).any()
    assert (found["tokens_per_s_per_user"] >= serving_costs.SPEED).all()


def test_a_chip_without_a_published_sixteen_bit_rate_is_asked_with_the_usual_one():
    """What nobody published is assumed and said, and shuts no gate; integers alone do."""
    job = reference_jobs.job("gpt3-175b")
    card = scorecard.card(chips.chip("tpu-8t"), job)
    formats = {gate.name: gate for gate in card.gates}["formats"]
    assert formats.passed == "unknown" and "only in FP4" in formats.why and card.run is not None
    assert any("rate in sixteen bits is not published" in words for words in card.assumed)
    integers = {gate.name: gate for gate in scorecard.card(chips.chip("corsair"), job).gates}
    assert integers["formats"].passed == "no" and "integers alone" in integers["formats"].why


def test_an_assumed_rate_widens_and_moves_with_the_narrow_one():
    full, (first, *_) = completed(chips.chip("blackhole"))
    low, middle, high = (one.peak_flops["bf16"] for one in (first.low, full, first.high))
    assert first.factor == "compute" and low < middle < high < full.peak_flops["fp8"]
    assert middle == pytest.approx(full.peak_flops["fp8"] / 2, rel=0.02)
    published = completed(chips.chip("h100-sxm"))[1]
    assert not any(one.factor == "compute" for one in published)


def test_what_decides_in_words_covers_every_startup_that_is_behind():
    young = deciding.of_startups(counterfactual.splits())
    behind, words = [one for one in young if one.behind], deciding.in_full(young)
    assert behind and all(one.chip.vendor not in ("NVIDIA", "AMD") for one in young)
    decided = {
        one.name: [name for name in deciding.CAUSES if one.decides(name)]
        for one in behind
        if any(one.decides(name) for name in deciding.CAUSES)
    }
    assert words.startswith("for ") and "by memory" in words and "by number formats" in words
    assert all(name in words for name, causes in decided.items() if len(causes) > 1), "told twice"
    causes, _, rest = words.partition(". ")
    told = [int(count) for count in re.findall(r"for (\d+)", causes)]
    assert sum(told) == len(decided), "every chip counts once"
    assert len(deciding.makers(behind)) < len(behind), "some makers are there with several chips"
    others = [
        int(count)
        for count in re.findall(r"for (\d+)|; (\d+) needed", rest)
        for count in count
        if count
    ]
    assert rest.startswith(f"Of the other {len(behind) - len(decided)}, "), (
        "and each other one once"
    )
    assert sum(others) == len(behind) - len(decided)


def test_what_most_often_closes_half_of_a_gap_is_counted_over_all_qualities():
    """The first page named the article's causes with their counts and hid that software alone decides for more chips."""
    behind = [one for one in deciding.of_startups(counterfactual.splits()) if one.behind]
    words, count = deciding.most_often(behind)
    assert set(deciding.QUALITIES) == set(GROUPS)
    yes = {group: sum(one.decides(group) for one in behind) for group in GROUPS}
    assert count == max(yes.values()) and yes[max(yes, key=yes.get)] == count
    assert words == deciding.QUALITIES[max(yes, key=yes.get)]


def test_a_makers_own_chip_counts_as_a_startups_and_one_chip_is_no_one_chips():
    """A founder's chip was left out of the startups, and "the 1 chip of startups" is no English."""
    found = {one.chip.id: one for one in counterfactual.splits()}
    own = replace(found["sn40l"], chip=replace(found["sn40l"].chip, vendor="Founder"))
    assert deciding.of_startups([own, found["mi250x"]]) == [own]
    assert "one chip of a startup among them, SN40L" in deciding.in_full_of([own])
    by_memory, both = found["groq-lpu-v1"], [own, found["groq-lpu-v1"]]
    assert deciding.in_full_of([by_memory]).endswith("half of the gap closes by memory alone.")
    assert "Of the 2 chips of startups" in deciding.in_full_of(both)
    assert "The other one needed" in deciding.in_full_of(both)


def test_the_shortest_ways_to_half_of_a_gap_are_all_told_and_no_shorter_one_exists():
    found = {one.name: one for one in counterfactual.splits() if one.behind}
    for one in found.values():
        ways = one.ways()
        assert ways and all(one.closed(*way) >= counterfactual.DECIDES for way in ways)
        assert sorted(ways, key=lambda way: -one.closed(*way)) == ways
        singles = {name for name in GROUPS if one.decides(name)}
        assert singles == ({name for (name,) in ways} if len(ways[0]) == 1 else set())
        words = counterfactual.half_closes(one)
        assert all(name in words for way in ways for name in way)
    assert any(len(one.ways()) > 1 and len(one.ways()[0]) == 2 for one in found.values())


def test_the_articles_causes_are_mended_where_that_helps_and_close_no_less_than_any_of_them():
    young = [one for one in deciding.of_startups(counterfactual.splits()) if one.behind]
    for one in young:
        together = one.closed(counterfactual.ARTICLE)
        assert together >= max(one.closed(name) for name in deciding.CAUSES)
        assert together >= one.closed(*deciding.CAUSES)
        drawn = one.drawn_closed[counterfactual.ARTICLE]
        assert (drawn >= one.drawn_closed["memory"] - 1e-12).all()
    told = deciding.decision(counterfactual.ARTICLE, young)
    assert told.low <= told.value <= told.high
    table = deciding.needs(young).set_index("chip")
    assert list(table.index) == [one.name for one in young]
    for one in young:
        left = table.loc[one.name, "left"]
        closed = one.closed(counterfactual.ARTICLE)
        assert left == (
            "cannot" if not one.possible and closed <= 0 else digits(one.gap ** (1 - closed))
        )


def test_every_gate_has_words_for_a_title():
    assert tuple(scorecard.STOPPED) == scorecard.GATES


def test_too_slow_a_chip_is_told_on_how_many_of_it():
    """WSE-3's 246 days had been "on no more chips than the largest machine on record": it is its batch that ends there."""
    (late,) = scorecard.cards("llama3.1-405b", ["wse-3"])
    why = {gate.name: gate.why for gate in late.gates}["in time"]
    assert re.fullmatch(r"[\d,]+ days at best, on 2,048 chips", why)
    batch = reference_jobs.job("llama3.1-405b").batch
    assert batch == 2048 < max(best_plan.COUNTS)


def test_a_price_says_of_what_kind_it_is_and_on_how_few_quotes_it_rests():
    when = pd.Timestamp("2024-07-23")
    h200, h100 = (chip_hours.hourly(chips.chip(one), when) for one in ("h200", "h100-sxm"))
    assert h200.quotes == 2 and h200.words.endswith("(2 quotes)")
    assert h100.quotes > 2 and "quote" not in h100.words
    assert "quote" not in chip_hours.purchase(chips.chip("h200")).words
    served = serving_costs.costs("llama3.1-70b", ["h200", "h100-sxm"], when=when)
    assert set(served["price"]) == {h200.words, h100.words}


RENTED = """
chips:
  copy: {base: h100-sxm, hbm_gb: 160}
  larger: {base: copy, hbm_gb: 320}
  renter: {base: h100-sxm, cloud_usd_per_h: 1.2}
  renters: {base: renter, hbm_gb: 160}
  both: {base: h100-sxm, cloud_usd_per_h: 1.2, price_usd: 20000}
"""


def test_a_rent_counts_as_the_users_own_only_where_the_scenario_states_it(tmp_path):
    """A chip made from H100 had H100's contract of 2026 as its "own figure": 24 million dollars beside H100's own 89; and
    one with a rent of its own was counted by the chip, "with no price known for both"."""
    file = tmp_path / "own.yaml"
    file.write_text(RENTED, encoding="utf-8")
    with scenario.laid_over(file):
        known, rival = chips.all_chips(), chips.chip("h100-sxm")
        priced = {name: chip_hours.hourly(known[name], day("2024-07")) for name in known}
        assert {priced[name].basis for name in ("copy", "larger")} == {"purchase"}
        assert {priced[name].words for name in ("renter", "renters")} == {"rent, own figure"}
        for name in ("renter", "renters"):
            own, other = chip_hours.pair(known[name], rival)
            assert (own.usd, other.usd) == pytest.approx((1.2, rival.cloud_usd_per_h))
            assert (own.words, other.words) == ("rent, own figure", "rent, contract of years")
        assert {chip_hours.pair(known[one], rival)[0].basis for one in ("copy", "both")} == {
            "purchase"
        }
    own, other = chip_hours.pair(chips.chip("mi300x"), chips.chip("h100-sxm"))
    assert chip_hours.CONTRACT not in (own.when, other.when)


def test_a_machine_that_serves_one_user_is_called_the_wrong_one():
    """Sixteen users on 32 H100 NVL, 23 on 512 TPU v5e had passed at 200 and 370 dollars a million tokens."""
    batches = {"name": ["one", "two", "three"], "batch": [1, 64, 16], "chips": [8, 8, 32]}
    frame = pd.DataFrame(batches | {"usd_per_mtok": [900.0, 1.0, 200.0]})
    assert serving_costs.strained_words(frame).startswith(" one and three keep")
    assert serving_costs.strained_words(frame[frame["batch"] > frame["chips"]]) == ""
    # Where a chip has no price, none stands beside it.
    unpriced = frame.assign(usd_per_mtok=[np.nan, 1.0, 80.0])
    assert serving_costs.strained_words(unpriced).startswith(" three keeps")


def test_a_cost_that_is_mostly_an_assumption_says_so():
    """The page on Ironwood had 23 chip-hours a million tokens beside 0.27 of Nvidia's chip, most of it assumed software."""
    chips = {"name": ["one", "two", "three"], "knowledge": ["generic", "generic", "measured"]}
    frame = pd.DataFrame(chips | {"overhead": [0.6, 0.2, 0.7]})
    told = serving_costs.assumed_words(frame)
    assert told.startswith(" Of one nobody timed serving") and "assumed for it" in told
    assert serving_costs.assumed_words(frame.iloc[1:]) == ""
    served = serving_costs.costs("llama3.1-70b", ["h100-sxm", "tpu-v7"])
    shares = served.set_index("chip")["overhead"]
    assert 0 < shares["h100-sxm"] < shares["tpu-v7"] < 1


def test_a_cause_that_decides_beside_another_is_told_so():
    alone = SimpleNamespace(name="alone", closed=lambda group: float(group == "memory"))
    both = SimpleNamespace(
        name="both", closed=lambda group: {"memory": 0.6, "software": 0.9}.get(group, 0.0)
    )
    known = {"needed": 0.5, "value": 1.0, "low": 0.5, "high": 1.0, "no": (), "without": ()}
    memory = deciding.Decision("memory", yes=("alone", "both"), **known)
    assert "for both another quality" in deciding.shared([memory], [alone, both])
    assert (
        deciding.shared([memory], [alone, SimpleNamespace(name="both", closed=alone.closed)]) == ""
    )


def test_an_old_list_is_told_from_todays():
    """Three of the hosts of the largest Llama are on the list of 2024 alone; all were said to ask today."""
    hosts = serving_costs.listed("llama3.1-405b")
    assert (hosts["date"] < hosts["date"].max()).sum() == 3
    nothing = pd.DataFrame({"usd_per_mtok": []})
    words = serving_costs.market_words("Llama 3.1 405B", nothing, hosts)
    assert "3 of them had it on an older list alone, of 2024-12" in words
    today = hosts[hosts["date"] == hosts["date"].max()]
    assert "older" not in serving_costs.market_words("Llama 3.1 405B", nothing, today)


def test_links_that_nobody_published_are_tried_at_the_slow_end_of_their_range():
    found = counterfactual.splits(["sn40l", "bow-ipu"])
    assumed, decided = deciding.slow_links(found)
    assert assumed == (found[0].name,), "Graphcore publishes the rates of its links"
    assert not decided and found[0].closed_with_slow_links() > found[0].closed("network")
    slower = [replace(one, swing={**one.swing, "network": (1.0, 30.0)}) for one in found]
    assert deciding.slow_links(slower)[1] == assumed


def test_a_chip_that_serves_on_thousands_of_itself_is_asked_with_so_many():
    """Groq serves large models on hundreds of its chips and more: 512 of them hold no Llama 3.1 405B."""
    found = serving_costs.costs("llama3.1-405b", ["groq-lpu-v1", "h100-sxm"]).set_index("chip")
    assert (
        found.loc["groq-lpu-v1", "chips"]
        > serving_costs.COUNTS[-1]
        >= found.loc["h100-sxm", "chips"]
    )
    assert found.loc["groq-lpu-v1", "tokens_per_s_per_user"] > 100
