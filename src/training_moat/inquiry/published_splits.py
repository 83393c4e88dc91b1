"""What has been published about the split of AI computing between training and inference.

Statements on the whole market are pooled (`pooled`); statements on one firm belong to its ledger
(`lab_ledgers`) or its machines (`chip_stock`) and are left to them, so that the three ways to the same
share stay apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from training_moat.catalog import tables
from training_moat.catalog.cited import credible
from training_moat.core import lifecycle
from training_moat.inquiry import pooling
from training_moat.inquiry.uncertainty import percentiles
from training_moat.inquiry.wording import percent

GROUPS = ("house", "measure")
UNPOOLED = ("blog", "article")
"""Kinds of publisher that are shown and not pooled: no method, no author; the claim under test."""


def splits() -> pd.DataFrame:
    """Every published split with what it counts, oldest first: market_splits with the columns of
    split_classes, and `low`, `high` (shares of inference: equal for a point, 0 or 1 for an open side),
    `who` (publisher and year), `statement` (point, range, at least, at most).

    Statements without any bound and unconfirmed ones are left out.
    """
    classes = tables.load("split_classes").set_index("split")
    classes = classes.drop(columns=["source", "confirmed", "date", "notes"])
    frame = tables.load("market_splits").drop(columns="definition").join(classes, on="row_id")
    # Of training and inference together: a budget may hold other things too.
    share = lifecycle.part_of(frame["inference_to_training_ratio"]).fillna(frame["inference_share"])
    bounded = frame["ratio_low"].notna() | frame["ratio_high"].notna()
    low = lifecycle.part_of(frame["ratio_low"]).where(bounded, share).fillna(0.0)
    high = lifecycle.part_of(frame["ratio_high"]).where(bounded, share).fillna(1.0)
    frame = frame.assign(low=low, high=high)
    frame = credible(frame[(low > 0) | (high < 1)])
    sides = [frame["low"] == frame["high"], frame["low"] == 0, frame["high"] == 1]
    kind = np.select(sides, ["point", "at most", "at least"], "range")
    publisher = frame["organisation"].str.partition(" (")[0]
    frame = frame.assign(statement=kind, publisher=publisher)
    return frame.sort_values(["date", "row_id"], kind="stable", ignore_index=True)


def market_statements(known_by: str | None = None) -> pd.DataFrame:
    """Statements on the whole market that name a year from 2022 on, by research houses, makers and
    governments. known_by: only those published before that day ("2024-10-09"). One that a house gave
    twice counts once: the row that `repeats` another is left out where the other is known."""
    frame = splits()
    frame = frame[(frame["scope"] == "market") & (frame["year"] >= 2022)]
    frame = frame[~frame["house"].isin(UNPOOLED) & frame["measure"].notna()]
    if known_by is not None:
        # A date known to the year or month counts as its last day.
        last_day = frame["date"] + frame["date"].str.len().map({4: "-12-31", 7: "-31", 10: ""})
        frame = frame[last_day < known_by]
    frame = frame[~frame["repeats"].isin(frame["row_id"])]
    frame = frame.assign(kind_of_house=frame["house"], house=frame["publisher"])
    return frame.reset_index(drop=True)


@tables.kept(size=16, lasting=True)
def pooled(known_by: str | None = None, seed: int = 0) -> pooling.Pooled:
    """The statements on the market, pooled with house and measure as random effects."""
    return pooling.fit(market_statements(known_by), GROUPS, seed)


def points(logits: np.ndarray | pd.Series) -> np.ndarray:
    """A change in logits as percentage points at a share of one half."""
    return 100 * (expit(logits) - 0.5)


def middle_points(logits: np.ndarray) -> float:
    """`points` of the middle of draws."""
    return float(points(np.median(logits)))


def effects(found: pooling.Pooled) -> pd.DataFrame:
    """How far each house and each measure stands from the average, in points of a share of one half.

    Columns: group, member, p05, median, p95 (percentage points at a share of 0.5).
    """
    rows = []
    for group, draws in found.effects.items():
        for member in draws.columns:
            at_half = points(draws[member])
            rows.append({"group": group, "member": member} | percentiles(at_half)._asdict())
    return pd.DataFrame(rows)


def shown() -> pd.DataFrame:
    """The statements that are pooled, by the year they speak of, for a chart. Columns: statement (publisher,
    year, measure), low, middle, high (shares of inference), says (point, range, at least, at most), made
    (estimate or forecast), source."""
    frame = market_statements().sort_values(["year", "publisher", "row_id"], kind="stable")
    year = frame["year"].astype(int).astype(str)
    short = {"China National Data Administration": "China's data office"}
    name = frame["publisher"].replace(short) + ", " + year + ": " + frame["measure"]
    name = name.where(~name.duplicated(keep="first"), name + ", again")
    said = frame["statement"]
    middle = ((frame["low"] + frame["high"]) / 2).where(said != "at least", frame["low"])
    middle = middle.where(said != "at most", frame["high"])
    made = frame["kind"].replace({"disclosure": "estimate"})
    found = frame.assign(statement=name, middle=middle, says=said, made=made)
    columns = ["statement", "low", "middle", "high", "says", "made", "source"]
    return found[columns].reset_index(drop=True)


def title(frame: pd.DataFrame) -> str:
    """Title of the chart of all statements (`shown`): what the highest point among them is."""
    points = frame[frame["says"].isin(["point", "range"])]
    top = points.loc[points["high"].idxmax()]
    return f"The highest share that a pooled statement puts a number on is {percent(top['high'])} ({top['statement']})"
