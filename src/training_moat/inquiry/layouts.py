"""How models are laid out over several chips to serve them, as measured in benchmarks."""

from __future__ import annotations

import pandas as pd

EXCHANGES = r"TP(?!1\b)|EP"
"""Layouts in which chips exchange inside a layer: tensor or expert parallel."""


def measured(told: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """Distinct measured ways to serve a model on several chips of a kind whose layout is known.

    told: the table of serving measurements; swept: that of InferenceX. Columns: table, row_id, model_id,
    chip_id, set_up, pure (free of tensor and expert parallelism), source.
    """
    told = told[(told["n_chips"] > 1) & told["parallelism"].notna()]
    told = told.assign(
        table="serving_measurements", set_up=told["parallelism"],
        pure=~told["parallelism"].str.contains(EXCHANGES),
    )  # fmt: skip
    sizes = {name: swept[column] for name, column in _SIZES.items()}
    swept = swept.assign(
        table="serving_inferencex",
        set_up=[" ".join(f"{k}{v}" for k, v in zip(sizes, row, strict=True)) for row in zip(*sizes.values(), strict=True)],
        pure=(sizes["TP"] <= 1) & (sizes["EP"] <= 1),
    )  # fmt: skip
    swept = swept[pd.DataFrame(sizes).max(axis=1) > 1]
    columns = ["table", "row_id", "model_id", "chip_id", "set_up", "pure", "source"]
    both = pd.concat([told[columns], swept[columns]])
    return both.drop_duplicates(["model_id", "chip_id", "set_up"], ignore_index=True)


_SIZES = {"TP": "tp_size", "PP": "pp_size", "EP": "moe_ep_size"}
