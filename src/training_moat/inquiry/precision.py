"""What the evidence says about low precision: realised against peak speed, documented lock-in, what only scale shows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import pandas as pd

from training_moat.catalog import chips, dates, tables
from training_moat.catalog.cited import FIRST_HAND, credible
from training_moat.core import formats
from training_moat.core.errors import require_known
from training_moat.inquiry import low_precision_record, naming
from training_moat.numerics import analysis_larger
from training_moat.numerics.design_second import EXPERIMENTS

PEAK_COLUMN = {
    **{name: chips.PEAK_COLUMNS[name] for name in ("fp16", "bf16", "fp8", "fp4")},
    **{"mxfp8": "fp8_tflops", "nvfp4": "fp4_tflops", "mxfp4": "fp4_tflops"},
}
"""Column of the chips table with the peak of each format as measurements name it."""

PUBLISHED_HOPPER_ERROR = 0.02
"""Largest relative error of a sum of 4,096 terms on Hopper, "nearly 2%": DeepSeek-V3 report, section 3.3.2."""

_SPEED = "tokens_per_s_per_chip"
_SPEEDS = (_SPEED, "step_time", "model_tflops_per_gpu")
"""What tells how fast a run was, the plainest first; steps compare runs of one batch alone."""
_OWN_PLAN = ["source", "table_ref", "model", "chip_id", "n_chips", "seq_len"]
_SAME_PLAN = [
    *("source", "model", "layers", "chip_id", "n_chips", "seq_len", "global_batch", "micro_batch"),
    *("tp", "pp", "dp", "ep", "cp", "vp_stages", "zero_fsdp", "recompute"),
]


def measured_pairs() -> pd.DataFrame:
    """Speed of FP8, MXFP8 and NVFP4 over BF16 in measurements of the same model on as many of the same chips.

    Columns: model, chip_id, chips, format, plan ("same" where every parallel size and batch agrees, else "own": the best of
    each format in one table), speedup (median over tables), peak_ratio (of the data sheets), realised (gain over gain at
    peak), source; shown_model and shown_chip are the names that a page prints, experts whether the model is a mixture of
    them. A gain above that of the peaks (realised above 1) says that something besides the format changed; such pairs stay,
    as those do that gained too little for it.
    """
    runs = tables.load("training_measurements")
    runs = runs[runs["format"].isin(PEAK_COLUMN) & runs["chip_id"].notna()]
    told = {metric: _rates(runs, metric) for metric in _SPEEDS}
    found = [
        _pairs(rows, _SAME_PLAN).assign(plan="same", told=i) for i, rows in enumerate(told.values())
    ]
    found.append(_pairs(told[_SPEED], _OWN_PLAN).assign(plan="own", told=0))
    pairs = pd.concat(found, ignore_index=True)
    known = ["source", "model", "chip_id", "n_chips", "seq_len", "format"]
    pairs = pairs.groupby([*known, "plan", "told"], as_index=False)["speedup"].median()
    # The same plan tells more than each format's own, and a speed more than what it is worked out from.
    pairs = pairs.sort_values(["plan", "told"], ascending=[False, True], kind="stable")
    pairs = pairs.drop_duplicates(known)
    peak = chips.frame().set_index("id")
    rows = zip(pairs["chip_id"], pairs["format"].map(PEAK_COLUMN))
    peaks = [peak.loc[name, column] / peak.loc[name, "bf16_tflops"] for name, column in rows]
    pairs = pairs.assign(peak_ratio=peaks, chips=pairs["n_chips"].astype(int))
    pairs["realised"] = (pairs["speedup"] - 1) / (pairs["peak_ratio"] - 1)
    pairs["experts"] = pairs["model"].isin(runs[runs["moe_experts"] > 1]["model"])
    ids = runs.dropna(subset="model_id").groupby("model")["model_id"].first()
    pairs["shown_model"] = pairs["model"].map(ids).fillna(pairs["model"]).map(naming.name_of)
    pairs["shown_chip"] = pairs["chip_id"].map(naming.name_of)
    columns = ["model", "chip_id", "chips", "format", "plan", "speedup", "peak_ratio", "realised"]
    columns += ["shown_model", "shown_chip", "experts"]
    order = ["format", "chip_id", "model", "chips", "source", "speedup"]
    return pairs[[*columns, "source"]].sort_values(order, ignore_index=True, kind="stable")


def eight_bits(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of `measured_pairs` whose shorter format has eight bits, with one scale a tensor or one a small block."""
    return pairs[pairs["format"].map(PEAK_COLUMN) == PEAK_COLUMN["fp8"]]


def _rates(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a metric with `value` as a rate: steps a second for times, of those whose batch is known."""
    rows = runs[runs["metric"] == metric]
    if metric != "step_time":
        return rows
    rows = rows[rows["global_batch"].notna()]
    return rows.assign(value=1 / rows["value"])


def _pairs(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    best = runs.groupby([*keys, "format"], dropna=False)["value"].max().unstack("format")
    if "bf16" not in best:
        return pd.DataFrame(columns=[*keys, "format", "speedup"])
    ratios = best.drop(columns=["bf16", *({"fp16"} & set(best.columns))]).div(best["bf16"], axis=0)
    return ratios.stack().dropna().rename("speedup").reset_index()


def published_speedups() -> pd.DataFrame:
    """End-to-end speed over 16 bits that published runs in fewer bits claim: run, vendor, width, low, high, source, confirmed.

    A run in sixteen bits that is set against another in sixteen bits has no such speed.
    """
    runs = tables.load("low_precision_runs")
    runs = runs[(runs["speedup_scope"] == "training step") & runs["confirmed"].isin(FIRST_HAND)]
    table = runs.assign(
        run=(runs["organisation"] + ", " + runs["run"]).map(_short),
        vendor=runs["hardware_vendor"].fillna("not stated"),
        width=runs["format_forward"].map(low_precision_record.width),
        low=runs["speedup_low"],
        high=runs["speedup_high"],
    )
    table = table[~table["width"].isin(["BF16", "FP16"])]
    columns = ["run", "vendor", "width", "low", "high", "source", "confirmed"]
    return table[columns].sort_values(["high", "run"], ignore_index=True, kind="stable")


def _short(label: str) -> str:
    """A label beside a chart: without what stands in brackets, and cut where five lines would not hold it."""
    return textwrap.shorten(re.sub(r" \([^)]*\)", "", label), LABEL, placeholder=" …")


LABEL = 80
"""Characters of a label beside a chart, which five lines of a phone hold."""


def by_source(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs of one source share its settings and its hands: the median of each source, slowest first.

    Columns: source, pairs, speedup (median).
    """
    found = pairs.groupby("source")["speedup"].agg(["size", "median"]).reset_index()
    found = found.set_axis(["source", "pairs", "speedup"], axis=1)
    return found.sort_values(["speedup", "source"], kind="stable", ignore_index=True)


def small_runs() -> pd.DataFrame:
    """Runs of the NumPy experiment, both sets of seeds."""
    names = [f"experiment_low_precision{part}" for part in ("", "_replication")]
    return pd.concat([tables.load(name) for name in names], ignore_index=True)


def larger_runs() -> dict[str, pd.DataFrame]:
    """Runs of each larger experiment that counts, pilot included, by its name in `design_second.EXPERIMENTS`."""
    found = {name: tables.load(form.table) for name, form in EXPERIMENTS.items()}
    return {
        name: runs
        for name, runs in found.items()
        if analysis_larger.counts(runs, EXPERIMENTS[name].design)
    }


def counted_runs(again: bool = False) -> pd.DataFrame:
    """Published low-precision training runs that count, one row a run, with their width of format. again: with what each
    says by the second reading."""
    read = tables.read_again if again else tables.load
    counting = tables.load("low_precision_counting")
    return low_precision_record.runs(read("low_precision_runs"), counting)


def readings(record: pd.DataFrame) -> pd.DataFrame:
    """The counts of `low_precision_record.lockin` as one row per width and reading: width, reading, reports."""
    names = dict(zip(("supports", "both", "neutral", "against"), READINGS, strict=True))
    long = record.rename(columns=names).melt("width", list(names.values()), "reading", "reports")
    return long.astype({"width": str, "reading": str})


READINGS = ("tied to the chip", "both", "neither", "free of it")
"""What a report finds."""


def reports(bearing: str, widths: Sequence[str] = low_precision_record.WIDTHS) -> pd.DataFrame:
    """Published runs of the given widths that bear on lock-in in one way, oldest first, with what happened."""
    runs = counted_runs()
    chosen = runs[(runs["bearing"] == bearing) & runs["width"].isin(widths)]
    return _told(chosen, "hardware_vendor", "format_forward", "reading")


def _told(runs: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Who told of each run, oldest first, with these columns."""
    shown = ["organisation", "run", *columns, "source", "confirmed"]
    return runs.sort_values(["date", "row_id"], kind="stable")[shown].reset_index(drop=True)


def seen_only_at_scale() -> pd.DataFrame:
    """Incidents in long or large low-precision runs: what a small, short experiment cannot show.

    Columns: organisation, run, model_size, tokens, incidents, source, confirmed.
    """
    runs = credible(tables.load("low_precision_runs"))
    width = runs["format_forward"].map(low_precision_record.width)
    spoken = runs["incidents"].str.contains(r"\blong|compute scales", na=False)
    long = runs["incidents"].notna() & (runs["tokens"].notna() | spoken)
    narrow = width.isin(["FP16", "8 bits", "4 bits"])
    return _told(runs[narrow & long], "model_size", "tokens", "incidents")


def vendors_by_year(first: int, last: int) -> pd.DataFrame:
    """How many vendors had a training chip in use for each format by the end of each year.

    Columns: year, format, vendors.
    """
    frame = chips.frame()
    frame = frame[(frame["supports_training"] != "no") & frame["available"].notna()]
    since = dates.years(frame["available"])
    makers = {name: frame["vendor"].where(frame[PEAK_COLUMN[name]].notna()) for name in PEAK_COLUMN}
    records = [
        (year, name, makers[name][since <= year].nunique())
        for year in range(first, last + 1)
        for name in ("fp16", "bf16", "fp8", "fp4")
    ]
    return pd.DataFrame(records, columns=["year", "format", "vendors"])


def format_table(names: Sequence[str]) -> pd.DataFrame:
    """Limits of number formats: name, bits, largest, smallest_normal, smallest, binades, steps_per_binade."""
    known = formats.ELEMENT_FORMATS
    records = []
    for name in names:
        require_known("number format", name, known, "chapter 'precision', parameter 'formats'")
        one = known[name]
        steps = 2 ** getattr(one, "fraction_bits", 0)
        limits = (one.bits, one.max_finite, one.min_normal, one.min_subnormal, one.binades, steps)
        records.append((one.title, *limits))
    columns = ["format", "bits", "largest", "smallest_normal", "smallest", "binades"]
    return pd.DataFrame(records, columns=[*columns, "steps_per_binade"])
