"""What a sweep costs, for the page on clusters: measured CPU seconds, and what they come to for many points."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training_moat.press import markup
from training_moat.press.folders import ROOT

MEASURED = ROOT / "benchmarks" / "costs.csv"
"""What `python -m benchmarks.costs --store` has measured."""
SIZES = {"a point of the model": (10**6, 10**8), "a run of a small chapter": (10**3, 10**5)}
"""Work of a sweep, and how many of it the page counts."""
WORKERS = (2, 16, 128)
WITHOUT = "<p>Nothing has been measured in this copy; <code>python -m benchmarks.costs --store</code> does.</p>"


def measured() -> pd.DataFrame | None:
    """The measured costs; None in a copy of the book without them, such as an installed wheel."""
    return pd.read_csv(MEASURED) if Path(MEASURED).is_file() else None


def table() -> str:
    """The measured costs as HTML."""
    found = measured()
    if found is None:
        return WITHOUT
    rows = [
        (
            row.work,
            row.by,
            f"{row.cpu_s:.3g}",
            "" if pd.isna(row.times_less) else f"{row.times_less:.3g}",
        )
        for row in found.itertuples()
    ]
    head = ("work", "by", "CPU seconds each", "times less than the row it is set against")
    return markup.table(head, rows, "what a point costs")


def sizes() -> str:
    """Hours that sweeps of some sizes take, by the number of workers, as HTML."""
    found = measured()
    if found is None:
        return ""
    least = found.groupby("work")["cpu_s"].min()
    rows = [
        (f"{count:,} times {work}", f"{hours(count, least[work]):.3g}")
        + tuple(_spoken(hours(count, least[work]) / workers) for workers in WORKERS)
        for work, counts in SIZES.items()
        if work in least
        for count in counts
    ]
    head = ("sweep", "core-hours", *(f"on {workers} workers" for workers in WORKERS))
    return markup.table(head, rows, "hours that sweeps take")


def hours(count: int, cpu_s: float) -> float:
    """Core-hours of `count` pieces of work of `cpu_s` seconds each."""
    return count * cpu_s / 3600


def _spoken(time_h: float) -> str:
    if time_h >= 1:
        return f"{time_h:.3g} hours"
    return f"{time_h * 60:.2g} minutes" if time_h * 60 >= 1 else f"{time_h * 3600:.2g} seconds"
