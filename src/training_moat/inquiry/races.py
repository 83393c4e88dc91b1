"""Audited races: the time MLPerf Training takes on other makers' chips against Nvidia's chip of their day."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import tables

AUDITED = "mlperf_train"


def rivals() -> dict[str, str]:
    """Nvidia's chip that each of the others is raced against (table challengers): on sale when it was, of the same class of
    price."""
    frame = tables.load("challengers").dropna(subset=["audited_rival"])
    return dict(zip(frame["chip_id"], frame["audited_rival"], strict=True))


def pairs(
    measurements: pd.DataFrame | None = None, chips: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The best audited time of every task, chip and number of chips, beside the best on as many of Nvidia's
    chips of that day (`rivals`); all rounds count, since software of both improves.

    Columns: task, chips, chip_id, chip, minutes, rival, rival_minutes, speed (rival's time over the chip's),
    hbm_gb, rival_hbm_gb, round, rival_round, row_id, rival_row_id, source.
    """
    rows = tables.load("training_measurements") if measurements is None else measurements
    rows = rows[rows["metric"].eq("time_to_train") & rows["source"].eq(AUDITED)]
    rows = rows.sort_values(["value", "row_id"], kind="stable")
    best = rows.drop_duplicates(["model", "chip_id", "n_chips"])
    best = best.assign(round=best["table_ref"].str.extract(r"results_(v[\d.]+)")[0])
    known = (tables.load("chips") if chips is None else chips).set_index("id")
    found, against = [], rivals()
    for own in best[best["chip_id"].isin(against)].itertuples():
        same = (best["model"] == own.model) & (best["n_chips"] == own.n_chips)
        for rival in best[same & (best["chip_id"] == against[own.chip_id])].itertuples():
            found.append({
                "task": own.model.removesuffix(" (MLPerf)"), "chips": int(own.n_chips), "chip_id": own.chip_id,
                "chip": known.loc[own.chip_id, "name"], "minutes": own.value,
                "rival": known.loc[rival.chip_id, "name"], "rival_minutes": rival.value,
                "speed": rival.value / own.value, "hbm_gb": known.loc[own.chip_id, "hbm_gb"],
                "rival_hbm_gb": known.loc[rival.chip_id, "hbm_gb"], "round": own.round,
                "rival_round": rival.round, "row_id": own.row_id, "rival_row_id": rival.row_id,
                "source": own.source,
            })  # fmt: skip
    return pd.DataFrame(found).sort_values(
        ["task", "chips", "chip_id"], ignore_index=True, kind="stable"
    )
