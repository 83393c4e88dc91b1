"""What happened: SambaNova, Groq, Cerebras, Nvidia's place (C01 to C07, C23, C24, C32, C34, C35)."""

from __future__ import annotations

import re

import pandas as pd

from training_moat.catalog.cited import cited
from training_moat.claims.base import Evidence, Measured, counted, keys, measures, share

TURN = "2025-04"
"""Month of SambaNova's turn; the article is of the month after."""

TRAINS = ("training", "both")
NOT_STARTUPS = (
    "NVIDIA",
    "Nvidia",
    "Intel",
    "Google",
    "AMD",
    "Huawei",
    "Microsoft",
    "Meta",
    "OpenAI",
    "MLCommons",
    "zach.be",
    "Amazon",
)
FRONTIER_FLOP = 1e25


def events(
    evidence: Evidence, company: str = "", since: str = "", before: str = "9999"
) -> pd.DataFrame:
    """Dated events whose company begins with `company`, from `since` up to but not including `before`.
    Dates compare as text, so "2025" covers the whole year before "2026"."""
    frame = evidence.table("startup_events")
    frame = frame[frame["company"].str.startswith(company)]
    return frame[(frame["date"] >= since) & (frame["date"] < before)]


def startups(evidence: Evidence) -> pd.DataFrame:
    """Events of startups: neither of large chip makers nor of clouds."""
    frame = evidence.table("startup_events")
    return frame[~frame["company"].str.startswith(NOT_STARTUPS)]


def confirmed(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that were read in some source, directly or in a compilation."""
    return frame[frame["confirmed"].isin(["yes", "secondary"])]


def raised_musd(text: str) -> float | None:
    """Dollars raised that an event names, in millions: a sum called raised, else the first sum; None
    where there is none. Sums after it may be valuations."""
    named = re.search(r"raising ~?([\d.]+)([MB])\b|([\d.]+)([MB]) raised", text) or re.search(
        r"([\d.]+)([MB])\b", text
    )
    if named is None:
        return None
    number, unit = (group for group in named.groups() if group)
    return float(number) * (1000 if unit == "B" else 1)


@measures("C01", "funding_rank")
def funding_rank(evidence: Evidence) -> Measured:
    frame = confirmed(startups(evidence))
    frame = frame[(frame["date"] < TURN) & frame["event_type"].isin(["funding", "acquisition"])]
    frame = frame.assign(sum_musd=frame["event"].map(raised_musd)).dropna(subset="sum_musd")
    best = frame.groupby("company")["sum_musd"].max().rank(ascending=False)
    return counted(
        frame, "startup_events", float(best["SambaNova"]) if "SambaNova" in best else None
    )


@measures("C01", "turn_in_april")
def turn_in_april(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "SambaNova", TURN, "2025-05"))
    return counted(frame[frame["direction"] == "exit from training"], "startup_events")


def _statements(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[
        frame["event_type"].isin(
            ["launch", "claim", "positioning", "benchmark", "pivot", "deployment"]
        )
    ]


@measures("C02", "both_before")
def offered_both(evidence: Evidence) -> Measured:
    frame = _statements(confirmed(events(evidence, "SambaNova", before="2025")))
    return share(frame, frame["direction"].isin(TRAINS), "startup_events")


@measures("C03", "laid_off")
def laid_off(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "SambaNova", "2025", "2026"))
    frame = frame[frame["event_type"] == "layoff"]
    counts = [re.search(r"(\d+) of ~?(\d+)", text) for text in frame["event"]]
    found = [int(count[1]) / int(count[2]) for count in counts if count]
    return counted(frame, "startup_events", found[0]) if found else Measured(None)


@measures("C03", "inference_after")
def inference_after(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "SambaNova", "2025-05"))
    return share(frame, frame["direction"] == "inference", "startup_events")


@measures("C04", "training_2017")
def groq_training(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "Groq", before="2019"))
    found = frame["direction"].isin(TRAINS)
    return counted(frame, "startup_events", float(found.sum()))


@measures("C04", "inference_2022")
def groq_inference(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "Groq", "2019", "2024"))
    return share(frame, frame["direction"] == "inference", "startup_events")


@measures("C05", "cs1_training")
def cs1_training(evidence: Evidence) -> Measured:
    frame = _statements(confirmed(events(evidence, "Cerebras", before="2021-04")))
    return share(frame, frame["direction"].isin(TRAINS), "startup_events")


@measures("C05", "cs2_inference")
def cs2_inference(evidence: Evidence) -> Measured:
    frame = _statements(confirmed(events(evidence, "Cerebras", "2021-04", "2025-05")))
    return share(frame, frame["direction"] == "inference", "startup_events")


@measures("C06", "others_training")
def others_training(evidence: Evidence) -> Measured:
    frame = confirmed(startups(evidence))
    frame = frame[
        (frame["date"] >= "2024-04") & (frame["date"] < "2026-05") & frame["direction"].isin(TRAINS)
    ]
    frame = _statements(frame[frame["company"] != "SambaNova"])
    return counted(frame, "startup_events", float(frame["company"].nunique()))


def nvidia_shares(evidence: Evidence, suite: str) -> pd.DataFrame:
    """Nvidia's row of every MLPerf round of a suite that has a split by vendor, oldest first. The first
    inference round had no datacentre division; its proxy is marked as not fully confirmed and left out."""
    frame = evidence.table("mlperf_submissions")
    frame = frame[frame["confirmed"] == "yes"]
    return frame[frame["suite"].str.startswith(suite) & (frame["vendor"] == "NVIDIA")].sort_values(
        "date"
    )


def _smallest(evidence: Evidence, suite: str) -> Measured:
    frame = nvidia_shares(evidence, suite)
    low, high = float(frame["entry_share"].min()), float(frame["entry_share"].max())
    return Measured(low, low, high, rows=keys(frame, "mlperf_submissions"), sources=cited(frame))


@measures("C07", "dominance")
def dominance(evidence: Evidence) -> Measured:
    return _smallest(evidence, "training")


@measures("C23", "training")
def preferred_for_training(evidence: Evidence) -> Measured:
    return _smallest(evidence, "training")


@measures("C23", "inference")
def preferred_for_inference(evidence: Evidence) -> Measured:
    return _smallest(evidence, "inference")


@measures("C23", "revenue")
def preferred_by_revenue(evidence: Evidence) -> Measured:
    frame = evidence.table("prices")
    frame = frame[
        (frame["category"] == "market_share") & frame["item"].str.contains("Nvidia share")
    ]
    frame = frame[~frame["item"].str.contains("only")]
    return counted(frame, "prices", float(frame["value"].min()) / 100 if len(frame) else None)


@measures("C24", "both_benchmarks")
def leads_both(evidence: Evidence) -> Measured:
    latest = [nvidia_shares(evidence, suite).iloc[[-1]] for suite in ("training", "inference")]
    frame = pd.concat(latest)
    return counted(frame, "mlperf_submissions", float(frame["entry_share"].min()))


@measures("C24", "only_cuda")
def others_do_both(evidence: Evidence) -> Measured:
    chips = evidence.table("chips").set_index("id")["vendor"]
    runs = evidence.table("training_runs").dropna(subset="chip_id")
    runs = runs.assign(vendor=runs["chip_id"].map(chips))
    serving = evidence.table("mlperf_submissions")
    serving = serving[serving["suite"].str.startswith("inference")]
    trained = set(runs["vendor"].dropna()) - {"NVIDIA"}
    both = {
        vendor for vendor in trained if serving["vendor"].str.contains(vendor, regex=False).any()
    }
    used = runs[runs["vendor"].isin(both)]
    return Measured(
        float(len(both)), rows=keys(used, "training_runs"), sources=cited(used, serving)
    )


def startup_runs(evidence: Evidence, least_flop: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Notable training runs of at least that many FLOP with named hardware, and those on startup chips."""
    runs = evidence.table("training_runs")
    runs = runs[(runs["training_flop"] >= least_flop) & runs["hardware"].notna()]
    names = startup_vendors(evidence)
    pattern = "|".join(re.escape(name) for name in names)
    return runs, runs[runs["hardware"].str.contains(pattern, case=False)]


def startup_vendors(evidence: Evidence) -> list[str]:
    """Chip makers of the chips table that are startups in the table of events."""
    companies = set(startups(evidence)["company"])
    vendors = evidence.table("chips")["vendor"].unique()
    return sorted(vendor for vendor in vendors if vendor in companies)


def _none_at_the_frontier(evidence: Evidence) -> Measured:
    runs, on_startups = startup_runs(evidence, FRONTIER_FLOP)
    return counted(runs, "training_runs", float(len(on_startups)))


@measures("C32", "merchant")
def merchant_runs(evidence: Evidence) -> Measured:
    return _none_at_the_frontier(evidence)


@measures("C34", "frontier")
def frontier_runs(evidence: Evidence) -> Measured:
    return _none_at_the_frontier(evidence)


@measures("C22", "no_training")
def no_frontier_training(evidence: Evidence) -> Measured:
    return _none_at_the_frontier(evidence)


@measures("C34", "mlperf")
def startups_in_mlperf(evidence: Evidence) -> Measured:
    frame = evidence.table("mlperf_submissions")
    frame = frame[frame["suite"].str.startswith("training") & frame["entry_share"].notna()]
    latest = frame[frame["date"] == frame["date"].max()]
    names = [name.lower() for name in startup_vendors(evidence)]
    found = [vendor for vendor in latest["vendor"] if any(name in vendor.lower() for name in names)]
    return counted(latest, "mlperf_submissions", float(len(found)))


@measures("C35", "launches")
def training_launches(evidence: Evidence) -> Measured:
    frame = confirmed(events(evidence, "SambaNova", before="2025"))
    return counted(
        frame[(frame["event_type"] == "launch") & frame["direction"].isin(TRAINS)], "startup_events"
    )


@measures("C35", "audited")
def audited_entries(evidence: Evidence) -> Measured:
    frame = evidence.table("mlperf_submissions")
    frame = frame[frame["suite"].str.startswith("training") & frame["entry_share"].notna()]
    own = frame[frame["vendor"].str.contains("SambaNova", case=False)]
    return counted(frame, "mlperf_submissions", float(own["result_entries"].sum()))
