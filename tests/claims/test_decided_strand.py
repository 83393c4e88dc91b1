"""What decides, for whom: measures of the claim table that ask the model."""

from __future__ import annotations

import pytest

from training_moat.claims.decided_strand import counterfactual
from training_moat.core.errors import InputError

CHIPS = "groq-lpu-v1,bow-ipu,wse-2,ascend-910b"


@pytest.mark.parametrize("group", ["memory", "network", "precision"])
def test_a_measure_is_a_share_with_its_range_and_names(group):
    found = counterfactual(group, chips=CHIPS)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.kind == "Monte Carlo, 5 to 95%" and "decides for" in found.note
    assert {f"chips:{name}" for name in CHIPS.split(",")} <= set(found.rows)


def test_a_note_counts_the_startups_apart():
    """Groq, Graphcore and Cerebras are startups, Huawei is none."""
    note = counterfactual("memory", chips=CHIPS).note
    assert "of 3 chips of startups among them for " in note
    assert "startups" not in counterfactual("memory", chips="ascend-910b").note


def test_memory_decides_for_the_chip_that_has_none():
    found = counterfactual("memory", chips="groq-lpu-v1")
    assert found.value == 1 and "Groq" in found.note.split(", not for")[0]


def test_a_stricter_share_decides_for_no_more():
    lenient = counterfactual("memory", share="0.3", chips=CHIPS)
    strict = counterfactual("memory", share="0.9", chips=CHIPS)
    assert strict.value <= lenient.value


def test_an_unknown_group_names_the_nearest():
    with pytest.raises(InputError, match="network"):
        counterfactual("networks")
