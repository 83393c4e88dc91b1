"""Audited races: the time MLPerf Training takes on other makers' chips against Nvidia's chip of their day."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.inquiry.chronicle import INCUMBENT

AUDITED, TASK_SUFFIX = "mlperf_train", " (MLPerf)"


def rivals() -> dict[str, str]:
    """Nvidia's chip that each of the others is raced against (table challengers): on sale when it was, of the same class of
    price."""
    frame = tables.load("challengers").dropna(subset=["audited_rival"])
    return dict(zip(frame["chip_id"], frame["audited_rival"], strict=True))


def audited() -> pd.DataFrame:
    """Every audited time to train with its `round`, the shortest first."""
    rows = tables.load("training_measurements")
    rows = rows[rows["metric"].eq("time_to_train") & rows["source"].eq(AUDITED)]
    rounds = rows["table_ref"].str.extract(r"results_(v[\d.]+)")[0]
    return rows.assign(round=rounds).sort_values(["value", "row_id"], kind="stable")


def in_the_round(found: pd.DataFrame) -> pd.Series:
    """Minutes of the fastest entry of any chip of Nvidia's, whatever its class, on the task and the number of chips of
    each of the `pairs` and in the round of the other maker's entry; NaN where there was none."""
    vendors = tables.load("chips").set_index("id")["vendor"]
    rows = audited()
    rows = rows[rows["chip_id"].map(vendors) == INCUMBENT]
    best = rows.groupby([rows["model"].str.removesuffix(TASK_SUFFIX), "n_chips", "round"])[
        "value"
    ].min()
    keys = zip(found["task"], found["chips"], found["round"], strict=True)
    return pd.Series([best.get(key, np.nan) for key in keys], index=found.index)


def pairs() -> pd.DataFrame:
    """The best audited time of every task, chip and number of chips, beside the best on as many of Nvidia's
    chips of that day (`rivals`); all rounds count, since software of both improves.

    Columns: task, chips, chip_id, chip, minutes, rival, rival_minutes, speed (rival's time over the chip's),
    hbm_gb, rival_hbm_gb, round, rival_round, row_id, rival_row_id, source.
    """
    best = audited().drop_duplicates(["model", "chip_id", "n_chips"])
    known = tables.load("chips").set_index("id")
    against = best["chip_id"].map(rivals())
    raced = best.assign(against=against)[against.notna() & best["n_chips"].notna()]
    own = ["model", "n_chips", "against"]
    their = ["model", "n_chips", "chip_id"]
    both = raced.merge(best, left_on=own, right_on=their, suffixes=("", "_rival"))
    chip, rival = (known.loc[both[name]] for name in ("chip_id", "chip_id_rival"))
    found = pd.DataFrame({
        "task": both["model"].str.removesuffix(TASK_SUFFIX), "chips": both["n_chips"].astype(int),
        "chip_id": both["chip_id"], "chip": chip["name"].array, "minutes": both["value"],
        "rival": rival["name"].array, "rival_minutes": both["value_rival"],
        "speed": both["value_rival"] / both["value"], "hbm_gb": chip["hbm_gb"].array,
        "rival_hbm_gb": rival["hbm_gb"].array, "round": both["round"], "rival_round": both["round_rival"],
        "row_id": both["row_id"], "rival_row_id": both["row_id_rival"], "source": both["source"],
    })  # fmt: skip
    return found.sort_values(["task", "chips", "chip_id"], ignore_index=True, kind="stable")
