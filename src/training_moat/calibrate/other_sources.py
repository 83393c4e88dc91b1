"""What a number that somebody else published is worth: runs of a model that another source trained as well, on the same chip,
in the same format and at the same length, predicted by that other source's speed.

It is what an asker without a model would look up. Moved from the others' settings to the run's own by the model, it says how
far two sources lie apart beyond what the model tells of their settings.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

SAME = ["chip_id", "format", "layers", "hidden", "experts", "seq_len"]
"""What makes two sources' runs the same training. Layout, batch, cluster and software are each source's own."""

ALIKE = 0.05
"""How far apart, as a logarithm, the model may expect two sources' speeds to lie that count as described alike: half of what it
errs by, so that what it misses of their differences is the smaller part of theirs."""


def beside_others(runs: pd.DataFrame) -> pd.DataFrame:
    """Those of `runs` (as `training_errors.rows` tells them) that another source among them trained as well, each predicted in
    three ways. Errors as shares of the measured seconds.

    Columns: source, interval_kind, `model` (with the source left out), `looked_up` (tokens a second and chip as the others
    measured them, in the mean of their logarithms, each source with the same weight), `moved` (the same, moved from
    their settings to these by the ratio of the model's own predictions).
    """
    frame = runs.assign(rate=_log_rate(runs, "measured_s"), shown=_log_rate(runs, "predicted_s"))
    frame["ahead"] = frame["rate"] - frame["shown"]
    of_others = {name: _mean_of_others(frame, name) for name in ("rate", "ahead")}
    logs = {
        "looked_up": frame["rate"] - of_others["rate"],
        "moved": frame["ahead"] - of_others["ahead"],
    }
    frame = frame.assign(
        model=frame["unseen_source_error"], **{k: np.exp(v) - 1 for k, v in logs.items()}
    )
    shown = of_others["rate"].notna()
    return frame.loc[shown, ["source", "interval_kind", "model", "looked_up", "moved"]]


def by_kind(beside: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors by kind of run, every source with the same weight, as shares.

    Columns: interval_kind, runs, sources, model, looked_up, moved.
    """
    ways = ["model", "looked_up", "moved"]
    off = beside.assign(**beside[ways].abs())
    sources = off.groupby(["interval_kind", "source"])[ways].mean()
    counts = off.groupby("interval_kind")["source"].agg(runs="size", sources="nunique")
    return counts.join(sources.groupby("interval_kind").mean()).reset_index()


def described_alike(runs: pd.DataFrame) -> pd.DataFrame:
    """How far two sources lie apart that trained the same and describe it so alike that the model expects the same of both,
    by kind of run; every pair of sources counts once, by the mean of its pairs of runs.

    Columns: interval_kind, pairs (of
    sources), `differ` (mean absolute difference of the measured speeds' logarithms), `at_best` (what the best model of
    such descriptions is off by where both sources scatter alike about it: `differ` over the root of two), `model` (error of
    the model on the same runs with their source left out).
    """
    frame = runs[[*SAME, "source", "interval_kind"]].assign(
        rate=_log_rate(runs, "measured_s"),
        shown=_log_rate(runs, "predicted_s"),
        off=runs["unseen_source_error"].abs(),
    )
    pairs = frame.merge(frame, on=[*SAME, "interval_kind"], suffixes=("", "_other"))
    near = (pairs["shown"] - pairs["shown_other"]).abs() <= ALIKE
    pairs = pairs[near & (pairs["source"] < pairs["source_other"])]
    told = pairs.assign(
        differ=(pairs["rate"] - pairs["rate_other"]).abs(),
        model=(pairs["off"] + pairs["off_other"]) / 2,
    )
    sources = told.groupby(["interval_kind", "source", "source_other"])[["differ", "model"]].mean()
    kinds = sources.groupby("interval_kind")
    found = kinds.mean().assign(pairs=kinds.size()).reset_index()
    found["at_best"] = found["differ"] / np.sqrt(2)
    return found[["interval_kind", "pairs", "differ", "at_best", "model"]]


def _log_rate(runs: pd.DataFrame, seconds: str) -> pd.Series:
    """Logarithm of the tokens a second and chip."""
    return np.log(runs["global_batch"] * runs["seq_len"] / runs["chips"] / runs[seconds])


def _mean_of_others(frame: pd.DataFrame, name: str) -> pd.Series:
    """By run, the mean of what the other sources of the same training say; blank where there is none."""
    own = frame.groupby([*SAME, "source"], dropna=False)[name].mean()
    levels = list(range(len(SAME)))
    whole = own.groupby(level=levels, dropna=False)
    others = (whole.transform("sum") - own) / (whole.transform("size") - 1).replace(0, np.nan)
    keys = pd.MultiIndex.from_frame(frame[[*SAME, "source"]])
    return pd.Series(others.reindex(keys).to_numpy(), index=frame.index)
