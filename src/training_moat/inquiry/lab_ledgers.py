"""What labs spend on serving and on research, from their books: shares, conflicts, labs that publish none.

    share of inference = I / (I + R)

with I the computing bought to serve and R what counts as training: the final runs, all computing for
research and training, or all research as an expense, salaries included. Where two reports of one bill
differ, both are kept and the share is a range. Labs that publish no split enter with the spread between
those that do (`pooling`), weighted by the chips they use.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.inquiry import pooling
from training_moat.inquiry.wording import between, percent

COUNT = "rnd_compute"
"""The count of the market: what a lab buys chips for."""
BOOKS = ("OpenAI", "Anthropic")
"""Labs whose dollars are summed; the books of the others are a hundredth of theirs."""
MACHINES = {"S01": "Google", "S02": "Meta", "S18": "DeepSeek"}
"""Rows of market_splits in which a lab tells its split in energy, power or chips instead of dollars."""
PLAN = "plan"
PLANNED, PLAN_ROW_YEAR = range(2027, 2031), 2028
"""Years for which plans of several years together are known, and the year that these are filed under."""


def ledger(known_by: str | None = None) -> pd.DataFrame:
    """Rows of lab_ledgers, plans left out where the year's own figure is known. known_by: only what had
    been published before that day."""
    frame = tables.load("lab_ledgers")
    if known_by is not None:
        frame = frame[frame["published"] < known_by]
    key = ["organisation", "year", "item"]
    actual = frame[frame["kind"] != PLAN].set_index(key).index
    passed = frame.set_index(key).index.isin(actual) & (frame["kind"] == PLAN).to_numpy()
    return frame[~passed].reset_index(drop=True)


Reports = dict[tuple[str, int, str], np.ndarray]
"""The figures of every bill of a ledger, report by report, by lab, year and item."""


def _reports(frame: pd.DataFrame) -> Reports:
    bills = frame.groupby(["organisation", "year", "item"], sort=False)["value"]
    found: Reports = defaultdict(lambda: np.empty(0))
    return found | {key: values.to_numpy(float) for key, values in bills}


@tables.kept(size=16, copied=True)
def shares(research: str = COUNT, known_by: str | None = None) -> pd.DataFrame:
    """Inference's share in every lab and year whose books allow one, against a count of research: the final runs
    (`final_runs`), all computing (`rnd_compute`) or all of it, salaries included (`rnd_expense`).

    Columns: organisation, year, period, low, share, high (low and high are the range of the reports; 0
    where only an upper bound is known, share then blank), kind (books, plan).
    """
    frame = ledger(known_by)
    reports, rows = _reports(frame), []
    for (lab, year), rows_of in frame.groupby(["organisation", "year"], sort=True):
        found = _share_of(reports, str(lab), int(year), research)
        if found is not None:
            money = rows_of[rows_of["unit"] == "USD bn"]
            plan = money["kind"].eq(PLAN).all()
            rows.append(
                {"organisation": lab, "year": int(year), "period": money["period"].iloc[0]}
                | dict(zip(("low", "share", "high"), found, strict=True))
                | {"kind": "plan" if plan else "books"}
            )
    columns = ["organisation", "year", "period", "low", "share", "high", "kind"]
    return pd.DataFrame(rows, columns=columns)


def machines(known_by: str | None = None) -> pd.DataFrame:
    """Splits that labs gave in energy, power or chips, in the columns of `shares`. What Meta calls
    experimentation counts as training; DeepSeek's chips leave its other research out, so its share is
    an upper bound."""
    frame = tables.load("market_splits").set_index("row_id").loc[list(MACHINES)].reset_index()
    if known_by is not None:
        frame = frame[frame["date"] < known_by]
    found = frame["inference_share"].astype(float)
    bound = frame["row_id"] == "S18"
    year = frame["period"].str.extract(r"(?:\d{4}-)?(\d{4})", expand=False).astype(int)
    names = frame["row_id"].map(MACHINES)
    ends = {"low": found.where(~bound, 0.0), "share": found.where(~bound), "high": found}
    told = {"organisation": names, "year": year, "period": frame["period"]}
    return pd.DataFrame(told | ends).assign(kind="machines").reset_index(drop=True)


def _share_of(
    reports: Reports, lab: str, year: int, research: str
) -> tuple[float, float, float] | None:
    """(low, share, high) of one lab and year, or None where a side is missing."""
    serving, other = (reports[lab, year, item] for item in ("inference_compute", research))
    total, training = (reports[lab, year, item] for item in ("all_compute", "training_compute"))
    if research == COUNT and len(total) and len(other) and not len(serving):
        rest = float(total[0] - other[0]) / float(total[0])
        return rest, rest, rest
    if research == COUNT and len(total) and len(training) and not len(serving):
        return 0.0, np.nan, float(1 - training[0] / total[0])
    if not len(other):
        return None
    if not len(serving):
        cost = reports[lab, year, "cost_of_revenue"]
        return (0.0, np.nan, _part(cost[0], other[0])) if len(cost) else None
    low, high = _part(serving.min(), other.max()), _part(serving.max(), other.min())
    if research == COUNT and len(total):
        # What a bill for both leaves over, once each is paid, may have gone to either.
        low = min(low, float(serving.min() / total.max()))
        high = max(high, float(1 - other.max() / total.max()))
    return low, _part(serving[0], other[0]), high


def _part(serving: float, other: float) -> float:
    return float(serving / (serving + other))


@tables.kept(size=16, lasting=True)
def pooled(
    without: str | None = None, known_by: str | None = None, seed: int = 0
) -> pooling.Pooled | None:
    """The labs' shares pooled with the lab as a random effect; None where no lab is known.

    without: leave that lab out, for a test on it.
    """
    frame = pd.concat([shares(COUNT, known_by), machines(known_by)])
    frame = frame[(frame["organisation"] != without) & (frame["kind"] != PLAN)]
    # Four years of unlike labs show no trend of their own: all count for one year.
    frame = frame.assign(year=pooling.ORIGIN_YEAR)
    return None if frame.empty else pooling.fit(frame, ("organisation",), seed)


def disclosed(year: int, draws: int, seed: int = 0) -> np.ndarray | None:
    """Share of the labs with books in a year, summed in dollars: every bill drawn evenly between its
    lowest and its highest report. None where no lab of `BOOKS` has any. A plan for several years together
    stands for each of its later years."""
    asked, year = year, PLAN_ROW_YEAR if year in PLANNED else year
    frame = ledger()
    reports, rng = _reports(frame), np.random.default_rng([seed, year, 2])
    ends = frame[frame["period"].str.contains("together")].groupby("organisation")["period"]
    until = ends.first().str.extract(r"(\d{4}) together", expand=False).astype(int)
    serving = research = np.zeros(draws)
    for lab in BOOKS:
        if year == PLAN_ROW_YEAR and asked > until.get(lab, asked):
            continue
        found = _share_of(reports, lab, year, COUNT)
        if found is None:
            continue
        total = reports[lab, year, "all_compute"]
        other = reports[lab, year, COUNT]
        size = float(total.max()) if len(total) else float(other[0]) / (1 - found[1])
        share = rng.uniform(found[0], found[2], draws)
        serving, research = serving + size * share, research + size * (1 - share)
    return None if not serving.any() else serving / (serving + research)


def weight_of_books(year: int) -> float:
    """Share of the chips of the labs with known fleets that labs with books use, at the end of the year
    or of the last known one."""
    frame = tables.load("lab_ledgers")
    frame = frame[(frame["item"] == "chips_in_use") & (frame["year"] >= 2024)]
    last = frame[frame["year"] == min(year, int(frame["year"].max()))]
    return float(last[last["organisation"].isin(BOOKS)]["value"].sum() / last["value"].sum())


def labs(year: int, draws: int, seed: int = 0) -> np.ndarray | None:
    """Share of all frontier labs in a year: those with books as they say, the others drawn from the
    spread between labs; None where no books speak of the year."""
    known, spread = disclosed(year, draws, seed), pooled(None, None, seed)
    if known is None or spread is None:
        return None
    rest = np.resize(spread.next_statement(pooling.ORIGIN_YEAR), draws)
    weight = weight_of_books(year)
    return weight * known + (1 - weight) * rest


def contrasts() -> pd.DataFrame:
    """How far one change of counting moves the share inside one lab. Columns: change, where, before, after."""
    wide, narrow, expense = (
        shares(item).set_index(["organisation", "year"])
        for item in (COUNT, "final_runs", "rnd_expense")
    )
    first, last = ("OpenAI", 2024), ("OpenAI", 2025)
    small = ("MiniMax", 2025)
    early, late = wide.share[first], wide.share[last]
    rows = [
        ("All research, not the final runs alone", "OpenAI 2024", narrow.share[first], early),
        ("Salaries of research too", "OpenAI 2025", late, expense.share[last]),
        ("Another report of the same bill", "OpenAI 2024", early, wide.high[first]),
        ("A year later", "OpenAI 2024 to 2025", early, late),
        ("A smaller lab", "OpenAI to MiniMax, 2025", late, wide.share[small]),
    ]
    return pd.DataFrame(rows, columns=["change", "where", "before", "after"])


def overview() -> pd.DataFrame:
    """All labs that tell a split, oldest first, for a table. Columns: lab, period, share of inference (in
    words), told in."""
    frame = pd.concat([shares(), machines()]).sort_values(["year", "organisation"], kind="stable")
    told = {"books": "dollars", "plan": "dollars, a plan", "machines": "energy, power or chips"}
    words = [
        f"at most {percent(row.high)}" if np.isnan(row.share) else between(row.low, row.high)
        for row in frame.itertuples()
    ]
    shown = {"share of inference": words, "told in": frame["kind"].map(told)}
    found = frame.rename(columns={"organisation": "lab"})[["lab", "period"]].assign(**shown)
    return found.reset_index(drop=True)


def moves() -> pd.DataFrame:
    """The contrasts for a chart: change (with where), low, high, after."""
    frame = contrasts()
    ends = frame[["before", "after"]]
    change = frame["change"] + " (" + frame["where"] + ")"
    found = pd.concat([change.rename("change"), ends], axis=1)
    return found.assign(low=ends.min(axis=1), high=ends.max(axis=1))


def growth(item: str) -> tuple[float, float]:
    """Least and most times by which a bill of OpenAI grew from 2024 to 2025, over all reports of either year: they
    contradict one another, and no two years were reported on by the same hand throughout."""
    reports = _reports(ledger())
    before, after = reports["OpenAI", 2024, item], reports["OpenAI", 2025, item]
    return float(after.min() / before.max()), float(after.max() / before.min())
