"""The scorecard: where a chip stops, and what its run costs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from training_moat.catalog import chips, tables
from training_moat.contest import best_plan, gates, reference_jobs, scorecard
from training_moat.core import tiers


@pytest.fixture(scope="module")
def job():
    return reference_jobs.job("gpt3-175b")


def test_no_plan_takes_more_chips_than_any_machine_or_run_on_record():
    assert best_plan.COUNTS[-1] <= tiers.LARGEST_SYSTEM < best_plan.UNBUILT[0]
    assert tables.load("training_runs")["chips"].max() <= tiers.LARGEST_SYSTEM
    found = scorecard.cards("llama3.1-405b", ["bow-ipu", "h100-sxm"])
    assert [one.run is None for one in found] == [True, False]
    stopped = scorecard.stopped_by_size(found)
    assert list(stopped["chip"]) == ["bow-ipu"] and stopped["chips"].min() > tiers.LARGEST_SYSTEM
    (most,) = re.findall(r"days at best, on ([\d,]+) chips", found[0].limit)
    assert int(most.replace(",", "")) in best_plan.COUNTS


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


def test_a_chip_without_a_published_sixteen_bit_rate_is_asked_with_the_usual_one():
    """What nobody published is assumed and said, and shuts no gate; integers alone do."""
    job = reference_jobs.job("gpt3-175b")
    card = scorecard.card(chips.chip("tpu-8t"), job)
    formats = {gate.name: gate for gate in card.gates}["formats"]
    assert formats.passed == "unknown" and "only in FP4" in formats.why and card.run is not None
    assert any("rate in sixteen bits is not published" in words for words in card.assumed)
    integers = {gate.name: gate for gate in scorecard.card(chips.chip("corsair"), job).gates}
    assert integers["formats"].passed == "no" and "integers alone" in integers["formats"].why


def test_every_gate_has_words_for_a_title():
    assert tuple(scorecard.STOPPED) == scorecard.GATES


def test_too_slow_a_chip_is_told_on_how_many_of_it():
    """WSE-3's 246 days had been "on no more chips than the largest machine on record": it is its batch that ends there."""
    (late,) = scorecard.cards("llama3.1-405b", ["wse-3"])
    why = {gate.name: gate.why for gate in late.gates}["in time"]
    assert re.fullmatch(r"[\d,]+ days at best, on 2,048 chips", why)
    batch = reference_jobs.job("llama3.1-405b").batch
    assert batch == 2048 < max(best_plan.COUNTS)
