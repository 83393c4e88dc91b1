"""Every measured row is either compared or counted with a reason."""

from __future__ import annotations

import pandas as pd
import pytest

from training_moat.calibrate import (
    fit_serving,
    measured_collectives,
    measured_serving,
    unusable_rows,
)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return unusable_rows.rows()


def test_used_and_unusable_rows_are_all_rows(found: pd.DataFrame) -> None:
    counts = found.groupby("measured")["rows"].sum()
    serving = len(fit_serving.usable_rows()) + counts["serving"]
    collectives = len(measured_collectives.usable_rows()) + counts["collectives"]
    assert serving == len(measured_serving.all_rows())
    assert collectives == len(measured_collectives.all_rows())


def test_each_reason_is_a_sentence_part_and_the_order_is_stable(found: pd.DataFrame) -> None:
    assert found["reason"].str.len().gt(10).all() and found["rows"].gt(0).all()
    again = unusable_rows.rows()
    assert again.equals(found)
    assert not found.duplicated(["measured", "reason", "source"]).any()
