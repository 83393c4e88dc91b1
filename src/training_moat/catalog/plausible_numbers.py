"""Numbers that contradict each other: identities between columns, and the same figure from a second place."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from training_moat.catalog.plausible_bounds import PEAKS
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, times_off

FLOP_FACTOR = 2
"""Most by which training FLOP may differ from 6 x parameters x tokens without a word on it."""

SAME = 0.02
"""Most by which two statements of one figure may differ (rounding)."""

NEAR = 0.12
"""Most by which a peak or a memory may differ from its units times their rate or size."""

ROUNDED = 0.06
"""Most by which a rate may differ from the words it was computed from."""

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
    active = sheet["active_params_b"].fillna(sheet["params_b"])
    counted = 6 * active * sheet["training_tokens_b"] * 1e18
    ratio = sheet["training_flop"] / counted
    said = pd.to_numeric(sheet.notes().str.extract(_FLOP_SAID)[0], errors="coerce")
    off = said.notna() & ((ratio / said - 1).abs() > SAME)
    far = said.isna() & times_off(ratio, FLOP_FACTOR)
    for position in (off | far).to_numpy().nonzero()[0]:
        expected = (
            f"6 x parameters x tokens = {counted.iloc[position]:.3g}, "
            f"or 'FLOP is {ratio.iloc[position]:.4g} x 6 x parameters x tokens' in notes"
        )
        yield sheet.problem(position, "training_flop", expected)


@check("serving_measurements")
def serving_rates(sheet: Sheet) -> Iterator[Problem]:
    """Latency and throughput of one set-up that its batch and lengths contradict."""
    rows = sheet.numbered()
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
    expected = "the tokens of its batch over the latency of the same set-up"
    yield from sheet.at(pair["position"][wrong & batch.notna()], "value", expected)


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
                (name for name in PEAKS[row.format] if chips[name].notna().iloc[position]),
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
    value = sheet[column].iloc[position]
    if not pd.isna(value) and abs(value / second - 1) > NEAR:
        yield sheet.problem(position, column, f"about {second:.4g}, from {how} in chip_units.csv")


def _largest_gb(chips: Sheet) -> pd.Series:
    """Stacked memory of each chip, GB; that on the chip where it has no other."""
    stacks = chips["hbm_gb"].where(chips["hbm_gb"] > 0)
    alone = (chips["sram_mb"] / 1e3).where(chips["ddr_gb"].fillna(0) == 0)
    return stacks.fillna(alone)


@check("chips", "hardware_history")
def second_places(chips: Sheet, history: Sheet) -> Iterator[Problem]:
    """Figures of a chip that hardware_history.csv has otherwise, unless the chip's notes say so."""
    place = history.of_chip(chips, pd.Series(range(len(chips.frame))))
    largest = {"hbm_gb": _largest_gb(chips)}
    noted = chips.notes().str.extract(r"(Epoch AI:.*)")[0].fillna("")
    for theirs, ours, factor in SECOND_PLACES:
        told = history[theirs] / factor
        mine = history.of_chip(chips, largest.get(ours, chips[ours]))
        off = (mine > 0) & ((mine / told - 1).abs() > SAME)
        for position, value in zip(place[off].astype(int), told[off]):
            if f"{value * factor:g}" in _WORD.findall(noted.iloc[position]):  # as it stands there
                continue
            expected = (
                f"{value:g}, as in hardware_history.csv, or that figure after 'Epoch AI:' in notes"
            )
            yield chips.problem(position, ours, expected)


@check("matmul_maxima")
def measured_dies(sheet: Sheet) -> Iterator[Problem]:
    """Measured matmul rates whose chip is no whole number of what was measured."""
    dies = sheet["tflops_per_chip"] / sheet["tflops"]
    wrong = (dies / dies.round() - 1).abs() > ROUNDED
    wrong |= (dies > 1.5) & (sheet.frame["measured_on"] == "chip")
    yield from sheet.refused(wrong, "tflops", "the rate a chip over the dies measured")
