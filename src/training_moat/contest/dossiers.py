"""What is known about one chip: its data sheet with sources and conflicts, its roofline, its measurements, its history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_training
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import descriptor, tables
from training_moat.contest.chip_factors import wide_peak
from training_moat.contest.counterfactual import GROUPS, Split
from training_moat.core.machine import Chip
from training_moat.core.units import GIB, TERA
from training_moat.inquiry.wording import digits

SHEET = {
    "source": (
        "bf16_tflops",
        "fp16_tflops",
        "fp8_tflops",
        "fp4_tflops",
        "int8_tops",
        "process_node",
    ),
    "source_memory": (
        "sram_mb",
        "sram_tb_per_s",
        "hbm_gb",
        "hbm_tb_per_s",
        "ddr_gb",
        "ddr_gb_per_s",
    ),
    "source_network": (
        "scaleup_gb_per_s_per_direction",
        "scaleup_domain_chips",
        "scaleout_gbit_per_s_per_chip",
        "topology",
    ),
    "source_power": ("tdp_w",),
    "source_price": ("price_usd", "price_note"),
    "source_training": ("supports_training", "training_claim", "training_software"),
}
"""Columns of the chips table that a data sheet shows, by the column that cites their sources."""

INTENSITIES = tuple(float(value) for value in np.logspace(-1, 5, 49))
"""FLOP per byte at which a roofline is drawn."""


def data_sheet(chip: Chip) -> pd.DataFrame:
    """The chip's published numbers. Columns: quantity, value, unit, range (where sources differ), confirmed, source."""
    row = chip_catalog.frame().set_index("id").loc[chip.id]
    units = tables.units("chips")
    words = {field["name"]: field["description"] for field in descriptor.fields("chips")}
    doubtful = set(str(row["unconfirmed_fields"]).split(";"))
    found = []
    for cites, columns in SHEET.items():
        for column in columns:
            if pd.isna(row[column]):
                continue
            ends = [row.get(f"{column}_{end}") for end in ("low", "high")]
            known = [f"{end:g}" for end in ends if end is not None and not pd.isna(end)]
            value = row[column] if isinstance(row[column], str) else f"{row[column]:,.6g}"
            said = "no" if column in doubtful else str(row["confirmed"])
            source = row[cites] if isinstance(row[cites], str) else row["source"]
            name = words[column].split(".")[0].split(",")[0]
            found.append((name, value, units.get(column, ""), " to ".join(known), said, source))
    return pd.DataFrame(
        found, columns=["quantity", "value", "unit", "range", "confirmed", "source"]
    )


def conflicts(chip: Chip) -> pd.DataFrame:
    """Where sources disagree about the chip, or a value of the table was changed. Columns: what, resolved, source."""
    row = chip_catalog.frame().set_index("id").loc[chip.id]
    told = []
    if isinstance(row["notes"], str):
        told.append(("sources disagree", row["notes"], row["source"]))
    changed = tables.load("corrections")
    changed = changed[(changed["table"] == "chips") & (changed["row"] == chip.id)]
    told += [
        (f"{one['column']}: {one['was']} became {one['now']}", one["reason"], one["source"])
        for one in changed.to_dict("records")
    ]
    return pd.DataFrame(told, columns=["what", "resolved", "source"])


def roofline(chip: Chip) -> pd.DataFrame:
    """Attainable rate against FLOP per byte, one line per memory tier with a published bandwidth (Williams et al. 2009).

    Columns: tier, flop_per_byte, tflops.
    """
    peak, rows = wide_peak(chip), []
    for tier in chip.tiers:
        if tier.bytes_per_s:
            told = f"{tier.name.upper()}, {digits(tier.capacity_bytes / GIB, 4)} GB"
            rows += [(told, one, min(peak, one * tier.bytes_per_s) / TERA) for one in INTENSITIES]
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
    told = frame[["model", "format", "chips", "source"]].assign(
        tflops=rate,
        peak_share=rate
        * TERA
        / np.array([chip.peak_flops.get(name) or wide for name in frame["format"]]),
        flop_per_byte=frame["micro_batch"].fillna(1) * frame["seq_len"],
    )
    columns = ["model", "format", "chips", "tflops", "peak_share", "flop_per_byte", "source"]
    order = ["tflops", "model", "chips"]
    told = told.dropna(subset=["tflops"])
    return told[columns].sort_values(
        order, ascending=[False, True, True], ignore_index=True, kind="stable"
    )


def history(chip: Chip) -> pd.DataFrame:
    """What the maker did about training and inference, oldest first. Columns: date, event, direction, source."""
    maker = chip.vendor.split()[0]
    parts = [tables.load("startup_events")]
    if "history_events" in tables.names():
        parts.append(tables.load("history_events"))
    columns = ["date", "company", "event", "direction", "source"]
    frame = pd.concat([part[columns] for part in parts], ignore_index=True)
    own = frame[frame["company"].str.contains(maker, regex=False, na=False)]
    own = own.sort_values(["date", "event"], kind="stable")
    return own.drop(columns="company").reset_index(drop=True)


def badge(split: Split) -> str:
    """One word for how a challenger stands: cannot, behind, even or ahead, by whether the range leaves one out."""
    if not split.possible:
        return "cannot"
    if split.low > 1:
        return "behind"
    return "ahead" if split.high < 1 else "even"


BADGE_COLOURS = {"cannot": "#7a1f1f", "behind": "#c0392b", "even": "#7a8591", "ahead": "#0f8b6d"}
"""Colour of each badge."""


def cards(found: Sequence[Split]) -> pd.DataFrame:
    """One row per challenger for a card: heading, badge, gap, job, decides, assumed, vendor, sources."""
    known, rows = chip_catalog.all_chips(), []
    for one in found:
        decides = [group for group in GROUPS if one.decides(group)]
        together = " and ".join(one.together()) or "nothing: it is not behind"
        rows.append(
            {
                "heading": one.name,
                "badge": badge(one),
                "vendor": known[one.chip].vendor,
                "gap": "it cannot do the job"
                if not one.possible
                else f"{one.gap:.2g} times the {one.unit} of {one.yardstick_name} ({one.low:.2g} to {one.high:.2g})",
                "job": one.job_title,
                "basis": one.basis,
                "decides": " or ".join(decides) or "no single quality",
                "together": together,
                "assumed": ". ".join(one.assumed),
                "sources": chip_catalog.frame().set_index("id").loc[one.chip, "source"],
            }
        )
    return pd.DataFrame(rows)
