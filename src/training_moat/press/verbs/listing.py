"""Printing a table of the catalog, for `moat chips` and `moat models`."""

from __future__ import annotations

import argparse

from training_moat.catalog import scenario, tables
from training_moat.core.errors import InputError
from training_moat.core.numbers import is_number

MAKER = {"chips": "vendor", "models": "organisation"}
COLUMNS = {
    "chips": "id vendor name announced fp16_tflops bf16_tflops fp8_tflops hbm_gb hbm_tb_per_s sram_mb supports_training",
    "models": "id name organisation released layers hidden experts params_b active_params_b",
}
"""Columns of each table that are printed."""


def listed(options: argparse.Namespace, table: str) -> None:
    """Print the rows whose id, name or maker contains the pattern, the scenario's included, one a line; a blank cell is
    unknown. Raises InputError when none does."""
    with scenario.laid_over(options.scenario):
        frame = tables.load(table)
    columns = COLUMNS[table].split()
    text = frame[["id", MAKER[table], "name"]].astype(str).agg(" ".join, axis=1).str.lower()
    # Not by pandas, whose strings refuse what a terminal sends of another encoding.
    found = frame[[options.pattern.lower() in row for row in text]]
    if found.empty:
        said = f"nothing in the table contains '{options.pattern}'"
        raise InputError(f"{said}; leave the pattern out to see all {len(frame)}.")
    cells = found[columns].astype(object).where(found[columns].notna(), "").map(_shown)
    rows = [columns, *cells.itertuples(index=False, name=None)]
    width = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(room) for cell, room in zip(row, width)).rstrip())


def _shown(value: object) -> str:
    return f"{value:,.6g}" if is_number(value) else str(value)
