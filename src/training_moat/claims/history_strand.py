"""What happened: SambaNova, Groq, Cerebras, Nvidia's place, and what startups have trained since."""

from __future__ import annotations

import re

import pandas as pd

from training_moat.catalog.cited import cited
from training_moat.claims.base import NOTHING, Evidence, Measured, counted, keys, measure, share

TRAINS = ("training", "both")
STATEMENTS = ("launch", "claim", "positioning", "benchmark", "pivot", "deployment", "training run")
"""Kinds of event in which a company itself says or shows what its chip is for."""
NOT_STARTUPS = (
    "NVIDIA|Nvidia|Intel|Google|AMD|Huawei|Microsoft|Meta|OpenAI|MLCommons|zach.be|Amazon|AWS|Qualcomm"
    "|Anthropic|China Telecom|Zhipu|Moonshot|Mistral|Meituan"
)
"""Large chip makers, clouds, laboratories and reporters among the companies of the events."""


def events(
    evidence: Evidence, company: str = "", since: str = "", before: str = "9999", kinds: str = ""
) -> pd.DataFrame:
    """Events read in some source, of companies whose name begins with `company`, from `since` up to but not
    including `before` (dates compare as text, so "2025" covers the whole year before "2026"). kinds: one
    event type, or "statements"."""
    frame = evidence.table("startup_events")
    frame = frame[frame["confirmed"].isin(["yes", "secondary"])]
    frame = frame[frame["company"].str.startswith(company)]
    frame = frame[(frame["date"] >= since) & (frame["date"] < before)]
    wanted = STATEMENTS if kinds == "statements" else (kinds,)
    return frame[frame["event_type"].isin(wanted)] if kinds else frame


def startups(frame: pd.DataFrame) -> pd.DataFrame:
    """The events of startups: of none of the large companies."""
    return frame[~frame["company"].str.match(NOT_STARTUPS)]


def points(frame: pd.DataFrame, direction: str) -> pd.Series:
    """Whether each event points to a direction; training includes both."""
    return frame["direction"].isin(TRAINS if direction == "training" else (direction,))


@measure("event_share")
def event_share(evidence: Evidence, direction: str, **which: str) -> Measured:
    """Share of a company's events that point to a direction. The events on record are a sample of what the
    company said, so the share has an interval."""
    frame = events(evidence, **which)
    return share(frame, points(frame, direction), "startup_events", sampled=True)


@measure("event_count")
def event_count(evidence: Evidence, direction: str, **which: str) -> Measured:
    """Number of a company's events that point to a direction."""
    frame = events(evidence, **which)
    return counted(frame[points(frame, direction)], "startup_events")


@measure("event_sources")
def event_sources(evidence: Evidence, direction: str, **which: str) -> Measured:
    """Number of sources that report a company's events of a direction."""
    frame = events(evidence, **which)
    frame = frame[points(frame, direction)]
    return counted(frame, "startup_events", float(len(cited(frame))))


@measure("companies_training")
def companies_training(evidence: Evidence, besides: str, **which: str) -> Measured:
    """Startups other than one with a confirmed step in training."""
    frame = startups(events(evidence, kinds="statements", **which))
    frame = frame[points(frame, "training") & ~frame["company"].str.startswith(besides)]
    return counted(frame, "startup_events", float(frame["company"].nunique()))


@measure("reasons_given")
def reasons_given(evidence: Evidence, said: str) -> Measured:
    """Startups on record that gave one of the article's reasons for leaving training aside, found by words."""
    frame = startups(events(evidence))
    frame = frame[frame["event"].str.contains(said)]
    note = "startups that said why"
    return counted(frame, "startup_events", float(frame["company"].nunique()), note)


def raised_musd(text: str) -> float | None:
    """Dollars raised that an event names, in millions: a sum called raised, else the first sum; None where
    there is none. Sums after it may be valuations."""
    named = re.search(r"raising ~?([\d.]+)([MB])\b|([\d.]+)([MB]) raised", text)
    named = named or re.search(r"([\d.]+)([MB])\b", text)
    if named is None:
        return None
    number, unit = (group for group in named.groups() if group)
    return float(number) * (1000 if unit == "B" else 1)


@measure("funding_rank")
def funding_rank(evidence: Evidence, company: str, before: str) -> Measured:
    """Rank of a startup by the largest sum that its events name before a date."""
    frame = startups(events(evidence, before=before))
    frame = frame[frame["event_type"].isin(["funding", "acquisition"])]
    frame = frame.assign(sum_musd=frame["event"].map(raised_musd)).dropna(subset="sum_musd")
    best = frame.groupby("company")["sum_musd"].max().rank(ascending=False)
    return counted(frame, "startup_events", float(best[company])) if company in best else NOTHING


@measure("laid_off")
def laid_off(evidence: Evidence, company: str, **which: str) -> Measured:
    """Share of its staff that a company laid off, from "77 of ~500" in the event."""
    frame = events(evidence, company, kinds="layoff", **which)
    found = [re.search(r"(\d+) of ~?(\d+)", text) for text in frame["event"]]
    shares = [int(one[1]) / int(one[2]) for one in found if one]
    return counted(frame, "startup_events", shares[0]) if shares else NOTHING


def nvidia_rounds(evidence: Evidence, suite: str) -> pd.DataFrame:
    """Nvidia's row of every MLPerf round of a suite with a split by vendor, oldest first. The first inference
    round had no datacentre division; its proxy is not fully confirmed and left out."""
    frame = evidence.table("mlperf_submissions")
    frame = frame[(frame["confirmed"] == "yes") & frame["suite"].str.startswith(suite)]
    return frame[frame["vendor"] == "NVIDIA"].sort_values("date", kind="stable")


@measure("smallest_entry_share")
def smallest_entry_share(evidence: Evidence, suite: str) -> Measured:
    """Nvidia's smallest share of the entries over all rounds of a suite."""
    frame = nvidia_rounds(evidence, suite)
    return counted(frame, "mlperf_submissions", float(frame["entry_share"].min()))


@measure("weaker_latest_share")
def weaker_latest_share(evidence: Evidence) -> Measured:
    """Nvidia's share of entries in the one of the latest training and inference rounds where it is smaller."""
    latest = [nvidia_rounds(evidence, suite).tail(1) for suite in ("training", "inference")]
    frame = pd.concat(latest)
    return counted(frame, "mlperf_submissions", float(frame["entry_share"].min()))


@measure("revenue_share")
def revenue_share(evidence: Evidence) -> Measured:
    """Nvidia's lowest published share of AI accelerators."""
    frame = evidence.table("prices")
    frame = frame[
        (frame["category"] == "market_share") & frame["item"].str.contains("Nvidia share")
    ]
    frame = frame[~frame["item"].str.contains("only")]
    return counted(frame, "prices", float(frame["value"].min()) / 100) if len(frame) else NOTHING


@measure("others_do_both")
def others_do_both(evidence: Evidence) -> Measured:
    """Vendors other than Nvidia whose chips trained a notable model and serve in MLPerf."""
    vendors = evidence.table("chips").set_index("id")["vendor"]
    runs = evidence.table("training_runs").dropna(subset="chip_id")
    runs = runs.assign(vendor=runs["chip_id"].map(vendors))
    serving = evidence.table("mlperf_submissions")
    serving = serving[serving["suite"].str.startswith("inference")]
    trained = set(runs["vendor"].dropna()) - {"NVIDIA"}
    both = {one for one in trained if serving["vendor"].str.contains(one, regex=False).any()}
    used = runs[runs["vendor"].isin(both)]
    return Measured(
        float(len(both)), rows=keys(used, "training_runs"), sources=cited(used, serving)
    )


def startup_vendors(evidence: Evidence) -> list[str]:
    """Chip makers of the chips table that are startups in the table of events."""
    companies = set(startups(evidence.table("startup_events"))["company"])
    vendors = evidence.table("chips")["vendor"].unique()
    return sorted(vendor for vendor in vendors if vendor in companies)


def on_startup_chips(evidence: Evidence, runs: pd.DataFrame) -> pd.Series:
    """Whether each run's hardware names a startup's chip."""
    names = "|".join(re.escape(name) for name in startup_vendors(evidence))
    return runs["hardware"].str.contains(names, case=False, na=False)


@measure("largest_startup_run")
def largest_startup_run(evidence: Evidence) -> Measured:
    """Training compute of the largest known run on a startup's chips over that of the largest known run."""
    runs = evidence.table("training_runs").dropna(subset=["training_flop", "hardware"])
    own = runs[on_startup_chips(evidence, runs)]
    top = pd.concat([runs.nlargest(1, "training_flop"), own.nlargest(3, "training_flop")])
    largest = float(own["training_flop"].max()) if len(own) else 0.0
    note = "every startup with a known run"
    return counted(top, "training_runs", largest / float(runs["training_flop"].max()), note)


@measure("startups_in_mlperf")
def startups_in_mlperf(evidence: Evidence, suite: str) -> Measured:
    """Startups among the accelerator vendors of the latest round of a suite that tells them apart."""
    frame = evidence.table("mlperf_submissions")
    frame = frame[frame["suite"].str.startswith(suite) & frame["entry_share"].notna()]
    latest = frame[frame["date"] == frame["date"].max()]
    names = [name.lower() for name in startup_vendors(evidence)]
    found = [vendor for vendor in latest["vendor"] if any(name in vendor.lower() for name in names)]
    return counted(latest, "mlperf_submissions", float(len(found)))


@measure("vendor_entries")
def vendor_entries(evidence: Evidence, suite: str, vendor: str) -> Measured:
    """A vendor's entries over all rounds of a suite."""
    frame = evidence.table("mlperf_submissions")
    frame = frame[frame["suite"].str.startswith(suite) & frame["entry_share"].notna()]
    own = frame[frame["vendor"].str.contains(vendor, case=False)]
    return counted(frame, "mlperf_submissions", float(own["result_entries"].sum()))
