"""What software is worth, from measured pairs: another stack on the same chip, and the same stack later."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_training
from training_moat.catalog.dates import day
from training_moat.core.lifecycle import DAYS_PER_YEAR

SAME = ["model_id", "chip_id", "seq_len", "format"]
"""What two runs must share to be compared."""

NEAR_CHIPS = 2.0
"""Two runs are compared when one uses at most so many times the chips of the other."""

LATER = pd.Timedelta(days=180)
"""A stack has moved on when at least half a year lies between two runs."""


def rates() -> pd.DataFrame:
    """Measured runs as tokens per second and chip. Columns: those of `SAME`, chips, software, base, rate, day, source.

    A model that the table of models lacks goes by its own name and shape; a run without a date has no day.
    """
    frame = measured_training.usable().frame
    deep, wide = (frame[name].map("{:.0f}".format) for name in ("layers", "hidden"))
    named = frame["model"] + " (" + deep + " layers of " + wide + ")"
    frame = frame.assign(model_id=frame["model_id"].fillna(named)).dropna(
        subset=[*SAME, "software"]
    )
    rate = frame["global_batch"] * frame["seq_len"] / frame["step_seconds"] / frame["chips"]
    base = frame["software"].str.replace(r"-\d{4}$", "", regex=True)
    kept = frame[[*SAME, "chips", "software", "source"]]
    days = pd.to_datetime(frame["date"].map(day, na_action="ignore"))
    return kept.assign(base=base, rate=rate, day=days).reset_index(drop=True)


def _pairs() -> pd.DataFrame:
    """Every pair of rows of a group on about as many chips, the later one second."""
    frame = rates().sort_values([*SAME, "day", "base", "rate"], kind="stable", ignore_index=True)
    firsts, seconds = [], []
    for rows in frame.groupby(SAME, sort=True).indices.values():
        first, second = np.triu_indices(len(rows), 1)
        firsts.append(rows[first])
        seconds.append(rows[second])
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    chips = frame["chips"].to_numpy(float)
    ratio = chips[first] / chips[second]
    near = np.maximum(ratio, 1 / ratio) <= NEAR_CHIPS
    left, right = (frame.iloc[one[near]].reset_index(drop=True) for one in (first, second))
    return left.add_suffix("_1").join(right.add_suffix("_2"))


def other_stack() -> pd.DataFrame:
    """Slower stack over faster one: one row per model, chip, length, format and pair of stacks.

    Columns: model_id, chip_id, format, slower, faster, ratio (of the middle of the pairs), pairs, source.
    """
    found = _pairs()
    found = found[found["base_1"] != found["base_2"]]
    ends = found[["base_1", "base_2"]]
    swap = found["base_1"] > found["base_2"]
    ratio = np.where(swap, found["rate_2"] / found["rate_1"], found["rate_1"] / found["rate_2"])
    frame = found.rename(columns={f"{name}_1": name for name in SAME})[SAME]
    frame = frame.assign(a=ends.min(axis=1), b=ends.max(axis=1), ratio=ratio)
    frame = frame.assign(source=found["source_1"] + ";" + found["source_2"])
    rows = []
    for (model, chip, _, form, *pair), part in frame.groupby([*SAME, "a", "b"], sort=True):
        middle = float(part["ratio"].median())
        source = part["source"].iloc[0]
        slower_first = pair if middle <= 1 else pair[::-1]
        rows.append((model, chip, form, *slower_first, min(middle, 1 / middle), len(part), source))
    columns = ["model_id", "chip_id", "format", "slower", "faster", "ratio", "pairs", "source"]
    order = ["ratio", "model_id", "chip_id", "slower", "faster"]
    found = pd.DataFrame(rows, columns=columns)
    return found.sort_values(order, kind="stable", ignore_index=True)


def same_stack_later() -> pd.DataFrame:
    """Speed of a later run over an earlier one of the same stack, chip, model and format, both of one source: other hands
    switch other things on, and what lies between them is not progress.

    Columns: model_id, chip_id, format, stack, gain (of the middle of the pairs), years, pairs, source.
    """
    found = _pairs()
    found = found[(found["base_1"] == found["base_2"]) & (found["source_1"] == found["source_2"])]
    found = found[found["day_2"] - found["day_1"] >= LATER]
    frame = found.rename(columns={f"{name}_1": name for name in SAME})
    years = (found["day_2"] - found["day_1"]).dt.days / DAYS_PER_YEAR
    frame = frame.assign(stack=found["base_1"], gain=found["rate_2"] / found["rate_1"], years=years)
    rows = [
        (key[0], key[1], key[3], key[4], float(part["gain"].median()), float(part["years"].median()), len(part),
         ";".join(dict.fromkeys(part["source_1"])))
        for key, part in frame.groupby([*SAME, "stack"], sort=True)
    ]  # fmt: skip
    columns = ["model_id", "chip_id", "format", "stack", "gain", "years", "pairs", "source"]
    return pd.DataFrame(rows, columns=columns)
