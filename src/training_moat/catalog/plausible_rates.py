"""Prices and rates against others of their kind: medians where there are few traits, a fit where there are many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Book, Sheet, check

OUTPUT_OVER_INPUT = (1, 8)
"""Least and most of a token price for output over that for input."""

MANY = 12
"""Least rows of a kind that make a fit."""

DAMPING = 0.1
"""Ridge of the fits."""

COMPUTED = ("latency", "total_throughput_in_plus_out")
"""Metrics of which one is computed from the other (plausible_numbers): too wide for a fit."""

_RUN = ("n_chips", "active_params_b", "params_b")
_CHIP = (
    *("hbm_tb_per_s", "hbm_gb", "tdp_w", "bf16_tflops", "sram_mb"),
    "scaleup_gb_per_s_per_direction",
)
_HISTORY = (
    *("memory_tb_per_s", "memory_gb", "tdp_w", "bf16_tflops", "fp32_tflops", "fp8_tflops"),
    *("int8_tops", "intranode_gb_per_s_both_directions"),
)
FITS: tuple[tuple[str, tuple[str, ...], str, tuple[str, ...], tuple[str, ...], float], ...] = (
    ("training_measurements", ("source", "metric"), "value",
     (*_RUN, "global_batch", "micro_batch", "seq_len", "tp", "pp"), ("model", "chip", "format", "recompute"), 5),
    ("serving_measurements", ("source", "metric"), "value",
     (*_RUN, "batch_or_concurrency", "input_len", "output_len"),
     ("model", "chip", "format", "framework", "scenario", "load"), 6),
    ("serving_inferencex", ("model_id",), "tpot_ms",
     ("input_len", "output_len", "concurrency", "tp_size", "moe_ep_size"), ("system", "backend", "precision"), 8),
    *(("chips", (), column, tuple(name for name in _CHIP if name != column), ("vendor",), factor) for column, factor in (
        ("hbm_tb_per_s", 2.5), ("hbm_gb", 3.0), ("scaleout_gbit_per_s_per_chip", 5.0), ("bf16_tflops", 6.5), ("fp8_tflops", 2.6),
    )),
    *(("hardware_history", (), column, tuple(name for name in _HISTORY if name != column), ("manufacturer",), factor)
      for column, factor in (
        ("bf16_tflops", 6.0), ("fp8_tflops", 2.2), ("int8_tops", 8.0), ("internode_gbit_per_s", 2.5),
        ("intranode_gb_per_s_both_directions", 7.0), ("price_usd", 6.0),
    )),
)  # fmt: skip
"""Table, what makes a kind (all rows one where nothing does), the figure, numbers and words that it goes with, and the
most it may be off its fit: somewhat more than any row is."""


@check("prices")
def token_prices(sheet: Sheet) -> Iterator[Problem]:
    """Prices of output tokens that do not go with those of input tokens."""
    rows = sheet.frame.assign(position=range(len(sheet.frame)))
    told = ["item", "organisation", "date"]
    ask = rows[rows["category"] == "api_price_input"]
    give = rows[rows["category"] == "api_price_output"]
    pairs = give.merge(ask[[*told, "value"]], on=told, suffixes=("", "_input"))
    ratio = pairs["value"] / pairs["value_input"]
    least, most = OUTPUT_OVER_INPUT
    noted = pairs["notes"].fillna("").str.contains("checked:")
    wrong = ((ratio < least) | (ratio > most)) & ~noted
    expected = f"{least} to {most} times the price of input, or 'checked:' in notes"
    yield from sheet.at(pairs["position"][wrong], "value", expected)


@check()
def fitted_rates(book: Book) -> Iterator[Problem]:
    """Rates, and traits of chips, far from what the others of their kind lead to expect."""
    for name, kind, column, numbers, words, factor in FITS:
        if name not in book:
            continue
        sheet = book[name]
        off = _left_out(sheet, list(kind), column, numbers, words)
        expected = f"within {factor} times what the others of its kind lead to expect"
        yield from sheet.flagged(off.abs() > np.log(factor), column, expected)


def _left_out(
    sheet: Sheet, kind: list[str], column: str, numbers: tuple[str, ...], words: tuple[str, ...]
) -> pd.Series:
    """Logarithm of each value over what the fit to the others of its kind says."""
    off = pd.Series(np.nan, index=sheet.frame.index)
    values = sheet[column]
    if "metric" in sheet.frame:
        values = values.mask(sheet.frame["metric"].isin(COMPUTED))
    known = sheet.frame[values > 0]
    for _, rows in known.groupby(kind, dropna=False) if kind else [((), known)]:
        if len(rows) < MANY:
            continue
        design = _design(rows, numbers, words)
        told = np.log(values[rows.index].to_numpy())
        normal = design.T @ design + DAMPING * np.eye(design.shape[1])
        normal[0, 0] -= DAMPING
        solved = np.linalg.solve(normal, design.T)
        lever = np.einsum("ij,ji->i", design, solved)
        off[rows.index] = (told - design @ (solved @ told)) / np.maximum(1 - lever, 0.2)
    return off


def _design(rows: pd.DataFrame, numbers: tuple[str, ...], words: tuple[str, ...]) -> np.ndarray:
    """A constant, logarithms of numbers (with a mark where blank), and one column per word."""
    columns = [np.ones(len(rows))]
    for name in numbers:
        value = pd.to_numeric(rows[name], errors="coerce")
        value = np.log(value.where(value > 0))
        if value.notna().any() and value.nunique() > 1:
            columns += [value.fillna(value.median()).to_numpy(), value.isna().to_numpy(float)]
    for name in words:
        place, known = pd.factorize(rows[name].fillna("-"), sort=True)
        columns += [(place == word).astype(float) for word in range(1, len(known))]
    return np.column_stack(columns)
