"""What is known about one chip: its data sheet with sources and conflicts, its roofline, its measurements, its history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_training
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import descriptor, tables
from training_moat.catalog.cited import credible
from training_moat.catalog.relatives import wide_peak
from training_moat.contest.counterfactual import Split, half_closes, told_gap, told_range
from training_moat.core.machine import Chip
from training_moat.core.units import TERA
from training_moat.inquiry import chronicle, holding, naming
from training_moat.inquiry.wording import counted, digits

SHEET = (
    *("bf16_tflops", "fp16_tflops", "fp8_tflops", "fp4_tflops", "int8_tops", "process_node"),
    *("sram_mb", "sram_tb_per_s", "hbm_gb", "hbm_type", "hbm_tb_per_s"),
    *("ddr_gb", "ddr_type", "ddr_gb_per_s"),
    *("scaleup_gb_per_s_per_direction", "scaleup_domain_chips", "scaleout_gbit_per_s_per_chip"),
    *("topology", "tdp_w", "price_usd", "price_note"),
    *("supports_training", "training_claim", "training_software"),
)
"""Columns of the chips table that a data sheet shows."""

CHECKED = r"checked \w+: "
"""How a note begins that says why a number which looks wrong is right; readers need the reason alone."""
_CLAUSES = re.compile(r";\s+(?![^()]*\))")
"""What parts a note's clauses; not within brackets."""

INTENSITIES = tuple(float(value) for value in np.logspace(-1, 5, 49))
"""FLOP per byte at which a roofline is drawn."""


def data_sheet(chip: Chip) -> pd.DataFrame:
    """The chip's published numbers. Columns: quantity, value, unit, range (where sources differ), confirmed, source."""
    row = chip_catalog.row(chip.id)
    units = tables.units("chips")
    fields = _fields()
    doubtful = set(str(row["unconfirmed_fields"]).split(";"))
    cites = descriptor.sourced_by("chips")
    found = []
    for column in (name for name in SHEET if not pd.isna(row[name])):
        ends = [row.get(f"{column}_{end}") for end in ("low", "high")]
        known = [digits(end, 6) for end in ends if end is not None and not pd.isna(end)]
        value = row[column] if isinstance(row[column], str) else digits(row[column], 6)
        guessed = column == "price_usd" and "estimate" in str(row["price_note"])
        said = "no" if guessed or column in doubtful else str(row["confirmed"])
        source = row.get(cites.get(column, "source"))
        source = source if isinstance(source, str) else row["source"]
        name = naming.column_words(fields[column], "training" in chip.streamed)
        found.append((name, value, units.get(column, ""), " to ".join(known), said, source))
    told = ["quantity", "value", "unit", "range", "confirmed", "source"]
    return pd.DataFrame(found, columns=told)


def _fields() -> dict[str, dict[str, Any]]:
    """What the data package says of each column of the chips table."""
    return {field["name"]: field for field in descriptor.fields("chips")}


def conflicts(chip: Chip) -> pd.DataFrame:
    """Where sources disagree about the chip, or a value of the table was changed. Columns: what, resolved, source."""
    row = chip_catalog.row(chip.id)
    told = []
    if isinstance(row["notes"], str):
        first, *others = _CLAUSES.split(re.sub(CHECKED, "", row["notes"]))
        notes = ". ".join([first, *(f"{clause[0].upper()}{clause[1:]}" for clause in others)])
        told.append(("sources disagree", notes, row["source"]))
    changed = tables.load("corrections")
    changed = changed[(changed["table"] == "chips") & (changed["row"] == chip.id)]
    told += [
        (_changed(one, chip), one["reason"], one["source"]) for one in changed.to_dict("records")
    ]
    return pd.DataFrame(told, columns=["what", "resolved", "source"])


def _changed(one: Mapping[str, Any], chip: Chip) -> str:
    """Which value was replaced, in words."""
    field = _fields().get(one["column"], {"description": one["column"]})
    name = naming.column_words(field, "training" in chip.streamed)
    was, now = (_shown(one[key]) for key in ("was", "now"))
    if pd.isna(one["now"]):
        return f"{name}, {was} is not used"
    if pd.isna(one["was"]) or one["now"] == one["was"]:
        return f"{name}, {now}"
    return f"{name}, {now} and not {was}"


def _shown(value: Any) -> str:
    """A cell of the table of corrections for readers: a number with its thousands parted."""
    number = pd.to_numeric(value, errors="coerce")
    return str(value) if pd.isna(number) else digits(number, 7)


def roofline(chip: Chip) -> pd.DataFrame:
    """Attainable rate against FLOP per byte, one line per memory tier with a published bandwidth (Williams et al. 2009), as
    far as the measured runs lie.

    Columns: tier, flop_per_byte, tflops.
    """
    peak, rows = wide_peak(chip), []
    farthest = max([*INTENSITIES, *measured(chip)["flop_per_byte"]])
    drawn = (*INTENSITIES, farthest) if farthest > INTENSITIES[-1] else INTENSITIES
    for tier in chip.tiers:
        if tier.bytes_per_s:
            outside = tier.name == "ddr" and "training" in chip.streamed
            kind = "outside store" if outside else tier.word
            told = f"{kind}, {holding.size_words(tier)}"
            rows += [(told, one, min(peak, one * tier.bytes_per_s) / TERA) for one in drawn]
    return pd.DataFrame(rows, columns=["tier", "flop_per_byte", "tflops"])


def measured(chip: Chip) -> pd.DataFrame:
    """Every measured training run on the chip that the model is held against, fastest first.

    The rate counts six operations per active weight and token. A weight once fetched is used for all tokens of a
    micro-batch (of one sequence where none is published): two operations for two bytes each.

    Columns: model, format, chips, tflops, peak_share (of its format's peak), flop_per_byte, source.
    """
    frame = measured_training.usable().frame
    frame = frame[frame["chip_id"] == chip.id].dropna(subset=["step_seconds"])
    tokens = frame["global_batch"] * frame["seq_len"] / frame["step_seconds"] / frame["chips"]
    wide = wide_peak(chip)
    weights = frame["active_params_b"].fillna(frame["params_b"])
    rate = 6 * weights * 1e9 * tokens / TERA
    peaks = np.array([chip.peak_flops.get(name) or wide for name in frame["format"]])
    per_byte = frame["micro_batch"].fillna(1) * frame["seq_len"]
    told = frame.assign(tflops=rate, peak_share=rate * TERA / peaks, flop_per_byte=per_byte)
    columns = ["model", "format", "chips", "tflops", "peak_share", "flop_per_byte", "source"]
    order = ["tflops", "model", "chips"]
    rising = [False, True, True]
    told = told.dropna(subset=["tflops"])[columns]
    return told.sort_values(order, ascending=rising, ignore_index=True, kind="stable")


def unmeasured(chip: Chip) -> str:
    """Why no measured training run on a chip is shown: its runs wait for the next fit, or lack something; else what one
    published step time would do. Two sentences at most."""
    rows = measured_training.configurations()
    rows = rows[rows["chip_id"] == chip.id]
    if rows.empty:
        return "A single published step time would put the first dot into the picture."
    waiting = int(
        ((rows["reason"] == "") & rows["source"].isin(measured_training.lock_box())).sum()
    )
    lacking = rows.loc[rows["reason"] != "", "reason"].value_counts()
    parts = (
        [f"{waiting} wait for the next fit, which they judge before they enter it"]
        if waiting
        else []
    )
    parts += [f"{count} cannot be used: {reason}" for reason, count in lacking.items()]
    return f"Of {counted(len(rows), 'training run')} on it in the tables, {'; '.join(parts)}."


def history(chip: Chip) -> pd.DataFrame:
    """What the maker did about training and inference, oldest first. Columns: date, event, direction, source.

    A later report of an event that is on record for the same day, or month, is left out, and so is a round of a public
    benchmark told of several makers at once: that is nothing that one of them did.
    """
    maker = chip.vendor.split()[0]
    first, later = (_of_maker(name, maker) for name in ("startup_events", "history_events"))
    dates = dict(zip(first["row_id"], first["date"], strict=True))
    told = [
        any(_same_day(date, dates.get(one, "-")) for one in str(extended).split(";"))
        for date, extended in zip(later["date"], later["extends"], strict=True)
    ]
    columns = ["date", "event", "direction", "source"]
    own = pd.concat([first[columns], later.loc[[not one for one in told], columns]])
    return own.sort_values(["date", "event"], kind="stable", ignore_index=True)


def _of_maker(name: str, maker: str) -> pd.DataFrame:
    frame = tables.load(name)
    if "event_type" in frame:
        shared = frame["company"].str.contains("/", regex=False, na=False)
        frame = frame[~(shared & (frame["event_type"] == "benchmark"))]
    return frame[frame["company"].str.contains(maker, regex=False, na=False)]


def _same_day(one: str, other: str) -> bool:
    """Whether two dates, given to the day, month or year, can be the same."""
    return one.startswith(other) or other.startswith(one)


def trained_on(chip: Chip) -> pd.DataFrame:
    """Models on record that were trained on the chip, the largest first, those of unknown size by date; a run that stands
    in both tables of runs once, as in that of runs on other chips than Nvidia's.

    Columns: model, organisation, date, chips, training_flop, confirmed, source.
    """
    noted, elsewhere = tables.load("training_runs"), chronicle.pretraining_elsewhere()
    same = set(elsewhere["same_as"].fillna("").str.split(";").explode().str.strip())
    parts = [noted[~noted["row_id"].isin(same)], elsewhere]
    columns = ["model", "organisation", "date", "chips", "training_flop", "confirmed", "source"]
    named = (chronicle.by_chip(part) for part in parts)
    found = credible(pd.concat([part[part["chip_id"] == chip.id] for part in named]))
    order = ["training_flop", "date", "model"]
    rising = [False, True, True]
    found = found[columns].sort_values(order, ascending=rising, kind="stable")
    return found.drop_duplicates("model").reset_index(drop=True)


NOTHING = "nothing: it is not behind"
"""What a card says where there is no gap to close."""


def badge(split: Split) -> str:
    """How a challenger stands: cannot, behind or ahead where the whole range says so, likely behind in two of three draws,
    open otherwise."""
    if not split.possible:
        return "cannot"
    if split.low > 1:
        return "behind"
    if split.high < 1:
        return "ahead"
    return "likely behind" if split.behind else "open"


def cards(found: Sequence[Split]) -> pd.DataFrame:
    """One row per challenger for a card: heading, badge, gap, job, half (what closes half of it), assumed, vendor, sources."""
    rows = []
    for one in found:
        rows.append(
            {
                "heading": one.name,
                "badge": badge(one),
                "vendor": one.chip.vendor,
                "gap": "it cannot do the job"
                if not one.possible
                else f"{told_gap(one)}{told_range(one)}",
                "job": one.job.title,
                "basis": one.basis if one.possible else "",
                "half": half_closes(one) or NOTHING,
                "assumed": ". ".join(f"{words[0].upper()}{words[1:]}" for words in one.assumed),
                "sources": chip_catalog.row(one.chip.id)["source"],
            }
        )
    return pd.DataFrame(rows)
