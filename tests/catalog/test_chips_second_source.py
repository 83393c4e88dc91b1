"""The chips table against Epoch AI's independent table: there is enough to compare, and most figures agree.

That each figure that differs is noted in its row is `plausible_numbers.second_places`, which `moat check` runs.
"""

import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.catalog.plausible_numbers import SAME, SECOND_PLACES


def ratios(theirs, ours, factor):
    """Their figure over ours, for every chip that has both."""
    history = tables.load("hardware_history").dropna(subset=["chip_id"]).set_index("chip_id")
    chips = tables.load("chips").set_index("id")
    return (history[theirs] / (factor * chips[ours].reindex(history.index))).dropna()


@pytest.mark.parametrize(("theirs", "ours", "factor"), SECOND_PLACES)
def test_each_figure_has_a_second_source(theirs, ours, factor):
    assert len(ratios(theirs, ours, factor)) >= 4


def test_most_figures_agree():
    found = pd.concat([ratios(*pair) for pair in SECOND_PLACES])
    assert ((found - 1).abs() <= SAME).mean() > 0.8
