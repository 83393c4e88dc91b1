"""What stands twice and has to agree: a name and its id in other rows, parts and wholes, sources in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog import models
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Book, Sheet, check, check_each
from training_moat.core.workload import derived_params

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

WHOLE = 0.011
"""Most by which the shares of one market may miss one (rounding to percents)."""

MOST_OFF = {"shape": 0.035, "published": 0.1}
"""Most by which a model's weights may differ from those of its shape, by what its row says of them."""

CLUSTER_FACTOR = 3
"""Most by which power per chip of a cluster may differ from the median of its chip without a word on it."""

CHIP_KW = (0.2, 6)
"""Least and most power per chip of a whole cluster."""

FEW = 3
"""Least rows of a kind that make a median."""

FORMATS = (("fp16_tflops", "bf16_tflops", (1.0,)), ("tf32_tflops", "bf16_tflops", (0.5, 1.0)))
"""Peaks, and the ratios of the first to the second: both formats run on the same units."""

SAME_UNITS = (0.4, 2.5)
"""Ratios of two peaks between which they come from the same units, and are one of `FORMATS`."""

WHOLE_BYTES = (2, 0.12, 0.1)
"""Rate in eight bits over that in sixteen where the table of chips has no second figure: how many times, how far from it,
and below what the chip lacks units for it."""

SAME = 0.03
"""Most by which a ratio of peaks may differ from those."""


@check()
def names(book: Book) -> Iterator[Problem]:
    """Words that mean another chip, model or format than the same words do in the other rows."""
    for sheet in book.values():
        for words, meant, within in NAMES:
            if not sheet.has(words, meant, *within):
                continue
            keys = [sheet.frame[name] for name in (*within, words)]
            told = sheet.frame[meant].fillna("")
            times = told.groupby([*keys, told]).transform("size")
            ranked = told.iloc[np.lexsort((told.rank(method="dense"), times.fillna(0)))]
            usual = ranked.groupby(keys).transform("last").sort_index(kind="stable")
            named = sheet.frame[words].notna() & usual.notna()
            for position in (named & (told != usual)).to_numpy().nonzero()[0]:
                said = usual.iloc[position] or "a blank"
                yield sheet.problem(position, meant, f"{said}, as in the other rows of these words")


@check_each(*BLOCKS)
def blocks(sheet: Sheet) -> Iterator[Problem]:
    """A row of another source in the midst of a block of rows of one."""
    own = sheet.frame["source"].fillna("")
    before, after = own.shift(1), own.shift(-1)
    for position in ((before == after) & (own != before)).to_numpy().nonzero()[0]:
        expected = f"{before.iloc[position]}, as in the rows before and after"
        yield sheet.problem(position, "source", expected)


@check("market_splits")
def whole_markets(sheet: Sheet) -> Iterator[Problem]:
    """Shares of one market that are more than it."""
    rest = sheet.numbers("rd_experiments_share").fillna(0)
    whole = sheet.numbers("training_share") + sheet.numbers("inference_share") + rest
    # A ratio is held against the shares itself.
    told = sheet.numbers("inference_to_training_ratio").notna()
    wrong = ((whole - 1).abs() > WHOLE) & ~(told & (whole < 1))
    yield from sheet.flagged(wrong, "inference_share", "shares that make one")


@check("chips")
def stacks(chips: Sheet) -> Iterator[Problem]:
    """Chips whose stacked memory, its kind and its bandwidth are not there together."""
    some = chips.numbers("hbm_gb") > 0
    wrong = some != (chips.frame["hbm_type"].notna() | (chips.numbers("hbm_tb_per_s") > 0))
    yield from chips.flagged(wrong, "hbm_gb", "a memory where a kind or a bandwidth of it is told")


@check("hardware_history")
def eight_bits(sheet: Sheet) -> Iterator[Problem]:
    """Chips of the history alone whose peak in eight bits is not twice that in sixteen."""
    (usual, off, lacking) = WHOLE_BYTES
    ratio = sheet.numbers("int8_tops") / sheet.numbers("bf16_tflops")
    wrong = ((ratio / usual - 1).abs() > off) & (ratio > lacking) & sheet.frame["chip_id"].isna()
    yield from sheet.flagged(wrong, "bf16_tflops", "half of int8_tops, or 'checked:' in notes")


@check("models")
def counted_weights(sheet: Sheet) -> Iterator[Problem]:
    """Models whose published weights are not those of their shape."""
    published = sheet.numbers("params_b")
    shapes = (models.build(row) for row in sheet.frame.to_dict("records"))
    counted = [float(derived_params(shape)) / 1e9 for shape in shapes]
    most = sheet.frame["params_basis"].map(MOST_OFF)
    wrong = (pd.Series(counted, index=published.index) / published - 1).abs() > most
    yield from sheet.flagged(wrong, "params_b", "about the weights that its shape has")


@check("gpu_clusters")
def clusters(sheet: Sheet) -> Iterator[Problem]:
    """Clusters whose power does not go with their number of chips."""
    count = sheet.numbers("chips")
    kind = sheet.frame["chip_id"].fillna(sheet.frame["chip"])
    power = sheet.numbers("power_mw") * 1e3 / count
    wrong = (power < CHIP_KW[0]) | (power > CHIP_KW[1]) | _odd(power, kind)
    yield from sheet.flagged(wrong, "power_mw", "the power that so many of its chip need")


def _odd(value: pd.Series, kind: pd.Series) -> pd.Series:
    """Which values are far from the median of their kind."""
    by_kind = value.groupby(kind)
    ratio = value / by_kind.transform("median")
    far = (ratio > CLUSTER_FACTOR) | (ratio < 1 / CLUSTER_FACTOR)
    return far & (by_kind.transform("count") >= FEW)


@check("chips")
def formats(chips: Sheet) -> Iterator[Problem]:
    """Peaks of two formats that run on the same units, and differ otherwise than such do."""
    for column, other, usual in FORMATS:
        ratio = chips.numbers(column) / chips.numbers(other)
        near = np.min([(ratio / each - 1).abs() for each in usual], axis=0) <= SAME
        wrong = (ratio > SAME_UNITS[0]) & (ratio < SAME_UNITS[1]) & ~near
        expected = f"{' or '.join(f'{each:g}' for each in usual)} times {other}"
        yield from chips.flagged(wrong, column, expected)
