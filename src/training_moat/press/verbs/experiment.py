"""moat experiment"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from training_moat.core.errors import InputError, unknown
from training_moat.numerics import analysis, experiment

_EXPERIMENTS = ("low-precision",)
_OUT = Path("_build") / "experiment"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat experiment low-precision --quick"
    parser.add_argument("name", metavar="low-precision", help="which experiment")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--quick",
        action="store_true",
        help="the short form (about a minute) that continuous integration checks",
    )
    form.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="run again what this manifest of an earlier run records",
    )
    parser.add_argument(
        "--seeds",
        metavar="N,N,...",
        help="other seeds than the design's: are the verdicts the same?",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: two, or one on a single core)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=_OUT,
        metavar="DIR",
        help=f"folder for table and manifest (default: {_OUT}); an interrupted run continues there",
    )


def run(options: argparse.Namespace) -> None:
    """Run what is missing of the experiment; print each hypothesis with its verdict, then the table's path."""
    if options.name not in _EXPERIMENTS:
        raise unknown("experiment", options.name, _EXPERIMENTS)
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}: expected a whole number above 0.")
    table = experiment.run(
        options.quick, options.out, _seeds(options.seeds), options.workers, options.manifest
    )
    for row in analysis.verdicts(pd.read_csv(table)).itertuples():
        number = (
            ""
            if pd.isna(row.number)
            else f" ({row.number:.3g} against {row.threshold:g} {row.unit})"
        )
        print(f"{row.hypothesis} {row.verdict:12} {row.claim}{number}")
    print(table)


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--seeds {text}: expected whole numbers separated by commas, such as 21,22,23,24."
        ) from None
