"""Numbers of a row that lie within bounds: parts over wholes, multiples, prices and power for a peak. One line a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import NamedTuple

import pandas as pd

from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Check, Sheet, check_each

Numbers = Callable[[str], pd.Series]
"""A column of a table as numbers."""

TOKENIZERS = (30522, 50257, 100277)
"""Vocabularies of an odd number of words that models kept: those of BERT, GPT-2 and GPT-4."""


def sixteen_bit_peak(numbers: Numbers) -> pd.Series:
    """Dense peak of each chip in sixteen bits, TFLOP/s, of either format."""
    return numbers("bf16_tflops").fillna(numbers("fp16_tflops"))


def _usual(value: pd.Series) -> pd.Series:
    """Each value over the median of all."""
    return value / value.median()


def _size(of: Numbers, column: str) -> pd.Series:
    """What a memory of at least 10 GB is beyond whole halves of a GB: mostly GiB that were converted."""
    return (of(column) % 0.5).where(of(column) >= 10)


def _remainder(column: str, of: Numbers) -> pd.Series:
    """What a width is beyond a multiple of 64."""
    return of(column) % 64


class Bounds(NamedTuple):
    """What a row's `value` may be at `least` and at `most`; who leaves these bounds is told at `column` what was `expected`,
    unless the notes say why (`named`: and name the column; not `excused`: whatever they say)."""

    tables: str
    column: str
    value: Callable[[Numbers], pd.Series]
    least: float
    most: float
    expected: str
    named: bool = False
    excused: bool = True


LINKS = ("scaleup_gb_per_s_per_direction", "scaleout_gbit_per_s_per_chip")
OLD_LINKS = ("intranode_gb_per_s_both_directions", "internode_gbit_per_s")
MULTIPLE = "a multiple of {}, or 'checked:' in notes"

BOUNDS = {
    "large_runs": Bounds("training_runs", "training_flop", lambda of: of("training_flop"), 5e22, inf,
        "at least 5e+22: this table is of large runs"),
    "chip_hours": Bounds("training_runs runs_non_nvidia", "chip_hours",
        lambda of: of("chip_hours") / (of("chips") * of("training_hours")), 0.8, 1.25,
        "the chips times the hours, or 'checked:' in notes"),
    "training_hours": Bounds("training_runs runs_non_nvidia", "training_hours", lambda of: of("training_hours"), 0, 4400,
        "at most 4400, or 'checked training_hours:' in notes", named=True),  # half a year
    "split_ratios": Bounds("market_splits", "inference_to_training_ratio",
        lambda of: of("inference_to_training_ratio") * of("training_share") / of("inference_share"), 0.999, 1.001,
        "share over share"),
    "entry_shares": Bounds("mlperf_submissions", "entry_share",  # shares of four digits
        lambda of: of("entry_share") - of("result_entries") / of("round_total_entries"), -1e-4, 1e-4,
        "result_entries over round_total_entries"),
    "system_shares": Bounds("mlperf_submissions", "system_share",
        lambda of: of("system_share") - of("systems") / of("round_total_systems"), -1e-4, 1e-4,
        "systems over round_total_systems"),
    "chip_memories": Bounds("chips", "hbm_gb", lambda of: _size(of, "hbm_gb"), 0, 0, "the capacity in GB as it is sold"),
    "old_memories": Bounds("hardware_history", "memory_gb", lambda of: _size(of, "memory_gb"), 0, 0,
        "the capacity in GB as it is sold"),
    **{f"{name}_widths": Bounds("models", name, partial(_remainder, name), 0, 0, MULTIPLE.format(64))
       for name in ("hidden", "ffn", "expert_ffn")},
    "vocabularies": Bounds("models", "vocab", lambda of: of("vocab").mask(of("vocab").isin(TOKENIZERS)) % 16, 0, 0,
        MULTIPLE.format(16)),
    "chip_links": Bounds("chips", LINKS[0], lambda of: of(LINKS[0]) * 8 / of(LINKS[1]), 3, 52,  # bits for bytes
        f"3 to 52 times what {LINKS[1]} has, or 'checked:' in notes"),
    "old_links": Bounds("hardware_history", OLD_LINKS[0], lambda of: of(OLD_LINKS[0]) * 4 / of(OLD_LINKS[1]), 1.2, 13,
        f"1.2 to 13 times what {OLD_LINKS[1]} has, or 'checked:' in notes"),
    "bits": Bounds("number_formats", "exponent_bits",
        lambda of: (1 + of("exponent_bits") + of("mantissa_bits") - of("bits")).where(of("mantissa_bits") > 0), 0, 0,
        "one bit of sign, and the bits of the mantissa"),
    "sparsity": Bounds("training_runs", "params_b", lambda of: of("params_b") / of("active_params_b"), 1, 64,
        "1 to 64 times the active parameters"),
    "ranks": Bounds("memory_measurements", "n_chips",
        lambda of: of("n_chips").fillna(0) - of("tp") * of("pp") * of("dp") * of("cp").fillna(1), 0, 0,
        "tp x pp x dp x cp, or 'checked:' in notes"),
    "prices": Bounds("chips", "price_usd", lambda of: _usual(of("price_usd") / sixteen_bit_peak(of)), 1 / 5, 5,
        "within 5 times the usual price of a TFLOP/s, or 'checked:' in notes"),
    "rents": Bounds("chips", "cloud_usd_per_h", lambda of: _usual(of("cloud_usd_per_h") / sixteen_bit_peak(of)), 1 / 3, 3,
        "within 3 times the usual rent of a TFLOP/s", excused=False),
    "power": Bounds("chips", "tdp_w",
        lambda of: _usual(of("tdp_w") / sixteen_bit_peak(of).fillna(of("int8_tops") / 2)), 1 / 4, 4,
        "within 4 times the usual power of a TFLOP/s, or 'checked tdp_w:' in notes"),
}  # fmt: skip
"""Every such check, by name. Bounds are somewhat wider than what any row needs."""


def _bounded(bounds: Bounds) -> Check:
    @check_each(*bounds.tables.split())
    def checked(sheet: Sheet) -> Iterator[Problem]:
        value = bounds.value(sheet.numbers)
        wrong = (value < bounds.least) | (value > bounds.most)
        if bounds.excused:
            yield from sheet.flagged(wrong, bounds.column, bounds.expected, bounds.named)
        else:
            yield from sheet.refused(wrong, bounds.column, bounds.expected)

    return checked


CHECKS = {name: _bounded(bounds) for name, bounds in BOUNDS.items()}
"""The checks themselves."""
