"""Every measured row is either compared or counted with a reason."""

from __future__ import annotations

import pandas as pd
import pytest

from training_moat.calibrate import (
    fit_serving,
    measured_collectives,
    measured_serving,
    measured_training,
    reasons,
    unusable_rows,
)
from training_moat.catalog import models


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return unusable_rows.rows()


def test_used_and_unusable_rows_are_all_rows(found: pd.DataFrame) -> None:
    counts = found.groupby("measured")["rows"].sum()
    used = sum(len(fit_serving.usable_rows(framework)) for framework in (False, True))
    serving = used + counts["serving"]
    collectives = len(measured_collectives.usable_rows()) + counts["collectives"]
    assert serving == len(measured_serving.all_rows())
    assert collectives == len(measured_collectives.all_rows())


def test_each_reason_is_a_sentence_part_and_the_order_is_stable(found: pd.DataFrame) -> None:
    assert found["reason"].str.len().gt(10).all() and found["rows"].gt(0).all()
    again = unusable_rows.rows()
    assert again.equals(found)
    assert not found.duplicated(["measured", "reason", "source"]).any()


def test_runs_of_a_model_that_came_after_the_fit_wait_for_the_next(found: pd.DataFrame) -> None:
    """The model is known to whoever asks, its runs are not in the fit, and the table says why."""
    waiting = found[found["reason"] == reasons.WAITING]
    assert set(waiting["source"]) == {"inferencex", "aiconfigurator_runs"}
    assert models.resolve("Qwen/Qwen3.5-397B-A17B") == "qwen3.5-397b-a17b"
    assert "qwen3.5-397b-a17b" not in set(fit_serving.usable_rows()["model"])
    training = measured_training.configurations()
    late = training[training["reason"] == reasons.WAITING]
    assert {"Nemotron_3_Super", "DeepSeekV4 Flash"} <= set(late["model"])
    assert all(models.known(name) for name in late["model"])


def test_a_models_name_in_words_alone_brings_no_shape_to_a_training_run() -> None:
    """Else a model that enters the table would enter the fit with it."""
    runs = measured_training.configurations()
    named = runs["model"].map(models.known) & runs["model_id"].isna()
    own = runs.loc[named & (runs["reason"] == ""), ["layers", "hidden", "heads", "ffn"]]
    assert named.any() and own.notna().all(axis=None)
    assert runs.loc[runs["reason"] == reasons.WAITING, "layers"].isna().all()
