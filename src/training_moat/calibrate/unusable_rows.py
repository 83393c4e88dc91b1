"""Measured rows that no prediction can be compared with, each with the reason: nothing is dropped in silence."""

from __future__ import annotations

import pandas as pd

from training_moat.calibrate import fit_serving, measured_collectives, reasons


def rows() -> pd.DataFrame:
    """How many measured rows cannot be used, by what was measured, source and reason, most first.

    Columns: measured (serving or collectives), reason, source, rows.
    """
    parts = [
        reasons.left_out(fit_serving.all_rows()).assign(measured="serving"),
        reasons.left_out(measured_collectives.all_rows()).assign(measured="collectives"),
    ]
    found = pd.concat(parts, ignore_index=True)[["measured", "reason", "source", "rows"]]
    keys = ["measured", "rows", "reason", "source"]
    order = found.sort_values(keys, ascending=[False, False, True, True], kind="stable")
    return order.reset_index(drop=True)
