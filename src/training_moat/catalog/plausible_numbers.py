"""Numbers that contradict each other: identities between columns, and the same figure from a second place."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog.plausible_bounds import sixteen_bit_peak
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each

FLOP_FACTOR = 2
"""Most by which training FLOP may differ from 6 x parameters x tokens without a word on it."""

USES = (0.08, 0.75)
"""Least and most use of the peak that FLOP over chip hours may come to without a word on it."""

SAME = 0.02
"""Most by which two statements of one figure may differ (rounding)."""

EXACT = 0.001
"""Most by which a figure may differ from what it was computed from."""

NEAR = 0.12
"""Most by which a peak or a memory may differ from its units times their rate or size."""

ROUNDED = 0.06
"""Most by which a rate may differ from the words it was computed from."""

SHARES = (0.01, 0.9)
"""Least and most of its chip's best peak that training reaches."""

MOST_OF_LINK = 1.15
"""Most of its chip's links that a bus bandwidth may reach (sums in the switch count as if moved twice)."""

MOST_OF_PEAK = 1.03
"""Most of its chip's peak that a measurement may reach (clocks above the data sheet's)."""

LEAST_OF_PEAK = 0.25
"""Least of its chip's peak that a large matmul or copy reaches."""

FAMILY = 3
"""Least chips of a family that make its ratio of peaks."""

BYTES = {"GB": 1.0, "MB": 1e-3, "GiB": 2**30 / 1e9, "MiB": 2**20 / 1e9, "TB": 1e3}
"""Units of memory in gigabytes."""

BUS_FACTORS = {
    "all_reduce": lambda ranks: 2 * (ranks - 1) / ranks,
    "all_gather": lambda ranks: (ranks - 1) / ranks,
    "reduce_scatter": lambda ranks: (ranks - 1) / ranks,
    "alltoall": lambda ranks: (ranks - 1) / ranks,
}
"""Bus bandwidth over size per time, by collective (the convention of nccl-tests)."""

PEAKS = {
    "bf16": ("bf16_tflops", "fp16_tflops"),
    "fp16": ("fp16_tflops", "bf16_tflops"),
    "fp8": ("fp8_tflops",),
    "fp4": ("fp4_tflops",),
    "int8": ("int8_tops",),
    "tf32": ("tf32_tflops",),
}
"""Columns of a chip's peak, by format, any of which answers."""

WIDENING = {"fp8": 4, "fp4": 8, "int8": 4}
"""Most by which a chip's peak grows from sixteen bits to a narrower format."""

SECOND_PLACES = (
    ("bf16_tflops", "bf16_tflops", 1),
    ("fp8_tflops", "fp8_tflops", 1),
    ("fp4_tflops", "fp4_tflops", 1),
    ("int8_tops", "int8_tops", 1),
    ("memory_gb", "hbm_gb", 1),
    ("memory_tb_per_s", "hbm_tb_per_s", 1),
    ("tdp_w", "tdp_w", 1),
    ("internode_gbit_per_s", "scaleout_gbit_per_s_per_chip", 1),
    ("intranode_gb_per_s_both_directions", "scaleup_gb_per_s_per_direction", 2),
)
"""Column in hardware_history.csv, column in chips.csv, and the first over the second (links count twice there)."""

_WORD = re.compile(r"[\d.]*\d")
_FLOP_SAID = re.compile(r"FLOP is ([\d.e+-]+) x 6 x parameters x tokens")


@check_each("training_runs", "runs_non_nvidia")
def training_flop(sheet: Sheet) -> Iterator[Problem]:
    """Training FLOP far from 6 x parameters x tokens, unless the notes give that ratio."""
    active = sheet.numbers("active_params_b").fillna(sheet.numbers("params_b"))
    counted = 6 * active * sheet.numbers("training_tokens_b") * 1e18
    ratio = sheet.numbers("training_flop") / counted
    said = pd.to_numeric(sheet.notes().str.extract(_FLOP_SAID)[0], errors="coerce")
    off = said.notna() & ((ratio / said - 1).abs() > SAME)
    far = said.isna() & ((ratio > FLOP_FACTOR) | (ratio < 1 / FLOP_FACTOR))
    for position in (off | far).to_numpy().nonzero()[0]:
        expected = (
            f"6 x parameters x tokens = {counted.iloc[position]:.3g}, "
            f"or 'FLOP is {ratio.iloc[position]:.4g} x 6 x parameters x tokens' in notes"
        )
        yield sheet.problem(position, "training_flop", expected)


@check_each("training_runs", "runs_non_nvidia", beside="chips")
def uses_of_chips(runs: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Runs that used too little or too much of the peak."""
    spent = runs.numbers("chips") * runs.numbers("training_hours")
    peak = runs.frame["chip_id"].map(_peaks(chips, "bf16"))
    hours = runs.numbers("chip_hours").fillna(spent)
    use = runs.numbers("training_flop") / (hours * 3600 * peak * 1e12)
    wrong = (use < USES[0]) | (use > USES[1])
    expected = f"{USES[0]:.0%} to {USES[1]:.0%} of the chip hours at peak, or 'checked:' in notes"
    yield from runs.flagged(wrong, "training_flop", expected)


def bus_factors(sheet: Sheet) -> pd.Series:
    """Bus bandwidth over size per time of each measured collective; NaN where the convention has none."""
    pairs = zip(sheet.frame["collective"], sheet.numbers("n_ranks"), strict=True)
    factors = [
        BUS_FACTORS[kind](ranks) if kind in BUS_FACTORS and ranks else np.nan
        for kind, ranks in pairs
    ]
    return pd.Series(factors, index=sheet.frame.index)


@check("collective_measurements")
def collective_rates(sheet: Sheet) -> Iterator[Problem]:
    """Bus bandwidths that size, time and ranks contradict."""
    size, time = sheet.numbers("msg_bytes"), sheet.numbers("time_us")
    factor = bus_factors(sheet)
    bus, moved = sheet.numbers("busbw_gb_per_s"), size / time / 1e3
    wrong = (bus - moved * factor).abs() > EXACT * bus + 0.01
    yield from sheet.flagged(wrong, "busbw_gb_per_s", "what size, time and ranks give")
    algorithm = sheet.numbers("algbw_gb_per_s")
    wrong = ((algorithm / moved - 1).abs() > ROUNDED) & (algorithm >= 1)
    yield from sheet.flagged(wrong, "algbw_gb_per_s", "the size over the time")


@check("collective_measurements", "chips")
def links(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Bus bandwidths above what the links of the chip carry."""
    carried = chips.numbers("scaleup_gb_per_s_per_direction")
    carried = sheet.frame["chip_id"].map(dict(zip(chips.frame["id"], carried, strict=True)))
    wrong = sheet.numbers("busbw_gb_per_s") > MOST_OF_LINK * carried
    yield from sheet.flagged(wrong, "busbw_gb_per_s", "at most what the chip's links carry")


@check("training_measurements", "chips")
def training_shares(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Training rates above, or far below, the peak of the chip they were measured on."""
    peaks = pd.concat([chips.numbers(columns[0]) for columns in PEAKS.values()], axis=1).max(axis=1)
    peak = sheet.frame["chip_id"].map(dict(zip(chips.frame["id"], peaks, strict=True)))
    value, metric = sheet.numbers("value"), sheet.frame["metric"]
    share = (value / peak).where(metric.str.endswith("tflops_per_gpu"))
    share = share.fillna((value / 100).where(metric.isin(["mfu", "hfu", "pct_peak_hw"])))
    wrong = (share > SHARES[1]) | (share < SHARES[0])
    expected = f"{SHARES[0]:.0%} to {SHARES[1]:.0%} of the chip's peak, or 'checked:' in notes"
    yield from sheet.flagged(wrong, "value", expected)


@check("serving_measurements")
def serving_rates(sheet: Sheet) -> Iterator[Problem]:
    """Latency and throughput of one set-up that its batch and lengths contradict."""
    rows = sheet.frame.assign(position=range(len(sheet.frame)))
    pair = rows[rows["metric"] == "total_throughput_in_plus_out"].merge(
        rows.loc[rows["metric"] == "latency", ["config_id", "value"]],
        on="config_id",
        suffixes=("", "_latency"),
    )
    batch = pd.to_numeric(pair["batch_or_concurrency"], errors="coerce")
    tokens = pd.to_numeric(pair["input_len"], errors="coerce") + pd.to_numeric(
        pair["output_len"], errors="coerce"
    )
    requests = pair["value"] * pair["value_latency"] / tokens
    wrong = ((requests / batch - 1).abs() > SAME) & ((requests - 1).abs() > SAME)
    for position in pair["position"][wrong & batch.notna()]:
        expected = "the tokens of its batch over the latency of the same set-up"
        yield sheet.problem(int(position), "value", expected)


@check("memory_measurements")
def memory_units(sheet: Sheet) -> Iterator[Problem]:
    """Memory in gigabytes that is not the value in its own unit."""
    converted = sheet.numbers("value") * sheet.frame["unit"].map(BYTES)
    wrong = (sheet.numbers("value_gb") / converted - 1).abs() > 1e-3
    yield from sheet.flagged(wrong, "value_gb", "the value in its own unit, converted")


@check("chips", "chip_units")
def chip_units(chips: Sheet, units: Sheet) -> Iterator[Problem]:
    """Peaks and on-chip memories that units times clock, or units times their memory, contradict."""
    place = {key: position for position, key in enumerate(chips.frame["id"])}
    for row in units.frame.itertuples():
        position, count = place.get(row.chip_id), row.units
        if position is None:
            continue
        if not pd.isna(row.flop_per_unit_clock):
            peak = count * row.flop_per_unit_clock * row.clock_mhz * 1e6 / 1e12
            column = next(
                (name for name in PEAKS[row.format] if chips.numbers(name).notna().iloc[position]),
                PEAKS[row.format][0],
            )
            yield from _against(chips, position, column, peak, "units x clock")
        if not pd.isna(row.memory_kib_per_unit):
            memory = count * row.memory_kib_per_unit / 1024
            yield from _against(chips, position, "sram_mb", memory, "units x memory")


def _against(
    sheet: Sheet, position: int, column: str, second: float, how: str
) -> Iterator[Problem]:
    """A problem where a figure is far from a second computation of it."""
    value = sheet.numbers(column).iloc[position]
    if not pd.isna(value) and abs(value / second - 1) > NEAR:
        yield sheet.problem(position, column, f"about {second:.4g}, from {how} in chip_units.csv")


@check("chips", "hardware_history")
def second_places(chips: Sheet, history: Sheet) -> Iterator[Problem]:
    """Figures of a chip that hardware_history.csv has otherwise, unless the chip's notes say so."""
    place = {key: position for position, key in enumerate(chips.frame["id"])}
    noted = chips.notes().str.extract(r"(Epoch AI:.*)")[0].fillna("")
    for theirs, ours, factor in SECOND_PLACES:
        values = history.numbers(theirs)
        for chip_id, value in zip(history.frame["chip_id"], values / factor, strict=True):
            position = place.get(chip_id)
            if position is None or pd.isna(value):
                continue
            if {f"{value:g}", f"{value * factor:g}"} & set(_WORD.findall(noted.iloc[position])):
                continue
            mine = chips.numbers(ours).iloc[position]
            if mine > 0 and abs(mine / value - 1) > SAME:
                expected = f"{value:g}, as in hardware_history.csv, or that figure after 'Epoch AI:' in notes"
                yield chips.problem(position, ours, expected)


@check("chips")
def family_ratios(chips: Sheet) -> Iterator[Problem]:
    """Peaks in eight bits over those in sixteen that differ from what the chip's whole family has."""
    sixteen = sixteen_bit_peak(chips.numbers)
    for column in ("fp8_tflops", "int8_tops"):
        ratio = chips.numbers(column) / sixteen
        wrong = pd.Series(False, index=ratio.index)
        for _, own in ratio.dropna().groupby(chips.frame["family"]):
            if len(own) > FAMILY:
                usual = own.median()
                odd = (own / usual - 1).abs() > SAME
                wrong[own.index] = odd & (len(own) - odd.sum() >= FAMILY) & (odd.sum() == 1)
        yield from chips.flagged(wrong, column, "the family's ratio to the peak in sixteen bits")


@check("matmul_maxima", "chips")
def measured_maxima(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Measured matmul rates above, or far below, what the chip has."""
    dies = sheet.numbers("tflops_per_chip") / sheet.numbers("tflops")
    wrong = (dies / dies.round() - 1).abs() > ROUNDED
    wrong |= (dies > 1.5) & (sheet.frame["measured_on"] == "chip")
    yield from sheet.refused(wrong, "tflops", "the rate a chip over the dies measured")
    for form, rows in sheet.frame.groupby("format"):
        if form not in PEAKS:
            continue
        peak = sheet.frame["chip_id"].map(_peaks(chips, form))
        wide = sheet.frame["chip_id"].map(_peaks(chips, "bf16")) * WIDENING.get(form, 1)
        peak = peak.fillna(wide)
        share = (sheet.numbers("tflops") / peak).where(sheet.frame.index.isin(rows.index))
        yield from _within(sheet, share, "tflops")


@check("memory_bandwidth_measured", "chips")
def measured_bandwidths(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Measured bandwidths above, or far below, what the chip has."""
    card = dict(zip(chips.frame["id"], chips.numbers("ddr_gb_per_s"), strict=True))
    stack = dict(zip(chips.frame["id"], chips.numbers("hbm_tb_per_s") * 1e3, strict=True))
    peak = sheet.frame["chip_id"].map(stack)
    peak = peak.where(peak > 0, sheet.frame["chip_id"].map(card))
    yield from _within(sheet, sheet.numbers("gb_per_s") / peak, "gb_per_s")


def _within(sheet: Sheet, share: pd.Series, column: str) -> Iterator[Problem]:
    wrong = (share > MOST_OF_PEAK) | (share < LEAST_OF_PEAK)
    expected = (
        f"{LEAST_OF_PEAK:.0%} to {MOST_OF_PEAK:.0%} of the chip's peak, or 'checked:' in notes"
    )
    yield from sheet.flagged(wrong, column, expected)


def _peaks(chips: Sheet, form: str) -> dict[str, float]:
    """Peaks of all chips in a format."""
    peak = pd.Series(np.nan, index=chips.frame.index)
    for column in PEAKS[form]:
        peak = peak.fillna(chips.numbers(column))
    return dict(zip(chips.frame["id"], peak, strict=True))
