"""What has to hold before a chip trains a job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training_moat.catalog import chips
from training_moat.contest import due_diligence, gates


@pytest.mark.parametrize(
    ("chip", "least", "words", "installed"),
    [
        ("a100-pcie-40", 640, "on record has 640", False),  # a measured step
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
