"""Answers to many requests as one table, from their fields column by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.predict import asking, plan_search, training_answers, training_lines
from training_moat.predict import training_constants as known
from training_moat.predict.coded import Asked, one_by_one
from training_moat.predict.serving import predict as predict_serving
from training_moat.predict.training import predict as predict_training


def training(asked: Asked, count: int) -> pd.DataFrame:
    """The answers of `predict.training` to `count` requests as a table in their order, nested values as `plan.tp`, `error`
    blank or a sentence."""
    with tables.steady():
        constants = known.load()
        lines = training_lines.read_columns(asked, count, constants)
        if lines is None:
            return pd.DataFrame(_one_by_one(predict_training, asked, range(count)))
        best = plan_search.best(lines.rows)
        told, refused = training_answers.columns(lines.rows, best, lines.notes, constants)
        rest = _one_by_one(predict_training, asked, lines.alone) if lines.alone else {}
    places = np.delete(lines.places, list(refused))
    bad = {int(lines.places[index]): said for index, said in refused.items()}
    parts = [
        pd.DataFrame(told, index=places),
        pd.DataFrame({"error": list(bad.values())}, index=list(bad)),
        pd.DataFrame(rest, index=lines.alone),
    ]
    return pd.concat([part for part in parts if len(part)]).sort_index(
        kind="stable", ignore_index=True
    )


def serving(asked: Asked, count: int) -> pd.DataFrame:
    """The same of `predict.serving`."""
    return pd.DataFrame(_one_by_one(predict_serving, asked, range(count)))


def _one_by_one(
    predicted: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], asked: Asked, places: Any
) -> Mapping[str, Any]:
    which = np.fromiter(places, int)
    chosen = {name: field.at(which) for name, field in asked.items()}
    return asking.columns(predicted(one_by_one(chosen, len(which))))
