"""What a user sees on the fewest chips that hold a model in serving, and how far the bandwidth of memory orders it."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import chips
from training_moat.predict import engines, serving

ENOUGH = 10
"""Fewest chips of which a rank correlation is told."""


def speeds(
    found: pd.DataFrame,
    model: str,
    *,
    seq_len: int = 8192,
    batch: int = 32,
    precision: str | None = None,
) -> pd.DataFrame:
    """Predicted serving on the fewest chips that hold it, for every chip whose verdict is `holds`.

    Columns: chip, name, vendor, chips, low, middle, high (tokens per second and user: the interval and the
    prediction), tokens_per_s_per_chip, calibration. Half of `seq_len` is prompt, half answer.
    """
    held = found[found["serving"] == "holds"]
    half = max(seq_len // 2, 1)
    asked = {"model": model, "precision": precision, "batch": batch}
    asked |= {"input_len": half, "output_len": half}
    requests = [
        asked
        | {"chip": row.chip, "chips": int(row.serving_chips)}
        | {"software": engines.compared(chips.chip(row.chip))}
        for row in held.itertuples()
    ]
    rows = []
    for row, one in zip(held.itertuples(), serving.predict(requests)):
        if one["ok"] and one["fits"]:
            per_user = (1 / one[name] for name in ("tpot_s_p95", "tpot_s", "tpot_s_p05"))
            told = (*per_user, one["tokens_per_s_per_chip"], one["calibration"])
            rows.append((row.chip, row.name, row.vendor, one["plan"]["chips"], *told))
    columns = ["chip", "name", "vendor", "chips", "low", "middle", "high"]
    return pd.DataFrame(rows, columns=[*columns, "tokens_per_s_per_chip", "calibration"])


def order_words(served: pd.DataFrame, verdicts: pd.DataFrame) -> str:
    """How far the bandwidth of the memory that serves orders the speeds of `speeds`, over all chips and within the tier that
    most of them serve from (Spearman's rank correlation), in words; blank for few chips."""
    found = served.merge(verdicts[["chip", "tier", "tier_gb_per_s"]], on="chip")
    found = found.dropna(subset=["tier_gb_per_s", "middle"])
    if len(found) < ENOUGH:
        return ""
    usual = str(found["tier"].mode().iloc[0])
    within = found[found["tier"] == usual]
    order, inside = (
        frame["tier_gb_per_s"].corr(frame["middle"], method="spearman") for frame in (found, within)
    )
    rest = f", and {inside:.2f} over the {len(within)} that serve from {usual}"
    return (
        f" The order of speeds follows that of bandwidths with a rank correlation of {order:.2f} over {len(found)} chips"
        f"{rest if len(within) >= ENOUGH else ''} (one would be the same order)."
    )
