"""What is assumed for a rate that nobody publishes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training_moat.catalog import chips, relatives
from training_moat.contest import chip_assumptions
from training_moat.core.units import GB


def test_a_link_is_taken_from_the_same_architecture_where_it_publishes_one():
    """Graphcore's first chip has the IPU-Links of the GC200, which came two years after it."""
    gc2, gc200 = chips.chip("gc2"), chips.chip("gc200")
    assert gc2.scaleup is None and gc200.scaleup is not None
    full, assumed = chip_assumptions.completed(gc2)
    assert full.scaleup.bytes_per_s == gc200.scaleup.bytes_per_s
    (link,) = [
        one
        for one in assumed
        if "of its architecture and time" in one.words and "joins" in one.words
    ]
    assert link.low.scaleup.bytes_per_s <= full.scaleup.bytes_per_s < link.high.scaleup.bytes_per_s


def test_a_relative_of_another_time_tells_nothing():
    """A chip of Graphcore's first kind, had it come four years after the Bow."""
    first = replace(chips.chip("gc2"), available="2026")
    assert chips.chip("bow-ipu").scaleup is not None
    assert relatives.taken(first, "scaleup")[0] == relatives.rates("scaleup")[1]


def test_without_a_relative_the_median_of_the_table_stands_in():
    lonely, (low, middle, high) = chips.chip("sn40l"), relatives.rates("scaleup")
    assert low < middle < high
    rate, words = relatives.taken(lonely, "hbm")
    assert rate == relatives.rates("hbm")[1] and words == "the median of the chips table"


def test_the_slow_end_of_an_unpublished_link_is_that_of_its_range():
    """Only a chip of which the number that its links join is known, and their rate is not, has one."""
    (low,) = (
        one.low.scaleup.bytes_per_s / GB
        for one in chip_assumptions.completed(chips.chip("sn40l"))[1]
        if "link" in one.words
    )
    assert chip_assumptions.slow_link_gb_per_s(chips.chip("sn40l")) == pytest.approx(low)
    assert chip_assumptions.slow_link_gb_per_s(chips.chip("h100-sxm")) is None


def test_an_assumed_rate_widens_and_moves_with_the_narrow_one():
    full, (first, *_) = chip_assumptions.completed(chips.chip("blackhole"))
    low, middle, high = (one.peak_flops["bf16"] for one in (first.low, full, first.high))
    assert first.factor == "compute" and low < middle < high < full.peak_flops["fp8"]
    assert middle == pytest.approx(full.peak_flops["fp8"] / 2, rel=0.02)
    published = chip_assumptions.completed(chips.chip("h100-sxm"))[1]
    assert not any(one.factor == "compute" for one in published)
