"""What a row's words, its neighbours and its relatives say a second time: figures in prose, order in time, one source's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from training_moat.catalog.dates import starts
from training_moat.catalog.plausible_bounds import FEW, sixteen_bit_peak
from training_moat.catalog.plausible_numbers import SAME
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside

NAMES = (
    ("chip", "chip_id", ()),
    ("hardware", "chip_id", ()),
    ("item", "chip_id", ("source",)),
    ("model", "model_id", ()),
    ("precision", "format", ("source",)),
)
"""Columns of words, of what they mean, and the columns within which the same words mean the same."""

BLOCKS = (
    *("training_measurements", "serving_measurements", "memory_measurements"),
    *("collective_measurements", "scaling_measurements", "training_costs", "chips", "models"),
)
"""Tables whose rows stand source by source."""

ORDERED = {
    "training_runs": ("source", "date"),
    "hardware_history": ("source", "released"),
    "models": ("organisation", "released"),
    "tokens_served": ("organisation", "date"),
    "chips": ("vendor", "announced", "available"),
}
"""Tables whose rows of one kind stand in order of time: the column that tells the kind, and those of dates."""

YEARS_OUT = 2.4
"""Most years by which a date may lie outside those of the rows before and after it."""

TOGETHER = (
    *("training_measurements", "serving_measurements", "memory_measurements", "prices"),
    *("collective_measurements", "scaling_measurements", "training_costs"),
)
"""Tables in which the rows of a source stand together, but for what was appended since."""

ALIKE = {
    "training_measurements": ("date", "chip_id", "model_id", "format", "zero_fsdp", "precision"),
    "serving_measurements": ("date", "chip_id", "framework", "format", "precision", "scenario"),
    "memory_measurements": ("date", "chip_id", "model_id", "precision", "recompute"),
    "collective_measurements": ("chip_id", "collective", "fabric"),
    "prices": ("date", "chip_id", "organisation", "category", "unit"),
    "chips": ("vendor",),
    "models": ("organisation", "vocab", "max_seq_len"),
}
"""Columns in which a row that differs from all others of its source is mostly a slip."""

NARROWER = ((1, 0.002), (2, 0.065), (4, 0.12))
"""How many times its rate in sixteen bits a chip reaches in eight, and how far from it."""

FALLS = 0.6
"""Least of the time of either of two smaller messages that a collective takes."""

SAME_ITEM = {
    "cost_of_revenue": "inference_compute",
    "training_compute": "rnd_compute",
    "rnd_expense": "rnd_compute",
}
"""Items of a ledger that are counts of another one, wider or narrower."""

LEDGER_PARTS = (
    ("final_runs", "rnd_compute", (0.05, 1)),
    ("inference_compute", "rnd_compute", (0.05, 2)),
    ("rnd_compute", "all_compute", (0.1, 1)),
    ("inference_compute", "all_compute", (0.1, 1)),
)
"""Item, item that it is held against, and least and most of the first over the second."""

SERIES = ("source", "table_ref", "collective", "chip", "fabric", "n_ranks", "n_nodes", "notes")
"""Columns that tell one series of messages of growing size from another."""

LEDGER_SPREAD = 4
"""Most by which a count of an item in a year may differ from the median of the others."""


@check_each()
def names(sheet: Sheet) -> Iterator[Problem]:
    """Words that mean another chip, model or format than the same words do in the other rows."""
    for words, meant, within in NAMES:
        if not sheet.has(words, meant, *within):
            continue
        keys = [sheet.frame[name] for name in (*within, words)]
        told = sheet.frame[meant].fillna("")
        times = told.groupby([*keys, told]).transform("size")
        ranked = told.iloc[np.lexsort((told.rank(method="dense"), times.fillna(0)))]
        usual = ranked.groupby(keys).transform("last").sort_index(kind="stable")
        wrong = sheet.frame[words].notna() & usual.notna() & (told != usual)
        expected = usual.replace("", "a blank").map(
            "{}, as in the other rows of these words".format
        )
        yield from sheet.refused(wrong, meant, expected)


@check_each(*BLOCKS)
def blocks(sheet: Sheet) -> Iterator[Problem]:
    """A row of another source in the midst of a block of rows of one."""
    own = sheet.frame["source"].fillna("")
    before, after = own.shift(1), own.shift(-1)
    expected = before.map("{}, as in the rows before and after".format)
    yield from sheet.refused((before == after) & (own != before), "source", expected)


@check_each(*ORDERED)
def order(sheet: Sheet) -> Iterator[Problem]:
    """A date years outside those of the rows before and after it, where such rows stand in order of time."""
    kind, *dates = ORDERED[sheet.name]
    own = sheet.frame[kind].fillna("")
    among = (own.shift(1) == own) & (own.shift(-1) == own)
    for column in dates:
        when = starts(sheet.frame[column])
        before, after = when.shift(1), when.shift(-1)
        first, last = np.minimum(before, after), np.maximum(before, after)
        wrong = outside(when, first - YEARS_OUT, last + YEARS_OUT)
        expected = "a date about those of the rows before and after it, or 'checked:' in notes"
        yield from sheet.flagged(wrong & among, column, expected)


@check_each(*TOGETHER)
def strays(sheet: Sheet) -> Iterator[Problem]:
    """A row alone among rows of other sources, while the rows of its own stand together elsewhere."""
    own = sheet.frame["source"].fillna("")
    run = (own != own.shift()).cumsum()
    size = own.groupby(run).transform("size")
    elsewhere = size.groupby(own).transform("max") >= FEW
    alone = (size == 1) & (run != run.iloc[-1])
    expected = "the source of a row beside it: this one's own rows stand together elsewhere"
    yield from sheet.flagged(alone & elsewhere, "source", expected)


@check_each(*ALIKE)
def alike(sheet: Sheet) -> Iterator[Problem]:
    """A row that differs in one trait from all others of its source, which are all the same in it."""
    own = sheet.frame["source"].fillna("")
    for column in ALIKE[sheet.name]:
        told = sheet.frame[column].astype(object).fillna("")
        same = told.groupby([own, told]).transform("size")
        rows = told.groupby(own).transform("size")
        kinds = told.groupby(own).transform("nunique")
        wrong = (same == 1) & (kinds == 2) & (rows > FEW)
        expected = "what all other rows of its source have, or 'checked:' in notes"
        yield from sheet.flagged(wrong, column, expected)


@check("chips")
def narrower(chips: Sheet) -> Iterator[Problem]:
    """Peaks in eight bits that are no whole multiple of the peak in sixteen."""
    sixteen = sixteen_bit_peak(chips)
    for column in ("fp8_tflops", "int8_tops"):
        ratio = chips[column] / sixteen
        fits = [(ratio / times - 1).abs() <= off for times, off in NARROWER]
        # Units for whole numbers are left out of some chips; those for eight bits are no slower anywhere.
        wrong = ((ratio > 1) | (column == "fp8_tflops")) & ratio.notna() & ~np.any(fits, axis=0)
        expected = "one, two or four times the peak in sixteen bits, or 'checked:' in notes"
        yield from chips.flagged(wrong, column, expected)


@check("hardware_history")
def siblings(sheet: Sheet) -> Iterator[Problem]:
    """Entries of one product in two sizes of memory that differ in what the memory does not change."""
    product = sheet.frame["name"].str.replace(r"\s*\d+ ?GB\b", "", regex=True).str.strip()
    for column in (
        *("bf16_tflops", "fp8_tflops", "int8_tops", "tdp_w", "process_nm"),
        *("intranode_gb_per_s_both_directions", "internode_gbit_per_s"),
    ):
        value = sheet[column]
        by_product = value.groupby(product)
        wrong = (by_product.transform("max") / by_product.transform("min") - 1).abs() > SAME
        expected = "the figure of the same product with another size of memory"
        yield from sheet.flagged(wrong & value.notna(), column, expected)


@check("accelerator_spend", "prices")
def twins(spend: Sheet, prices: Sheet) -> Iterator[Problem]:
    """Sums of the market that two tables hold of one house for one year, and differ."""
    sizes = prices.frame[prices.frame["category"] == "market_size"]
    both = (("organisation", "year"), spend, sizes, "for_year"), (
        ("organisation", "for_year"), prices, spend.frame, "year",
    )  # fmt: skip
    for (who, when), sheet, others, year in both:
        known = others.groupby(["organisation", year])["value"].agg(list)
        asked = sheet.frame if sheet is spend else sizes
        for position, row in zip(sheet.frame.index.get_indexer(asked.index), asked.itertuples()):
            said = known.get((getattr(row, who), getattr(row, when)), [])
            if said and not any(abs(row.value / one - 1) <= SAME for one in said):
                expected = f"{said[0]:g}, as another table has it of this house for this year"
                yield sheet.problem(int(position), "value", expected)


@check("lab_ledgers")
def ledger_counts(sheet: Sheet) -> Iterator[Problem]:
    """Items of a laboratory's ledger of which one count is far from the others, or that are no likely part of a whole."""
    rows = sheet.numbered()
    rows["kept"] = rows["item"].replace(SAME_ITEM)
    single = rows[~rows["period"].str.contains("together")]
    for _, own in single.groupby(["organisation", "kept", "year"]):
        for at, value in zip(own["position"], own["value"], strict=True):
            usual = own["value"][own["position"] != at].median()
            if not 1 / LEDGER_SPREAD <= value / usual <= LEDGER_SPREAD and len(own) > 1:
                expected = f"within {LEDGER_SPREAD} times the other counts of this item and year"
                yield sheet.problem(int(at), "value", expected)
    for item, whole, (least, most) in LEDGER_PARTS:
        of = rows[rows["kept"] == whole].groupby(["organisation", "period"])["value"].median()
        parts = rows[rows["kept"] == item]
        share = parts["value"] / [
            of.get(key, np.nan) for key in zip(parts["organisation"], parts["period"])
        ]
        wrong = outside(share, least, most)
        expected = f"{least} to {most} times {whole} of the same time"
        yield from sheet.at(parts["position"][wrong], "value", expected)


@check("collective_measurements")
def message_times(sheet: Sheet) -> Iterator[Problem]:
    """Collectives that take far less time than both of the next smaller messages of the same series."""
    rows = sheet.frame.assign(size=sheet["msg_bytes"], time=sheet["time_us"])
    rows = rows.reset_index(drop=True).sort_values("size", kind="stable")
    own = rows.groupby([rows[name].astype(str) for name in SERIES], sort=False)["time"]
    smaller = np.minimum(own.shift(1), own.shift(2))
    wrong = (rows["time"] < FALLS * smaller).sort_index(kind="stable").set_axis(sheet.frame.index)
    yield from sheet.flagged(
        wrong, "time_us", "no less than smaller messages take, or 'checked:' in notes"
    )
