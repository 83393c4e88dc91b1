"""Plausible slips in single cells of the data, drawn at random: how many does `moat check` say?

    python -m benchmarks.slips --seed 7 --count 30

A row a slip; exit status 1 when fewer than `LEAST` of 30 are caught.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


COPY = "copied under a new number"
"""In place of a column: the whole row once more."""

KINDS: dict[str, tuple[tuple[str, str, Callable[..., Any]], ...]] = {
    "another chip's figure": tuple(
        ("chips", column, another)
        for column in ("sram_mb", "hbm_gb", "hbm_tb_per_s", "bf16_tflops", "fp8_tflops", "tdp_w")
    ),
    "a source gone": tuple(("chips", c, gone) for c in plausible_rows.CHIP_SOURCES),
    "a date ahead": (
        ("chips", "announced", years(8)),
        ("chips", "available", years(6)),
        ("models", "released", years(9)),
        ("startup_events", "date", years(7)),
    ),
    "a date long ago": tuple(
        (table, "date", years(-12)) for table in ("market_splits", "tokens_served", "training_runs")
    ),
    "a price": (
        ("prices", "value", times(10)),
        ("prices", "value", times(0.1)),
        ("chips", "price_usd", times(10)),
        ("chips", "cloud_usd_per_h", times(10)),
    ),
    "training FLOP": (
        ("training_runs", "training_flop", times(0.1)),
        ("training_runs", "training_tokens_b", times(10)),
        ("runs_non_nvidia", "training_flop", times(10)),
    ),
    "a serving rate": (
        ("serving_measurements", "value", times(0.1)),
        ("serving_measurements", "value", times(10)),
    ),
    "a training rate": (
        ("training_measurements", "value", times(0.1)),
        ("training_measurements", "value", times(10)),
    ),
    "a memory": (
        ("memory_measurements", "value", swapped),
        ("memory_measurements", "value", times(10)),
    ),
    "a collective": (
        ("collective_measurements", "time_us", times(0.1)),
        ("collective_measurements", "busbw_gb_per_s", swapped),
    ),
    "a copied row": tuple(
        (table, COPY, gone)
        for table in ("memory_measurements", "collective_measurements", "serving_measurements")
    ),
    "a reading flipped": (
        ("low_precision_runs", "bearing", another),
        ("startup_events", "direction", another),
        ("history_events", "direction", another),
        ("switching_cases", "bearing", another),
    ),
    "an address gone": (("sources", "url", gone),),
    "tokens or money": (
        ("tokens_served", "tokens_per_day", times(10)),
        ("accelerator_spend", "value", times(10)),
        ("lab_ledgers", "value", times(0.1)),
        ("chip_counts", "units_median", times(10)),
    ),
}  # fmt: skip
"""What people get wrong: tables and columns, and how."""


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


def drawn(dice: random.Random, found: dict[str, files.Inspection]) -> tuple[Slip, files.Inspection]:
    """A slip and its table with it."""
    kind = dice.choice(sorted(KINDS))
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
    now = change(dice, frame[column], row)
    if now is None or str(now) == str(was):
        return drawn(dice, found)
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
    book = {**found, slip.table: edited}
    problems = edited.problems or checking._row_problems(slip.table, edited, checking._keys(book))
    problems = problems or plausibility.problems(book)
    return str(problems[0]) if problems else ""


def main() -> int:
    """Print a row a slip and the count; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=30)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    found = {name: files.inspect(name) for name in descriptor.table_names()}
    caught = 0
    for _ in range(options.count):
        slip, edited = drawn(dice, found)
        problem = said(slip, found, edited)
        caught += bool(problem)
        print(f"{'caught' if problem else 'PASSED'}  {slip}", flush=True)
    print(f"{caught} of {options.count} caught")
    return int(caught < LEAST * options.count)


if __name__ == "__main__":
    sys.exit(main())
