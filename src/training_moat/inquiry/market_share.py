"""Inference's share of AI computing by year, three ways, tested on books that came out later.

The three ways share no figure about the split: what research houses say of the market (`published_splits`), what labs'
books say (`lab_ledgers`), what the chips in use can have done (`chip_stock`). Ten times training is a
share of ten elevenths.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core import lifecycle
from training_moat.inquiry import chip_stock, lab_ledgers, market, pooling, published_splits
from training_moat.inquiry.uncertainty import percentiles
from training_moat.inquiry.wording import between, chance, percent

DRAWS = 4000
HALF = 0.5
TEN_TIMES = 10.0 / 11.0
"""Share of inference at ten times training."""
YEARS = tuple(range(2022, 2031))
LAST_KNOWN = 2025
"""Last year whose figures are not forecasts."""
STATEMENTS, BOOKS, CHIPS, TOGETHER = "what houses say", "labs' books", "chips in use", "together"
KINDS = {
    STATEMENTS: "prediction interval for one more statement",
    BOOKS: "Monte Carlo over reports and undisclosed labs",
    CHIPS: "Monte Carlo with the unexplained drawn evenly",
    TOGETHER: "equal mixture of the ways",
}
"""What the interval of each way is; every one runs from the 5th to the 95th percentile."""
REPORTED = {2024: "2024-10-09", 2025: "2026-02-20"}
"""Days on which OpenAI's own figures for a year became known."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of inference in a year by one way: three percentiles, and the chances that it is more
    than half (the larger use) and at least ten elevenths (ten times training)."""

    year: int
    way: str
    p05: float
    median: float
    p95: float
    larger: float
    ten: float

    @property
    def forecast(self) -> bool:
        """Whether the year lies after the last known one."""
        return self.year > LAST_KNOWN


@tables.kept(size=64, lasting=True)
def draws_of(year: int, way: str, seed: int = 0) -> np.ndarray | None:
    """Draws of the share by one way; None where the way says nothing of the year."""
    if way == STATEMENTS:
        return published_splits.pooled(None, seed).next_statement(year)
    if way == BOOKS:
        return lab_ledgers.labs(year, DRAWS, seed)
    if way == CHIPS:
        known = year in chip_stock.YEARS
        return chip_stock.year(year, DRAWS, seed).share if known else None
    return all_draws(year, seed)


def all_draws(year: int, seed: int = 0) -> np.ndarray:
    """Draws of the share by all ways together that say something of the year."""
    found = [draws_of(year, one, seed) for one in (STATEMENTS, BOOKS, CHIPS)]
    return np.concatenate([one for one in found if one is not None])


def share(year: int, way: str = TOGETHER, seed: int = 0) -> Share | None:
    """The share of inference in a year by one way, or by all together; None where unknown."""
    found = draws_of(year, way, seed)
    if found is None:
        return None
    return Share(year, way, **percentiles(found)._asdict(), **_chances(found))


def _chances(found: np.ndarray) -> dict[str, float]:
    """Chance that inference is the larger use, and that it is ten times training."""
    return {"larger": float(np.mean(found > HALF)), "ten": float(np.mean(found >= TEN_TIMES))}


@tables.kept(size=4, copied=True, lasting=True)
def by_year(seed: int = 0) -> pd.DataFrame:
    """Every way and year. Columns: year, way, p05, median, p95 (shares), larger, ten (chances), status."""
    told = [share(year, way, seed) for year in YEARS for way in KINDS]
    frame = pd.DataFrame([asdict(one) for one in told if one is not None])
    return frame.assign(status=np.where(frame["year"] > LAST_KNOWN, "forecast", "estimate"))


def verdict(probability: float) -> str:
    """A chance as the answer to a question: yes and no from nine in ten on, probably from two in three."""
    words = ("no", "probably not", "too close to call", "probably", "yes")
    return words[bisect_right((0.1, 1 / 3, 2 / 3, 0.9), probability)]


def overview(seed: int = 0) -> pd.DataFrame:
    """The share by year and way in words, and the two chances, for a table. Columns: year, status, one
    per way (median and interval; blank where a way is silent), the two verdicts."""
    frame = by_year(seed)
    frame["words"] = _ranges(frame)
    wide = frame.pivot(index="year", columns="way", values="words").reindex(columns=list(KINDS))
    last = frame[frame["way"] == TOGETHER].set_index("year")
    chances = _verdicts(last)
    status = last["status"].rename("what it is")
    found = pd.concat([status, wide, pd.DataFrame(chances, index=last.index)], axis=1)
    return found.rename_axis("year").reset_index().astype({"year": str})


def _ranges(frame: pd.DataFrame) -> list[str]:
    """Median and interval of each row in words."""
    return [f"{percent(row.median)} ({between(row.p05, row.p95)})" for row in frame.itertuples()]


def _verdicts(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The two chances of each row as answers, by the question."""
    return {
        name: [f"{verdict(value)} ({chance(value)})" for value in frame[column]]
        for name, column in (("larger use?", "larger"), ("ten times?", "ten"))
    }


def variants(year: int, seed: int = 0) -> pd.DataFrame:
    """The share of a year under other choices of ours: a way left out, houses at their average, only the
    labs with books, every chip that nobody can trace training or serving.

    Columns: choice, p05, median, p95, larger, ten (chances). A choice that says nothing of the year is
    left out.
    """
    ways = {way: draws_of(year, way, seed) for way in (STATEMENTS, BOOKS, CHIPS)}
    known = {way: found for way, found in ways.items() if found is not None}
    cases: dict[str, np.ndarray | None] = {}
    cases["all ways together"] = np.concatenate(list(known.values()))
    for way in known:
        rest = [found for other, found in known.items() if other != way]
        cases |= {f"without {way}": np.concatenate(rest)} if rest else {}
    cases["houses at their average"] = published_splits.pooled(None, seed).average(year)
    cases["labs with books alone"] = lab_ledgers.disclosed(year, DRAWS, seed)
    if CHIPS in known:
        stock = chip_stock.year(year, DRAWS, seed)
        cases["all untraced chips train"] = stock.serving
        cases["all untraced chips serve"] = stock.ceiling
    told = {choice: found for choice, found in cases.items() if found is not None}
    rows = [
        {"choice": c, **percentiles(found)._asdict(), **_chances(found)}
        for c, found in told.items()
    ]
    return pd.DataFrame(rows)


def variants_shown(frame: pd.DataFrame) -> pd.DataFrame:
    """`variants` in words, for a table."""
    return pd.DataFrame({"choice": frame["choice"], "share": _ranges(frame)} | _verdicts(frame))


def book_range(year: int) -> tuple[float, float]:
    """Lowest and highest share that OpenAI's books allow for a year, over the counts of research that
    include all of it and over conflicting reports."""
    counts = [lab_ledgers.shares(item) for item in ("rnd_compute", "rnd_expense")]
    frame = pd.concat(counts)
    frame = frame[(frame["organisation"] == "OpenAI") & (frame["year"] == year)]
    return float(frame["low"].min()), float(frame["high"].max())


def back_test(seed: int = 0) -> pd.DataFrame:
    """What each way would have said of OpenAI before its books were out, from what was known then and
    without any figure of OpenAI's own.

    Columns: year, known_by, way, statements (how many were known), p05, median, p95, book_low, book_high,
    inside (whether the interval holds all that the books allow).
    """
    rows = []
    for year, day in REPORTED.items():
        low, high = book_range(year)
        for way, count, found in _forecasts(year, day, seed):
            said = percentiles(found)._asdict()
            row = {"year": year, "known_by": day, "way": way, "statements": count} | said
            inside = said["p05"] <= low and high <= said["p95"]
            rows.append(row | {"book_low": low, "book_high": high, "inside": inside})
    return pd.DataFrame(rows)


def _forecasts(year: int, day: str, seed: int) -> list[tuple[str, int, np.ndarray]]:
    """(way, how many rows were known, draws) of the two ways that can be dated."""
    houses = published_splits.pooled(day, seed)
    count = len(published_splits.market_statements(day))
    found = [(STATEMENTS, count, houses.next_statement(year))]
    labs = lab_ledgers.pooled("OpenAI", day, seed)
    if labs is not None:
        known = pd.concat([lab_ledgers.shares(known_by=day), lab_ledgers.machines(day)])
        others = int(
            ((known["organisation"] != "OpenAI") & (known["kind"] != lab_ledgers.PLAN)).sum()
        )
        found.append((BOOKS, others, labs.next_statement(pooling.ORIGIN_YEAR)))
    return found


def with_custom(year: int, custom: Iterable[float], seed: int = 0) -> pd.DataFrame:
    """The share if others trained their own models beside today's, so that a part `custom` of all
    training were theirs and the demand for answers stayed: training grows by 1 / (1 - custom).

    Columns: custom, p05, median, p95, larger.
    """
    found = all_draws(year, seed)
    rows = []
    for part in custom:
        left = found * (1 - part) / (1 - found * part)
        larger = _chances(left)["larger"]
        rows.append({"custom": part} | percentiles(left)._asdict() | {"larger": larger})
    return pd.DataFrame(rows)


def volumes(seed: int = 0) -> pd.DataFrame:
    """Labs with their own tokens over their own research, and the world: what a reader may scale.

    Columns: lab, tokens_t_per_day (today's volume in trillions), low, ratio, high (inference over all
    research at that volume), basis.
    """
    served = market.Case("deepseek", unit="chip_hours").answer().ratio
    books = lab_ledgers.shares().set_index(["organisation", "year"])
    machines = lab_ledgers.machines().set_index("organisation")
    world = percentiles(all_draws(LAST_KNOWN, seed))
    tokens = tables.load("tokens_served").set_index("row_id")["tokens_per_day"] / 1e12
    openai, google = books.loc[("OpenAI", LAST_KNOWN)], machines.loc["Google"]
    ratios = {
        ("Like DeepSeek", "T28"): (served.p05, served.median, served.p95),
        ("Like OpenAI", "T22"): tuple(odds(openai[end]) for end in ("low", "share", "high")),
        ("Like Google", "T04"): (odds(google["share"]),) * 3,
        ("The world", "T45"): tuple(map(odds, world)),
    }
    basis = (
        "its machines in 2025, with the research of other labs",
        "its books of 2025; tokens of the API alone",
        "its energy of 2019 to 2021; tokens of late 2025",
        "all ways together, 2025",
    )
    rows = [
        {"lab": lab, "tokens_t_per_day": float(tokens[row]), "basis": words}
        | dict(zip(("low", "ratio", "high"), found, strict=True))
        for ((lab, row), found), words in zip(ratios.items(), basis, strict=True)
    ]
    return pd.DataFrame(rows)


def odds(part: float) -> float:
    """Inference over training for a share of inference."""
    return float(lifecycle.ratio_of(part))


def growth_to(target: float, seed: int = 0) -> float:
    """Times by which serving must grow against training, from the middle of all ways together, to take
    the share `target`."""
    return odds(target) / odds(percentiles(all_draws(LAST_KNOWN, seed))[1])


def miss(test: pd.DataFrame) -> float:
    """Mean distance of the medians of a back-test from the middle of the books, in percentage points."""
    middle = (test["book_low"] + test["book_high"]) / 2
    return float(100 * (test["median"] - middle).abs().mean())


def back_test_shown(test: pd.DataFrame) -> pd.DataFrame:
    """A back-test in words, for a table."""
    books = [between(row.book_low, row.book_high) for row in test.itertuples()]
    words = {"year": test["year"].astype(str), "said (5 to 95%)": _ranges(test), "the books": books}
    columns = ["year", "known by", "way", "statements", "said (5 to 95%)", "the books", "inside"]
    return test.rename(columns={"known_by": "known by"}).assign(**words)[columns]
