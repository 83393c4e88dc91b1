"""The low-precision moat: formats, recipes, the price of moving (C28 to C31, C33)."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from training_moat.catalog.cited import cited
from training_moat.claims.base import Evidence, Measured, counted, keys, measures, share
from training_moat.claims.memory_strand import moves, troubled
from training_moat.core import breakeven
from training_moat.inquiry import uncertainty
from training_moat.inquiry.precision import width
from training_moat.inquiry.switching import move

GPT4 = "GPT-4 (Mar 2023)"
LARGE_BUYER_MUSD = 1000.0
"""Yearly spending on training of the buyer a challenger must win, in million dollars."""


def decided(evidence: Evidence, name: str) -> pd.DataFrame:
    """Published low-precision runs of a width of format that speak for or against recipes being tied to a
    chip's numerics; neutral and unconfirmed rows are left out."""
    frame = evidence.table("low_precision_runs").dropna(subset="format_forward")
    frame = frame[frame["format_forward"].map(width) == name]
    return frame[frame["bearing"].isin(["supports", "against"]) & (frame["confirmed"] != "no")]


def _tied(evidence: Evidence, name: str) -> Measured:
    frame = decided(evidence, name)
    return share(frame, frame["bearing"] == "supports", "low_precision_runs", sampled=True)


@measures("C29", "fp16")
def tied_fp16(evidence: Evidence) -> Measured:
    return _tied(evidence, "FP16")


@measures("C29", "bf16")
def tied_bf16(evidence: Evidence) -> Measured:
    return _tied(evidence, "BF16")


@measures("C29", "fp8")
def tied_fp8(evidence: Evidence) -> Measured:
    return _tied(evidence, "8 bits")


@measures("C29", "fp4")
def tied_fp4(evidence: Evidence) -> Measured:
    return _tied(evidence, "4 bits")


@measures("C28", "runs")
def nvidia_runs(evidence: Evidence) -> Measured:
    frame = evidence.table("low_precision_runs").dropna(subset="hardware_vendor")
    return share(
        frame, frame["hardware_vendor"].str.contains("NVIDIA"), "low_precision_runs", sampled=True
    )


@measures("C28", "formats")
def formats_added(evidence: Evidence) -> Measured:
    """Formats of at most 16 bits that Nvidia's data-centre chips multiply today and the V100 did not."""
    frame = evidence.table("chips")
    frame = frame[frame["vendor"] == "NVIDIA"].dropna(subset="formats_supported")
    held = {row.id: set(row.formats_supported.split(";")) for row in frame.itertuples()}
    narrow = {"fp16", "bf16", "fp8", "fp6", "fp4"}
    later = set().union(*(kinds for name, kinds in held.items() if name != "v100"))
    return counted(frame, "chips", float(len((later - held["v100"]) & narrow)))


@measures("C30", "months")
def months_of_training_moves(evidence: Evidence) -> Measured:
    frame = moves(evidence, "training").dropna(subset="months")
    months = frame["months"]
    value = float(months.median()) if len(frame) else None
    return Measured(value, rows=keys(frame, "switching_cases"), sources=cited(frame))


@measures("C30", "failures")
def failed_training_moves(evidence: Evidence) -> Measured:
    frame = moves(evidence, "training")
    return share(frame, troubled(frame), "switching_cases")


@measures("C31", "delay_cost")
def delay_cost(evidence: Evidence) -> Measured:
    """A year of OpenAI's R&D spending, times the shortest delay of a training move on record, over the
    cost of the run itself."""
    splits = evidence.table("market_splits")
    lab = splits[splits["definition"] == "all R&D spend"]
    spent = re.search(r"R&D \$([\d.]+)B", str(lab["quantity"].iloc[0])) if len(lab) else None
    late = moves(evidence, "training").dropna(subset="months")
    late = late[troubled(late)].nsmallest(1, "months")
    run = evidence.table("training_runs")
    run = run[run["model"] == GPT4]
    if spent is None or late.empty or run.empty:
        return Measured(None)
    spending_usd = float(spent[1]) * 1e9 * float(late["months"].iloc[0]) / 12
    return Measured(
        spending_usd / float(run["cost_usd_2023"].iloc[0]),
        rows=keys(lab, "market_splits")
        + keys(late, "switching_cases")
        + keys(run, "training_runs"),
        sources=cited(lab, late, run),
    )


@measures("C33", "speed_up")
def speed_up(evidence: Evidence) -> Measured:
    """Advantage on paper at which a move pays for a buyer of `LARGE_BUYER_MUSD` a year; in some draws no
    advantage is enough, so the upper end may be without limit."""
    frame = evidence.table("switching_assumptions")
    drawn = uncertainty.sample([uncertainty.of_row(row) for _, row in frame.iterrows()], 2**15)
    needed = breakeven.paper_advantage(
        breakeven.breakeven_advantage(move(drawn, LARGE_BUYER_MUSD)), drawn["realised_share"]
    )
    threshold = float(evidence.row("claim_tests", "speed_up", "test")["threshold"])
    low, middle, high = (float(np.quantile(needed, q, method="higher")) for q in (0.05, 0.5, 0.95))
    return Measured(
        middle,
        low,
        high,
        float(np.mean(needed >= threshold)),
        keys(frame, "switching_assumptions", "name"),
        cited(frame),
    )
