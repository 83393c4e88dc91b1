"""Prices and rates against others of their kind: medians where there are few traits, a fit where there are many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Book, Sheet, check, outside

OUTPUT_OVER_INPUT = (1, 8)
"""Least and most of a token price for output over that for input."""

MANY = 12
"""Least rows of a kind that make a fit."""

DAMPING = 0.1
"""Ridge of the fits."""

COMPUTED = ("latency", "total_throughput_in_plus_out")
"""Metrics of which one is computed from the other (plausible_numbers): too wide for a fit."""

OF_ITS_SYSTEM = 1.1
"""Most by which a chip's price that covers its system may differ from its part of the largest one sold: prices are rounded."""

_RUN = ("n_chips", "active_params_b", "params_b")
_CHIP = (
    *("hbm_tb_per_s", "hbm_gb", "tdp_w", "bf16_tflops", "sram_mb"),
    "scaleup_gb_per_s_per_direction",
)
_HISTORY = (
    *("memory_tb_per_s", "memory_gb", "tdp_w", "bf16_tflops", "fp32_tflops", "fp8_tflops"),
    *("int8_tops", "intranode_gb_per_s_both_directions"),
)


class Fit(NamedTuple):
    """A figure of a `table` that goes with `numbers` and `words` of its row, of rows that are alike in `kind` (all, where it
    names no column), and the `most` it may be off its fit: somewhat more than any row is."""

    table: str
    kind: tuple[str, ...]
    figure: str
    numbers: tuple[str, ...]
    words: tuple[str, ...]
    most: float


FITS = (
    Fit("training_measurements", ("source", "metric"), "value",
     (*_RUN, "global_batch", "micro_batch", "seq_len", "tp", "pp"), ("model", "chip", "format", "recompute"), 5),
    Fit("serving_measurements", ("source", "metric"), "value",
     (*_RUN, "batch_or_concurrency", "input_len", "output_len"),
     ("model", "chip", "format", "framework", "scenario", "load"), 6),
    Fit("serving_inferencex", ("model_id",), "tpot_ms",
     ("input_len", "output_len", "concurrency", "tp_size", "moe_ep_size"), ("system", "backend", "precision"), 8),
    *(Fit("chips", (), column, tuple(name for name in _CHIP if name != column), ("vendor",), most) for column, most in (
        ("hbm_tb_per_s", 2.5), ("hbm_gb", 3.0), ("scaleout_gbit_per_s_per_chip", 5.0), ("bf16_tflops", 6.5), ("fp8_tflops", 2.6),
    )),
    *(Fit("hardware_history", (), column, tuple(name for name in _HISTORY if name != column), ("manufacturer",), most)
      for column, most in (
        ("bf16_tflops", 6.0), ("fp8_tflops", 2.2), ("int8_tops", 8.0), ("internode_gbit_per_s", 2.5),
        ("intranode_gb_per_s_both_directions", 7.0), ("price_usd", 6.0),
    )),
)  # fmt: skip
"""Figures that a fit to the others of their kind speaks of."""


@check("prices")
def token_prices(sheet: Sheet) -> Iterator[Problem]:
    """Prices of output tokens that do not go with those of input tokens."""
    rows = sheet.numbered()
    told = ["item", "organisation", "date"]
    ask = rows[rows["category"] == "api_price_input"]
    give = rows[rows["category"] == "api_price_output"]
    pairs = give.merge(ask[[*told, "value"]], on=told, suffixes=("", "_input"))
    ratio = pairs["value"] / pairs["value_input"]
    least, most = OUTPUT_OVER_INPUT
    noted = pairs["notes"].fillna("").str.contains("checked:")
    wrong = outside(ratio, least, most) & ~noted
    expected = f"{least} to {most} times the price of input, or 'checked:' in notes"
    yield from sheet.at(pairs["position"][wrong], "value", expected)


@check("chips", "cost_scopes", "systems")
def system_prices(chips: Sheet, scopes: Sheet, systems: Sheet) -> Iterator[Problem]:
    """Prices said to cover a system, hosts and links included, that are not the chip's part of the largest one sold."""
    part = systems["price_usd"] / systems["chips_per_system"]
    sold = systems.frame.assign(part=part).dropna(subset="part")
    largest = sold.sort_values("chips_per_system", kind="stable").groupby("chip_id")["part"].last()
    whole = scopes.frame.loc[scopes.frame["price_covers"] == "system", "chip_id"]
    names = chips.frame["id"]
    due = names.map(largest).where(names.isin(whole)).astype(float)
    wrong = (np.log(chips["price_usd"]) - np.log(due)).abs() > np.log(OF_ITS_SYSTEM)
    expected = "the chip's part of its largest system in systems.csv, which cost_scopes.csv says it pays for"
    yield from chips.refused(wrong, "price_usd", expected)


@check()
def fitted_rates(book: Book) -> Iterator[Problem]:
    """Rates, and traits of chips, far from what the others of their kind lead to expect."""
    for fit in FITS:
        if fit.table in book:
            sheet = book[fit.table]
            off = _left_out(sheet, fit).abs() > np.log(fit.most)
            expected = f"within {fit.most} times what the others of its kind lead to expect"
            yield from sheet.flagged(off, fit.figure, expected)


def _left_out(sheet: Sheet, fit: Fit) -> pd.Series:
    """Logarithm of each value over what the fit to the others of its kind says."""
    frame = sheet.frame
    off = np.full(len(frame), np.nan)
    values = sheet[fit.figure]
    if "metric" in frame:
        values = values.mask(frame["metric"].isin(COMPUTED))
    told = _logarithms(values)
    sizes = [_logarithms(sheet[name]) for name in fit.numbers]
    names = [pd.factorize(frame[name].fillna("-"), sort=True)[0] for name in fit.words]
    known = np.isfinite(told)
    alike = [frame[name] for name in fit.kind] or [pd.Series(0, frame.index)]
    kinds = frame.groupby(alike, dropna=False).ngroup().to_numpy()
    for one in np.unique(kinds[known]):
        rows = np.flatnonzero(known & (kinds == one))
        if len(rows) < MANY:
            continue
        design = _design([size[rows] for size in sizes], [name[rows] for name in names])
        normal = design.T @ design + DAMPING * np.eye(design.shape[1])
        normal[0, 0] -= DAMPING
        solved = np.linalg.solve(normal, design.T)
        lever = np.einsum("ij,ji->i", design, solved)
        own = told[rows]
        off[rows] = (own - design @ (solved @ own)) / np.maximum(1 - lever, 0.2)
    return pd.Series(off, index=frame.index)


def _logarithms(values: pd.Series) -> np.ndarray:
    """Logarithms of positive values, NaN for others."""
    plain = values.to_numpy(float, na_value=np.nan)
    return np.log(np.where(plain > 0, plain, np.nan))


def _design(sizes: list[np.ndarray], names: list[np.ndarray]) -> np.ndarray:
    """A constant, logarithms of numbers (with a mark where blank), and one column per word but the first."""
    columns = [np.ones(len((sizes + names)[0]))]
    for size in sizes:
        blank = np.isnan(size)
        if len(np.unique(size[~blank])) > 1:
            columns += [np.where(blank, np.median(size[~blank]), size), blank.astype(float)]
    for name in names:
        columns += [(name == word).astype(float) for word in np.unique(name)[1:]]
    return np.column_stack(columns)
