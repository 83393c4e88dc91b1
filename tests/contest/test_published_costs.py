"""Hours of chips that papers state, beside those of the model."""

from __future__ import annotations

from training_moat.contest import published_costs


def test_published_hours_are_met_within_half_in_the_mean():
    found = published_costs.against_published()
    assert len(found) >= 10
    assert published_costs.mean_error(found) < 0.5
