"""Rows of the table of training constants as they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from training_moat.predict.fitted import Key


def stored_row(
    place: Key,
    value: float,
    rows: int,
    sources: int,
    basis: str,
    prior: tuple[float, float] = (np.nan, np.nan),
) -> dict[str, Any]:
    """A constant at its `place` (level, key, constant) with six digits, how many rows and sources it rests on and why it is
    what it is. prior: its median and the width of its logarithm, where it has one."""
    columns = ("level", "key", "constant", "value", "prior", "prior_log_sd", "rows", "sources")
    told = (*place, float(f"{value:.6g}"), *prior, rows, sources)
    return dict(zip(columns, told, strict=True)) | {"basis": basis}
