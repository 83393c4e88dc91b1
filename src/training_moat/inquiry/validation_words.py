"""The validation chapter in words."""

from __future__ import annotations

import pandas as pd

KINDS = {
    "dense": "dense runs on Nvidia chips",
    "dense_other": "dense runs on other chips",
    "moe": "mixture-of-experts runs",
}
"""Kinds of runs whose errors are reported apart, in readers' words."""


def answer(frame: pd.DataFrame) -> str:
    """One sentence: how many runs, how far off unseen, and what a constant reaches."""
    kind = next(name for name in KINDS if (frame["interval_kind"] == name).any())
    shown = frame[frame["interval_kind"] == kind]
    unseen, constant = (
        shown["unseen_source_error"].abs().mean(),
        shown["constant_error"].abs().mean(),
    )
    return (
        f"Over **{len(shown)}** measured {KINDS[kind]} from {shown['source'].nunique()} sources, the predicted step time is off by "
        f"**{unseen:.1%}** on average when the model has never seen the source; a constant share of peak is off by {constant:.1%}."
    )


def other_chips(frame: pd.DataFrame) -> str:
    """One sentence on dense runs on chips that are not Nvidia's."""
    own = frame[frame["interval_kind"] == "dense_other"]
    if own.empty:
        return "No dense run on another maker's chip is among the chosen rows."
    return (
        f"On other makers' chips, {len(own)} dense runs from {own['source'].nunique()} sources, it is off by {own['error'].abs().mean():.1%} with all "
        f"sources fitted and by **{own['unseen_source_error'].abs().mean():.1%}** with the source left out; the constant share by {own['constant_error'].abs().mean():.0%}."
    )


def experts(frame: pd.DataFrame) -> str:
    """One sentence on mixtures of experts."""
    own = frame[frame["kind"] != "dense"]
    if own.empty:
        return "No mixture-of-experts run is among the chosen rows."
    return (
        f"Mixtures of experts are harder: {len(own)} runs, off by **{own['error'].abs().mean():.1%}** with all sources fitted and by "
        f"{own['unseen_source_error'].abs().mean():.1%} with the source left out."
    )


def coverage(table: pd.DataFrame) -> str:
    """One sentence on how many runs fall inside the stated interval."""
    parts = [
        f"{row.coverage:.0%} of {row.rows} {KINDS[row.interval_kind]}" for row in table.itertuples()
    ]
    return f"The interval that is meant to hold ninety in a hundred held {', '.join(parts)}, all of sources it had not seen."


def memory(table: pd.DataFrame) -> str:
    """One sentence on peak memory."""
    return f"Peak memory per chip is predicted within **{table['error'].abs().mean():.1%}** on average over {len(table)} measured runs; the worst is off by {table['error'].abs().max():.0%}."


def unused(table: pd.DataFrame) -> str:
    """One sentence on rows left out."""
    by_reason = table.groupby("reason")["rows"].sum().sort_values(ascending=False)
    return f"{int(table['rows'].sum())} measured configurations cannot be compared; the commonest reason: {by_reason.index[0]} ({int(by_reason.iloc[0])})."


def peers(table: pd.DataFrame) -> str:
    """One sentence: our error on the two classic tables and the best of the other tools and rules."""
    best = table[~table["system"].str.startswith("this book")].groupby("table")["percent"].min()
    own = table[table["system"] == "this book"].set_index("table")["percent"]
    parts = [
        f"**{own[name]:.1f}%** on the table of {name} (best of the others: {best[name]:.1f}%)"
        for name in own.index
    ]
    return f"With one set of constants for everything, the model errs by {' and '.join(parts)}."


def serving(overall: dict[str, float]) -> str:
    """One sentence on serving."""
    return (
        f"Time per output token, over {overall['rows']:,} measured serving rows: off by **{overall['predicted']:.1%}** calibrated and by "
        f"{overall['data_sheet']:.0%} from data sheets alone; half the bandwidth, always, is off by {overall['half_bandwidth']:.0%}."
    )


def collectives(table: pd.DataFrame) -> str:
    """One sentence on collectives of one MiB and more."""
    large = table[table["large"]]
    mean = float((large["mape"] * large["rows"]).sum() / large["rows"].sum())
    return f"Collectives of a mebibyte and more are timed within **{mean:.1%}** on average over {int(large['rows'].sum())} measured points."
