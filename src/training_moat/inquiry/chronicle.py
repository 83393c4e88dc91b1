"""What happened: dated events of chip makers, who they are, and the training runs on whose chips."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.catalog.cited import credible
from training_moat.catalog.dates import day, years
from training_moat.core.errors import InputError, require_known

ARTICLE = "2025-05"
"""Month of the article; SambaNova turned the month before."""
INCUMBENT = "NVIDIA"
LEAST_ENTRIES = 0.03
NO_RUN = ("benchmark", "validation")
"""Kinds of rows in the table of runs that are no training of a model of its own."""
ONE_RUN = ["organisation", "hardware", "training_flop", "chip_hours"]
"""What two notable models that came out of one training run have alike (GPT-4 of March and of June 2023). Of a later one the
chip-hours are often not told again (DeepSeek-V3 of March 2025)."""
DIRECTIONS = {
    "training": "training", "both": "training and inference", "inference": "inference",
    "exit": "leaves", "exit from training": "leaves training",
}  # fmt: skip
"""Where an event points, in words; other events are left out."""


def events() -> pd.DataFrame:
    """All dated events, oldest first; later reports of an event on record are left out."""
    later = tables.load("history_events")
    later = later[~later["extends"].fillna("").str.contains(r"\bE\d")]
    frame = credible(pd.concat([tables.load("startup_events"), later], ignore_index=True))
    return frame.sort_values(["date", "row_id"], kind="stable", ignore_index=True)


def makers() -> pd.DataFrame:
    """The makers of chips by name: words, kind, region, sells."""
    return tables.load("chip_makers").set_index("maker", drop=False)


def of_makers(frame: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """Whether each event is that of one of the makers: the first company it names."""
    return first_company(frame).isin(list(names))


def first_company(frame: pd.DataFrame) -> pd.Series:
    """The first company that each event names."""
    return frame["company"].str.split(r"[/;]", regex=True).str[0].str.strip()


def maker_of(hardware: pd.Series) -> pd.Series:
    """The first maker whose words (table chip_makers) stand in what a run says of its hardware, others before Nvidia where
    it names several; blank where none do."""
    words = {row.maker: row.words.replace(";", "|") for row in makers().itertuples()}
    words[INCUMBENT] = words.pop(INCUMBENT)  # last: a run on two makers' chips counts for the other
    found = pd.Series(None, index=hardware.index, dtype=object)
    for maker, pattern in words.items():
        named = hardware.str.contains(pattern, case=False, na=False)
        found = found.mask(named & found.isna(), maker)
    return found


def by_its_maker(frame: pd.DataFrame) -> pd.Series:
    """Whether the maker of a run's chips is among those who trained, by the table chip_makers; it had no choice of chip.

    frame: as `runs`.
    """
    words = makers()["trains_as"].dropna().str.replace(";", "|")
    patterns = frame["maker"].map(words).fillna("$^")
    found = [
        bool(re.search(pattern, who))
        for pattern, who in zip(patterns, frame["organisation"], strict=True)
    ]
    return pd.Series(found, index=frame.index, dtype=bool)


def houses(organisation: pd.Series) -> pd.Series:
    """The house that each run counts for: the first of those who trained, the laboratories of one maker of chips as one."""
    first = organisation.str.split(r"[,;(]", regex=True).str[0].str.strip()
    for maker, words in makers()["trains_as"].dropna().items():
        first = first.mask(first.str.contains(words.replace(";", "|")), maker)
    return first


def startups() -> list[str]:
    """Makers that are startups."""
    frame = makers()
    return frame.loc[frame["kind"] == "startup", "maker"].tolist()


def chosen(companies: Sequence[str] | None, first_year: int, last_year: int) -> pd.DataFrame:
    """The events of some companies (all makers where none is named) in some years (all years where
    none falls into these), with `points` (where to).

    Columns: those of the events, and day, points. Raises InputError for an unknown company.
    """
    known = makers()["maker"].tolist()
    for name in companies or ():
        require_known("company", name, known, "chapter 'history', parameter 'companies'")
    frame = events()
    frame = frame[of_makers(frame, companies or known) & frame["direction"].isin(DIRECTIONS)]
    frame = in_years(frame, first_year, last_year)
    points = frame["direction"].map(DIRECTIONS)
    return frame.assign(maker=first_company(frame), day=frame["date"].map(day), points=points)


def in_years(frame: pd.DataFrame, first_year: int, last_year: int) -> pd.DataFrame:
    """The rows dated in some years; all rows where none is."""
    chosen = frame[years(frame["date"]).between(first_year, last_year)]
    return frame if chosen.empty else chosen


@tables.kept(copied=True)
def runs() -> pd.DataFrame:
    """Every known training run with named hardware, once (`ONE_RUN`): model, organisation, date, training_flop, hardware, kind,
    vendor_own_run (yes, no or blank), maker, maker_kind, link, source, confirmed, table, row_id.

    `maker` is that of `maker_of`; "not named" where there is none.
    """
    noted, more = tables.load("training_runs"), tables.load("runs_non_nvidia")
    told = noted.groupby(ONE_RUN[:-1])[ONE_RUN[-1]].transform("first")
    alike = noted.assign(chip_hours=noted[ONE_RUN[-1]].fillna(told))
    again = alike.sort_values("date", kind="stable").dropna(subset=ONE_RUN).duplicated(ONE_RUN)
    noted = noted.drop(index=again.index[again])
    more = more[~more["same_as"].fillna("").str.contains(r"\bR\d") & ~more["kind"].isin(NO_RUN)]
    frame = pd.concat(
        [noted.assign(table="training_runs"), more.assign(table="runs_non_nvidia")],
        ignore_index=True,
    )
    frame = credible(frame[frame["hardware"].notna()])
    maker = maker_of(frame["hardware"]).fillna("not named")
    kind = maker.map(makers()["kind"]).fillna("not named")
    frame = frame.assign(maker=maker, maker_kind=kind.where(maker != INCUMBENT, "Nvidia"))
    return frame.sort_values(["date", "row_id"], kind="stable", ignore_index=True)


def pretraining_elsewhere() -> pd.DataFrame:
    """Runs that trained a model from the start on other chips than Nvidia's: those rows of the table runs_non_nvidia."""
    frame = tables.load("runs_non_nvidia")
    return frame[frame["kind"].fillna("").str.contains("pretraining")]


def by_chip(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each chip of the chips table that a run names. frame: rows of a table of runs, of which `chip_id` tells a
    chip only where there is one kind of it; hardware tells them all ("Google TPU v5e; Google TPU v4")."""
    words = frame["chip_id"].fillna(frame["hardware"]).fillna("")
    each = frame.assign(part=words.str.split("[;,]", regex=True)).explode("part")
    return (
        each.assign(chip_id=each["part"].map(_chip_named))
        .drop(columns="part")
        .dropna(subset="chip_id")
    )


def _chip_named(words: str) -> str | None:
    """Id of the chip that words name; None where they name none of the table or a family alone."""
    with suppress(InputError):
        return chip_catalog.resolve(words.strip())
    return None


def over_thresholds(frame: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """How many runs of at least each size there are, by kind of maker.

    frame: as `runs`. Columns: threshold_flop, maker_kind, runs, share.
    """
    rows = []
    kinds = sorted(frame["maker_kind"].unique())
    for least in thresholds:
        large = frame[frame["training_flop"] >= least]
        counts = large["maker_kind"].value_counts()
        total = max(len(large), 1)
        rows += [
            (least, kind, int(counts.get(kind, 0)), counts.get(kind, 0) / total) for kind in kinds
        ]
    return pd.DataFrame(rows, columns=["threshold_flop", "maker_kind", "runs", "share"])


def by_year(frame: pd.DataFrame, least_flop: float) -> pd.DataFrame:
    """Runs of at least a size by year and kind of maker. Columns: year, maker_kind, runs."""
    large = frame[frame["training_flop"] >= least_flop]
    large = large.assign(year=large["date"].str[:4])
    return large.groupby(["year", "maker_kind"]).size().rename("runs").reset_index()


def entries(suite: str) -> pd.DataFrame:
    """The rows of the rounds of a suite of MLPerf that tell vendors' entries apart."""
    frame = tables.load("mlperf_submissions")
    return frame[frame["suite"].str.startswith(suite) & frame["entry_share"].notna()]


def entry_shares(suite: str) -> pd.DataFrame:
    """Share of MLPerf entries by vendor and round; vendors that never reach `LEAST_ENTRIES` are put together.

    Columns: round, day, vendor, share, source.
    """
    frame = entries(suite)
    largest = frame.groupby("vendor")["entry_share"].transform("max")
    name = (
        frame["vendor"]
        .where(largest >= LEAST_ENTRIES, "others")
        .str.replace(r"\s*\(.*", "", regex=True)
    )
    frame = frame.assign(vendor=name, day=frame["date"].map(day))
    keys = ["round", "day", "vendor"]
    found = frame.groupby(keys, as_index=False).agg(
        share=("entry_share", "sum"), source=("source", "first")
    )
    return found.sort_values(["day", "vendor"], kind="stable", ignore_index=True)


def _rivals() -> pd.DataFrame:
    """The makers besides Nvidia that sell chips."""
    return makers().query("sells == 'merchant' and maker != @INCUMBENT")


def merchants(frame: pd.DataFrame) -> pd.DataFrame:
    """Makers that sell chips and have trained on them or say so, the largest known run of each beside where
    they are. frame: as `runs`. Columns: maker, kind, region, runs, largest_flop, model, date, source."""
    table = _rivals()
    own = frame[frame["maker"].isin(table["maker"])]
    best = own.sort_values(["training_flop", "row_id"], ascending=[False, True], kind="stable")
    best = best.drop_duplicates("maker")[["maker", "training_flop", "model", "date", "source"]]
    found = table[["maker", "kind", "region"]].reset_index(drop=True).merge(best, on="maker")
    found = found.assign(runs=found["maker"].map(own["maker"].value_counts()))
    found = found.rename(columns={"training_flop": "largest_flop"})
    return found.sort_values(
        ["largest_flop", "maker"], ascending=[False, True], kind="stable", ignore_index=True
    )


def without_runs(frame: pd.DataFrame) -> list[str]:
    """Makers that sell chips and offered one for training, and on whose chips no run of `frame` is on record, by name."""
    chips = tables.load("chips")
    offered = set(chips.loc[chips["supports_training"] != "no", "vendor"])
    return sorted(offered & set(_rivals()["maker"]) - set(frame["maker"]))
