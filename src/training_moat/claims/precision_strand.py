"""The low-precision moat: formats, recipes, the price of moving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import cited, credible
from training_moat.claims import ranges
from training_moat.claims.base import NOTHING, Measured, counted, keys, measure, row_of, share
from training_moat.inquiry import durations, low_precision_record, move_bill, precision
from training_moat.inquiry.switching import breakeven, moves_away, tries_elsewhere
from training_moat.inquiry.wording import counted as counted_in_words
from training_moat.inquiry.wording import dollars, listed
from training_moat.numerics import analysis_larger
from training_moat.numerics.design_second import EXPERIMENTS

IMITATED = "simulated|emulated"
"""How the hardware of a run says that a format was imitated in wider numbers."""


@measure
def tied(width: str) -> Measured:
    """Share of the training runs of a width of format that take a side and find their recipe tied to one
    maker's numbers; each source has the same weight, however many runs it reports."""
    frame = precision.counted_runs()
    frame = frame[(frame["width"] == width) & frame["bearing"].isin(["supports", "against"])]
    found = share(
        frame, frame["bearing"] == "supports", "low_precision_runs",
        sampled=True, weights=low_precision_record.by_source(frame),
    )  # fmt: skip
    return replace(found, note=f"published training runs in {width}")


@measure
def vendor_runs(vendor: str) -> Measured:
    """Share of the published low-precision training runs that ran on a vendor's chips, by source."""
    frame = precision.counted_runs().dropna(subset="hardware_vendor")
    on = frame["hardware_vendor"].str.contains(vendor)
    weights = low_precision_record.by_source(frame)
    return share(frame, on, "low_precision_runs", sampled=True, weights=weights)


@measure
def others_in_width(width: str, vendor: str, since: str) -> Measured:
    """Training runs of a width of format since a date that ran on none of a vendor's chips. A run whose chip only
    imitated the format shows what the arithmetic does, not that the chip has it."""
    frame = precision.counted_runs().dropna(subset=["hardware_vendor", "date"])
    frame = frame[(frame["width"] == width) & (frame["date"] >= since)]
    frame = frame[~frame["hardware_vendor"].str.contains(vendor)]
    frame = frame[~frame["hardware"].fillna("").str.contains(IMITATED)]
    return counted(frame, "low_precision_runs", note=", ".join(frame["organisation"]))


@measure
def formats_added(vendor: str, since: str) -> Measured:
    """Formats of at most 16 bits that a vendor's chips multiply today, that one of its older chips did not, and that a
    published training run on its chips used: what chips multiply in for serving alone shows nothing of training."""
    frame = tables.load("chips")
    frame = frame[frame["vendor"] == vendor].dropna(subset="formats_supported")
    held = {row.id: set(row.formats_supported.split(";")) for row in frame.itertuples()}
    later = set().union(*(kinds for name, kinds in held.items() if name != since))
    runs = precision.counted_runs().dropna(subset=["hardware_vendor", "format_forward"])
    named = runs.loc[runs["hardware_vendor"].str.contains(vendor), "format_forward"]
    added = [
        name
        for name in ("fp16", "bf16", "fp8", "fp6", "fp4")
        if name in later - held[since] and named.str.contains(name, case=False).any()
    ]
    return counted(frame, "chips", float(len(added)), listed([name.upper() for name in added]))


@measure
def carried_over() -> Measured:
    """Loss added by a learning rate tuned under another recipe, over what a rate one octave off costs BF16: the worst
    pair of the larger networks. Value and range are fixed in `numerics.design_larger` and `design_second`."""
    small, larger = precision.small_runs(), precision.larger_runs()
    if "first" not in larger:
        return NOTHING
    forms = {name: EXPERIMENTS[name] for name in larger}
    sizes = [
        analysis_larger.carried_larger(larger[name], form.design) for name, form in forms.items()
    ]
    value, low, high = analysis_larger.across(analysis_larger.carried_small(small), *sizes)
    if value is None:
        return NOTHING
    millions = " and ".join(f"{size.parameters / 1e6:.0f}" for size in sizes)
    note = f"models of {millions} million parameters and less, drawn on to the size of GPT-3"
    sources = (*(form.table for form in forms.values()), "experiment_low_precision")
    return Measured(value, low, high, sources=sources, note=note, kind=ranges.OF_INTERVALS)


def moves(kind: str) -> pd.DataFrame:
    """Documented moves of one kind of work between hardware of different vendors, doubtful ones left out."""
    frame = tables.load("switching_cases")
    return credible(frame[frame["workload_kind"] == kind])


def _by_trouble(frame: pd.DataFrame, trouble: str) -> Measured:
    """Share of moves that met trouble or none, of those of which an outcome is told."""
    frame = frame[frame["trouble"] != "untold"]
    met = frame["trouble"] == trouble
    found = share(frame, met, "switching_cases", sampled=True)
    return replace(
        found,
        note=f"{met.sum()} of {counted_in_words(len(frame), 'move')} with an outcome on record",
    )


@measure
def moves_by_trouble(kind: str, trouble: str) -> Measured:
    """Share of the documented moves of one kind of work that met trouble ("yes"), or none ("no")."""
    return _by_trouble(moves(kind), trouble)


@measure
def moves_away_in_trouble() -> Measured:
    """Share of the documented moves of training away from Nvidia's chips that met trouble."""
    return _by_trouble(moves_away(), "yes")


@measure
def tries_in_trouble() -> Measured:
    """Share of all tries of training on other makers' chips that met trouble, wherever they came from."""
    return _by_trouble(tries_elsewhere(), "yes")


@measure
def months_to_move(kind: str) -> Measured:
    """Median months from start to a working port, moves without a number and unfinished ones as intervals."""
    frame = durations.ports(tables.load("move_durations"), kind)
    if frame.empty:
        return NOTHING
    low, middle, high = durations.median_months(frame["low_months"], frame["high_months"])
    note = f"{len(frame)} moves of {kind} with a dated port"
    return counted(frame, "move_durations", middle, note, low=low, high=high, kind=ranges.POSTERIOR)


@measure
def months_ratio() -> Measured:
    """Median months to move training over those to move inference."""
    table = tables.load("move_durations")
    both = [durations.ports(table, kind) for kind in ("training", "inference")]
    if any(frame.empty for frame in both):
        return NOTHING
    low, middle, high = durations.median_ratio(*both)
    return counted(
        pd.concat(both), "move_durations", middle, low=low, high=high, kind=ranges.POSTERIOR
    )


@measure
def bill_over_run(threshold: str) -> Measured:
    """What a move would have cost the laboratory of GPT-4 in the year of its run, over what the run cost."""
    if not move_bill.known():
        return NOTHING
    bill = move_bill.of_the_run()
    low, middle, high = bill.quantiles
    rows = tuple(
        key
        for name, frame in bill.rows.items()
        for key in keys(frame, name, "name" if name == "switching_assumptions" else None)
    )
    return Measured(
        middle, low, high, bill.chance(float(threshold)), rows, cited(*bill.rows.values()),
        f"{move_bill.LAB} as it was in {move_bill.YEAR}", ranges.MONTE_CARLO,
    )  # fmt: skip


@measure
def advantage_needed(yearly_spend_musd: str) -> Measured:
    """Advantage on paper at which a move pays; in some draws no advantage is enough, so the upper end may be
    without limit."""
    bar, frame = breakeven(float(yearly_spend_musd)), tables.load("switching_assumptions")
    ours = float(row_of("claim_tests", "advantage_needed", "measure")["threshold"])
    low, middle, high = bar.quantiles_on_paper
    return Measured(
        middle, low, high, float(np.mean(bar.on_paper >= ours)), keys(frame, "switching_assumptions", "name"),
        cited(frame), f"a buyer of {dollars(float(yearly_spend_musd))} a year", ranges.MONTE_CARLO,
    )  # fmt: skip
