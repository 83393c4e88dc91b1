"""What happened: SambaNova, Groq, Cerebras, Nvidia's place, and what startups have trained since."""

from __future__ import annotations

import re
from dataclasses import replace

import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import cited
from training_moat.claims.base import NOTHING, Measured, counted, keys, measure, share
from training_moat.inquiry import chip_stock, chronicle, naming
from training_moat.inquiry.chronicle import INCUMBENT
from training_moat.inquiry.wording import listed

TRAINS = ("training", "both")
NO_PUBLISHED_RUN = ("started", "deployed")
"""Outcomes of rows that tell of training on a chip and publish no run."""
SAYS_NOTHING = ("unclear", "other")
"""Directions of events that point nowhere: neither for a share nor against it."""
STATEMENTS = ("launch", "claim", "positioning", "benchmark", "pivot", "deployment", "training run")
"""Kinds of event in which a company itself says or shows what its chip is for."""


def events(
    company: str = "", since: str = "", before: str = "9999", kinds: str = ""
) -> pd.DataFrame:
    """Events of companies whose name begins with `company`, from `since` up to but not including `before`
    (dates compare as text, so "2025" covers the whole year before "2026"). kinds: one event type, or
    "statements"; company: "startups" for all of them."""
    frame = chronicle.events()
    if company == "startups":
        frame = frame[chronicle.of_makers(frame, chronicle.startups())]
    else:
        frame = frame[frame["company"].str.startswith(company)]
    frame = frame[(frame["date"] >= since) & (frame["date"] < before)]
    later = frame["row_id"].str.startswith("H")
    frame = frame.assign(table=later.map({True: "history_events", False: "startup_events"}))
    wanted = STATEMENTS if kinds == "statements" else (kinds,)
    return frame[frame["event_type"].isin(wanted)] if kinds else frame


def points(frame: pd.DataFrame, direction: str) -> pd.Series:
    """Whether each event points to a direction; training includes both."""
    return frame["direction"].isin(TRAINS if direction == "training" else (direction,))


@measure
def event_share(direction: str, **which: str) -> Measured:
    """Share of a company's events that point to a direction, of those that point anywhere. The events on record are a
    sample of what the company said, so the share has an interval."""
    frame = events(**which)
    frame = frame[~frame["direction"].isin(SAYS_NOTHING)]
    pointing = points(frame, direction)
    found = share(frame, pointing, sampled=True)
    return replace(found, note=f"{pointing.sum()} of {len(frame)} events")


@measure
def event_count(direction: str, **which: str) -> Measured:
    """Number of a company's events that point to a direction."""
    frame = events(**which)
    return counted(frame[points(frame, direction)])


@measure
def event_sources(direction: str, since: str, before: str, **which: str) -> Measured:
    """Number of sources of a time that report a company's events of a direction and of that time; a later report of them
    may repeat the first."""
    frame = events(since=since, before=before, **which)
    frame = frame[points(frame, direction)]
    published = tables.load("sources").set_index("key")["published"].reindex(cited(frame)).dropna()
    told = published[(published >= since) & (published < before)]
    return replace(counted(frame, value=float(len(told))), sources=tuple(told.index))


@measure
def companies_training(besides: str, first_chip_before: str = "", **which: str) -> Measured:
    """Startups other than one with a step in training on record; with a date, those alone of which the chips table has a
    chip that was announced before it."""
    frame = events("startups", kinds="statements", **which)
    frame = frame[points(frame, "training") & ~frame["company"].str.startswith(besides)]
    if first_chip_before:
        made = tables.load("chips")
        frame = frame[frame["company"].isin(made[made["announced"] < first_chip_before]["vendor"])]
    return counted(frame, value=float(frame["company"].nunique()))


@measure
def reasons_given(said: str) -> Measured:
    """Startups on record that gave one of the article's reasons for leaving training aside, found by words."""
    frame = events("startups")
    frame = frame[frame["event"].str.contains(said)]
    companies = float(frame["company"].nunique())
    return counted(frame, value=companies, note="startups that said why")


def raised_musd(text: str) -> float | None:
    """Dollars raised that an event names, in millions: a sum called raised, else the first sum; None where
    there is none. Sums after it may be valuations."""
    named = re.search(r"raising ~?([\d.]+)([MB])\b|([\d.]+)([MB]) raised", text)
    named = named or re.search(r"([\d.]+)([MB])\b", text)
    if named is None:
        return None
    number, unit = (group for group in named.groups() if group)
    return float(number) * (1000 if unit == "B" else 1)


@measure
def funding_rank(company: str, before: str) -> Measured:
    """Rank of a startup by the largest sum that its events name before a date."""
    frame = events("startups", before=before)
    frame = frame[frame["event_type"].isin(["funding", "acquisition"])]
    frame = frame.assign(sum_musd=frame["event"].map(raised_musd)).dropna(subset="sum_musd")
    best = frame.groupby("company")["sum_musd"].max().rank(ascending=False)
    return counted(frame, value=float(best[company])) if company in best else NOTHING


@measure
def laid_off(company: str, **which: str) -> Measured:
    """Share of its staff that a company laid off, from "77 of ~500" in the event."""
    frame = events(company, kinds="layoff", **which)
    found = [re.search(r"(\d+) of ~?(\d+)", text) for text in frame["event"]]
    shares = [int(one[1]) / int(one[2]) for one in found if one]
    return counted(frame, value=shares[0]) if shares else NOTHING


def nvidia_rounds(suite: str) -> pd.DataFrame:
    """Nvidia's row of every MLPerf round of a suite with a split by vendor, oldest first. The first inference
    round had no datacentre division; its proxy is not fully confirmed and left out."""
    frame = tables.load("mlperf_submissions")
    frame = frame[(frame["confirmed"] == "yes") & frame["suite"].str.startswith(suite)]
    return frame[frame["vendor"] == INCUMBENT].sort_values("date", kind="stable")


@measure
def smallest_entry_share(suite: str, since: str = "") -> Measured:
    """Nvidia's smallest share of the entries over the rounds of a suite since a date."""
    frame = nvidia_rounds(suite)
    frame = frame[frame["date"] >= since]
    return counted(frame, "mlperf_submissions", float(frame["entry_share"].min()))


@measure
def chosen_hardware(vendor: str, since: str = "") -> Measured:
    """Share of the notable training runs since a date with named chips that ran on a vendor's, where those who trained do
    not make the chips themselves: only they chose."""
    runs = chronicle.runs()
    runs = runs[(runs["table"] == "training_runs") & (runs["date"] >= since)]
    runs = runs[~chronicle.by_its_maker(runs)]
    on = runs["maker"] == vendor
    found = share(runs, on, sampled=True)
    years = runs["date"].str[:4]
    note = f"{on.sum()} of {len(runs)} runs, {years.min()} to {years.max()}" if len(runs) else ""
    return replace(found, note=note)


@measure
def hardware_of_runs(vendor: str) -> Measured:
    """The same share with the runs of the chips' own makers, who had no choice."""
    runs = chronicle.runs()
    runs = runs[runs["table"] == "training_runs"]
    return share(runs, runs["maker"] == vendor, sampled=True)


@measure
def smallest_chip_share(vendor: str) -> Measured:
    """A vendor's smallest share of the computing power in the AI chips sold in a year, of the years with a full count."""
    frame = chip_stock.counts()
    power = frame.pivot_table(
        index="year", columns="manufacturer", values="h100_equivalents_median", aggfunc="sum"
    )
    if vendor not in power:
        return NOTHING
    shares = power[vendor] / power.sum(axis=1)
    return counted(frame, "chip_counts", float(shares.min()), f"the year {shares.idxmin()}")


def latest_rounds() -> pd.DataFrame:
    """Every vendor's row of the latest training and inference rounds that tell vendors apart, with `run`: the share of the
    closed division's models that its chips ran."""
    frame = tables.load("mlperf_submissions")
    last = pd.concat([nvidia_rounds(suite).tail(1) for suite in ("training", "inference")])
    frame = frame.merge(last[["suite", "round"]], on=["suite", "round"])
    return frame.assign(run=frame["closed_benchmarks"] / frame["round_closed_benchmarks"])


@measure
def models_run() -> Measured:
    """Share of the models of MLPerf that Nvidia's chips ran, in the one of the latest two rounds where it is smaller."""
    frame = latest_rounds()
    frame = frame[frame["vendor"] == INCUMBENT]
    told = [
        f"{row.closed_benchmarks:.0f} of {row.round_closed_benchmarks:.0f} in {row.suite} {row.round}"
        for row in frame.itertuples()
    ]
    return counted(frame, "mlperf_submissions", float(frame["run"].min()), listed(told))


@measure
def models_run_by_others() -> Measured:
    """Largest share of the models of either of these rounds that chips of one other maker ran."""
    frame = latest_rounds()
    frame = frame[frame["vendor"] != INCUMBENT]
    best = frame.loc[frame["run"].idxmax()]
    return counted(
        frame,
        "mlperf_submissions",
        float(best["run"]),
        f"{best['vendor']} in {best['suite']} {best['round']}",
    )


@measure
def revenue_share() -> Measured:
    """Nvidia's lowest published share of AI accelerators."""
    frame = tables.load("prices")
    frame = frame[frame["category"] == "market_share"]
    frame = frame[frame["item"].str.contains("Nvidia share") & ~frame["item"].str.contains("only")]
    return counted(frame, "prices", float(frame["value"].min()) / 100) if len(frame) else NOTHING


@measure
def others_do_both() -> Measured:
    """Vendors other than Nvidia whose chips trained a notable model and serve in MLPerf."""
    runs = tables.load("training_runs").dropna(subset="chip_id")
    runs = runs.assign(vendor=naming.makers(runs["chip_id"]))
    serving = tables.load("mlperf_submissions")
    serving = serving[serving["suite"].str.startswith("inference")]
    trained = set(runs["vendor"].dropna()) - {INCUMBENT}
    both = {one for one in trained if serving["vendor"].str.contains(one, regex=False).any()}
    used = runs[runs["vendor"].isin(both)]
    rows = keys(used, "training_runs")
    return Measured(float(len(both)), rows=rows, sources=cited(used, serving))


def startup_vendors() -> list[str]:
    """Startups that have a chip in the chips table."""
    vendors = set(tables.load("chips")["vendor"])
    return sorted(vendors & set(chronicle.startups()))


@measure
def largest_startup_run(since: str = "") -> Measured:
    """Training compute of the largest known run on a startup's chips over that of the largest known run on named chips."""
    runs = chronicle.runs().dropna(subset="training_flop")
    runs = runs[runs["date"] >= since]
    own = runs[runs["maker_kind"] == "startup"].nlargest(3, "training_flop")
    top = pd.concat([runs.nlargest(1, "training_flop"), own])
    largest = float(own["training_flop"].max()) if len(own) else 0.0
    told = f"; the largest is {own['model'].iloc[0]} on {own['maker'].iloc[0]}" if len(own) else ""
    return Measured(
        largest / float(runs["training_flop"].max()), rows=keys(top),
        sources=cited(top), note=f"every startup with a known run{told}",
    )  # fmt: skip


@measure
def startups_in_mlperf(suite: str) -> Measured:
    """Startups among the accelerator vendors of the latest round of a suite that tells them apart."""
    frame = chronicle.entries(suite)
    latest = frame[frame["date"] == frame["date"].max()]
    names = [name.lower() for name in startup_vendors()]
    found = [vendor for vendor in latest["vendor"] if any(name in vendor.lower() for name in names)]
    return counted(latest, "mlperf_submissions", float(len(found)))


@measure
def vendor_entries(suite: str, vendor: str) -> Measured:
    """A vendor's entries over all rounds of a suite."""
    frame = chronicle.entries(suite)
    own = frame[frame["vendor"].str.contains(vendor, case=False)]
    return counted(frame, "mlperf_submissions", float(own["result_entries"].sum()))


@measure
def organisations_elsewhere(since: str) -> Measured:
    """Organisations that published a training run since a date on chips of another maker than Nvidia, and
    make none themselves; a fleet, or word that training has begun, is no run."""
    runs = chronicle.runs()
    elsewhere = (runs["maker"] != INCUMBENT) & (runs["date"] >= since)
    elsewhere &= ~runs["outcome"].isin(NO_PUBLISHED_RUN)
    runs = runs[elsewhere & (runs["vendor_own_run"] == "no")]
    who = runs["organisation"].str.replace(r"\s*\(.*", "", regex=True)
    names = ", ".join(dict.fromkeys(who))
    return counted(runs, value=float(who.nunique()), note=names)
