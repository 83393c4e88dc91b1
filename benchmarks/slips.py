"""Plausible slips in single cells of the data, drawn at random: how many does `moat check` say?

    python -m benchmarks.slips --seed 7            one of each of the thirty-six kinds
    python -m benchmarks.slips --seed 7 --each 20  twenty of each, and how many of a kind are caught

A row a slip; exit status 1 when fewer than `LEAST` of 30 are caught.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from training_moat.catalog import checking, descriptor, files, plausibility, plausible_rows, schemas

LEAST = 26 / 30
"""Least share of slips that is to be caught."""


def times(factor: float) -> Callable[..., Any]:
    """A number with its point in the wrong place."""
    return lambda dice, column, row: column.iloc[row] * factor


def another(dice: random.Random, column: pd.Series, row: int) -> Any:
    """The value of another row."""
    values = [value for value in column.dropna() if value != column.iloc[row]]
    return dice.choice(values) if values else None


def swapped(dice: random.Random, column: pd.Series, row: int) -> Any:
    """A number with two neighbouring digits swapped."""
    text = f"{column.iloc[row]:.6g}"
    pairs = [
        i for i in range(len(text) - 1) if text[i] != text[i + 1] and (text[i : i + 2]).isdigit()
    ]
    if not pairs:
        return None
    i = dice.choice(pairs)
    return float(text[:i] + text[i + 1] + text[i] + text[i + 2 :])


def years(shift: int) -> Callable[..., Any]:
    """A date some years off."""
    return lambda dice, column, row: (
        f"{int(str(column.iloc[row])[:4]) + shift}{str(column.iloc[row])[4:]}"
    )


def gone(*_: Any) -> Any:
    """An empty cell."""
    return pd.NA


def turned(dice: random.Random, column: pd.Series, row: int) -> Any:
    """A number with the other sign."""
    return -column.iloc[row] if column.iloc[row] else None


def rest(dice: random.Random, column: pd.Series, row: int) -> Any:
    """What a share leaves of the whole, in place of it."""
    return 1 - column.iloc[row]


@dataclass(frozen=True)
class Beside:
    """The figure of another column of the same row."""

    name: str


CHANGE: TypeAlias = "Callable[..., Any] | Beside"


LARGE = 400
"""Rows of a table that is left out of the check of a slip in another one, which asks nothing of it."""

ASKED_BY_ALL = ("chips", "models", "sources")
"""Tables that the others are held against."""

HELD_AGAINST = {
    "training_priors": "calibration_training",
    "training_networks": "training_measurements",
    "training_dispatchers": "training_measurements",
    "training_graphs": "training_measurements",
}
"""The large table that a smaller one is held against."""

COPY = "copied under a new number"
"""In place of a column: the whole row once more."""

MEASURED = ("training_measurements", "serving_measurements", "memory_measurements")


def over(
    columns: dict[str, tuple[str, ...]], *changes: CHANGE
) -> tuple[tuple[str, str, CHANGE], ...]:
    """Each change of each column of some tables."""
    return tuple(
        (table, column, change)
        for table, names in columns.items()
        for column in names
        for change in changes
    )


KINDS: dict[str, tuple[tuple[str, str, CHANGE], ...]] = {
    "another chip's figure": over({"chips": (
        "sram_mb", "hbm_gb", "hbm_tb_per_s", "bf16_tflops", "fp8_tflops", "tdp_w",
    )}, another),
    "a source gone": over({"chips": plausible_rows.NEEDED_SOURCES}, gone),
    "another's source": over({name: ("source",) for name in (
        *MEASURED, "collective_measurements", "prices", "chips", "models", "startup_events",
    )}, another),
    "a date ahead": (
        ("chips", "announced", years(8)), ("chips", "available", years(6)), ("models", "released", years(9)),
        ("startup_events", "date", years(7)),
    ),
    "a date long ago": over(
        {name: ("date",) for name in ("market_splits", "tokens_served", "training_runs")}, years(-12)
    ),
    "a wrong year": over({
        "chips": ("announced", "available"), "models": ("released",), "training_runs": ("date",),
        "hardware_history": ("released",), "tokens_served": ("date",),
    }, years(-3), years(3)),
    "a price": (
        *over({"prices": ("value",)}, times(10), times(0.1)),
        *over({"chips": ("price_usd", "cloud_usd_per_h")}, times(10)),
    ),
    "training FLOP": (
        ("training_runs", "training_flop", times(0.1)), ("training_runs", "training_tokens_b", times(10)),
        ("runs_non_nvidia", "training_flop", times(10)),
    ),
    "a run's size": over({"training_runs": ("chips", "chip_hours", "training_hours", "params_b")}, times(10), times(0.1)),
    "a serving rate": over({"serving_measurements": ("value",)}, times(0.1), times(10)),
    "a training rate": over({"training_measurements": ("value",)}, times(0.1), times(10)),
    "a memory": over({"memory_measurements": ("value",)}, swapped, times(10)),
    "a collective": (
        ("collective_measurements", "time_us", times(0.1)), ("collective_measurements", "busbw_gb_per_s", swapped),
    ),
    "a copied row": over({name: (COPY,) for name in (
        "memory_measurements", "collective_measurements", "serving_measurements",
    )}, gone),
    "a reading flipped": over({
        "low_precision_runs": ("bearing",), "startup_events": ("direction",), "history_events": ("direction",),
        "switching_cases": ("bearing",),
    }, another),
    "an address gone": over({"sources": ("url",)}, gone),
    "tokens or money": (
        ("tokens_served", "tokens_per_day", times(10)), ("accelerator_spend", "value", times(10)),
        ("lab_ledgers", "value", times(0.1)), ("chip_counts", "units_median", times(10)),
    ),
    "a thousand times": over({
        "chips": ("hbm_tb_per_s", "sram_mb", "tdp_w"), "models": ("params_b",), "prices": ("value",),
        "training_measurements": ("value",), "gpu_clusters": ("power_mw",), "serving_measurements": ("value",),
    }, times(1000), times(0.001)),
    "GiB for GB": over({
        "memory_measurements": ("value_gb",), "chips": ("hbm_gb",), "hardware_history": ("memory_gb",),
    }, times(2**30 / 1e9), times(1e9 / 2**30)),
    "both directions for one": over({
        "chips": ("scaleup_gb_per_s_per_direction",), "hardware_history": ("intranode_gb_per_s_both_directions",),
    }, times(2), times(0.5)),
    "sparse for dense": over({
        "chips": ("bf16_tflops", "fp16_tflops", "fp8_tflops", "int8_tops"),
        "hardware_history": ("bf16_tflops", "fp8_tflops"),
    }, times(2), times(0.5)),
    "bits for bytes": over({
        "chips": ("scaleout_gbit_per_s_per_chip", "scaleup_gb_per_s_per_direction"),
        "hardware_history": ("internode_gbit_per_s",),
    }, times(8), times(0.125)),
    "the column beside": (
        ("models", "hidden", Beside("ffn")), ("models", "heads", Beside("layers")), ("models", "active_params_b", Beside("layers")),
        ("training_runs", "params_b", Beside("training_tokens_b")), ("chips", "hbm_gb", Beside("tdp_w")),
        ("collective_measurements", "algbw_gb_per_s", Beside("n_ranks")),
        ("memory_measurements", "n_chips", Beside("params_b")), ("number_formats", "exponent_bits", Beside("mantissa_bits")),
    ),
    "a sign": over({
        "lab_ledgers": ("value",), "accelerator_spend": ("value",), "experiment_low_precision": ("val_loss_nats",),
        "prices": ("value",), "number_formats": ("exponent_bias",), "chips": ("tdp_w",),
    }, turned),
    "a point moved": over({
        "chips": ("hbm_gb", "tdp_w", "bf16_tflops", "hbm_tb_per_s"), "models": ("params_b", "active_params_b"),
        "gpu_clusters": ("chips", "power_mw"), "memory_bandwidth_measured": ("gb_per_s",),
    }, times(10), times(0.1)),
    "digits of a shape": over({"models": ("layers", "hidden", "ffn", "vocab", "experts")}, swapped),
    "another chip measured": over({name: ("chip_id",) for name in (*MEASURED, "collective_measurements", "prices", "training_runs")}, another),
    "another model measured": over({name: ("model_id",) for name in MEASURED}, another),
    "another format": over({"training_measurements": ("format",), "serving_measurements": ("format",)}, another),
    "an expectation": over({name: ("expected",) for name in ("training_priors", "serving_priors")}, times(10), times(0.1)),
    "a fitted constant": over({"calibration_training": ("value",)}, times(10), times(0.1)),
    "a stored prediction": (
        *over({"training_blind": ("predicted_s",)}, times(10), times(0.1)),
        *over({"training_left_out": ("without_source_s", "without_chip_s")}, times(10), times(0.1)),
    ),
    "a product's rate": over({"matmul_maxima": ("tflops",)}, times(10), times(0.1), times(0.5), swapped),
    "what stands around chips": over({
        "host_links": ("gb_per_s_per_direction",), "training_networks": ("gbit_per_s",), "memory_tiers": ("gb", "gb_per_s"),
    }, times(10), times(0.1), times(8)),
    "whose exchange or graphs": over({
        "training_dispatchers": ("training_source", "models"), "training_graphs": ("training_source", "models"),
    }, another),
    "a share": over({
        "market_splits": ("inference_share", "training_share"), "mlperf_submissions": ("entry_share", "system_share"),
    }, rest, times(0.1)),
}  # fmt: skip
"""What people get wrong, thirty-six kinds: tables and columns, and how."""


@dataclass(frozen=True)
class Slip:
    """One edit: where, what stood there, what stands there now."""

    kind: str
    table: str
    key: str
    column: str
    was: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.kind}: {self.table} {self.key}, {self.column}: {self.was} -> {self.now}"


def drawn(
    dice: random.Random, found: dict[str, files.Inspection], kind: str
) -> tuple[Slip, files.Inspection]:
    """A slip of a kind and its table with it."""
    table, column, change = dice.choice(KINDS[kind])
    inspection = found[table]
    frame = inspection.frame
    if column == COPY:
        row = dice.randrange(len(frame))
        again = frame.iloc[[row]].assign(**{frame.columns[0]: "X99999"})
        frame = pd.concat([frame, again], ignore_index=True)
        edited = files.Inspection(frame, [*inspection.lines, inspection.lines[-1] + 1], [])
        return Slip(kind, table, str(frame.iloc[row, 0]), COPY, "", "X99999"), edited
    row = dice.choice(list(frame[column].notna().to_numpy().nonzero()[0]))
    was = frame[column].iloc[row]
    beside = isinstance(change, Beside)
    now = frame[change.name].iloc[row] if beside else change(dice, frame[column], row)
    if now is None or (beside and pd.isna(now)) or str(now) == str(was):
        return drawn(dice, found, kind)
    edited = _read_again(table, inspection, row, column, now)
    return Slip(kind, table, str(frame.iloc[row, 0]), column, was, now), edited


def _read_again(
    table: str, inspection: files.Inspection, row: int, column: str, now: Any
) -> files.Inspection:
    """The table with one cell changed, that row read as `moat check` would read it."""
    changed = inspection.frame.iloc[[row]].astype(object)
    changed[column] = now
    cells = changed.map(lambda value: None if pd.isna(value) else _as_text(value))
    line = inspection.lines[row]
    typed, problems = schemas.parse(table, cells, f"data/{table}.csv", [line])
    frame = inspection.frame.copy()
    if not problems:
        frame[column] = frame[column].astype(float if isinstance(now, float) else object)
        frame.iloc[row, frame.columns.get_loc(column)] = typed[column].iloc[0]
    return files.Inspection(frame, inspection.lines, problems)


def _as_text(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def said(slip: Slip, found: dict[str, files.Inspection], edited: files.Inspection) -> str:
    """The first problem that the check has with a slip; empty where it has none."""
    large = {name for name, one in found.items() if len(one.frame) > LARGE} - {
        slip.table,
        HELD_AGAINST.get(slip.table),
        *ASKED_BY_ALL,
    }
    kept = found.keys() - (set() if slip.table in ASKED_BY_ALL else large)
    book = {name: edited if name == slip.table else found[name] for name in kept}
    problems = edited.problems or files.key_problems(slip.table, edited, checking._keys(book))
    problems = problems or plausibility.problems(book)
    return str(problems[0]) if problems else ""


def main() -> int:
    """Print a row a slip and the count; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=1, help="slips of each kind")
    options = parser.parse_args()
    dice = random.Random(options.seed)
    found = {name: files.inspect(name) for name in descriptor.table_names()}
    caught: Counter[str] = Counter()
    for kind in KINDS:
        for _ in range(options.each):
            slip, edited = drawn(dice, found, kind)
            problem = said(slip, found, edited)
            caught[kind] += bool(problem)
            print(f"{'caught' if problem else 'PASSED'}  {slip}", flush=True)
    if options.each > 1:
        for kind in KINDS:
            print(f"{caught[kind]:4} of {options.each}  {kind}")
    total = options.each * len(KINDS)
    print(f"{caught.total()} of {total} caught")
    return int(caught.total() < LEAST * total)


if __name__ == "__main__":
    sys.exit(main())
