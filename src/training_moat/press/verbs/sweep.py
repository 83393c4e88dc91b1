"""moat sweep"""

from __future__ import annotations

import argparse
import sys

from training_moat.press import sweeping


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat sweep sweeps/chips-and-clusters.yaml --out plans.parquet"
    parser.add_argument("spec", metavar="SPEC.yaml", help="grids, lists and distributions")
    parser.add_argument("--out", metavar="FILE.parquet", required=True, help="the table to write")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")
    parser.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="a running Dask cluster")
    parser.add_argument("--notebooks", metavar="DIR", help="keep a chapter's executed notebooks")


def run(options: argparse.Namespace) -> None:
    """Run what is missing and print the table's path."""
    done = sweeping.run(
        options.spec, options.out, options.workers, options.scheduler, options.notebooks
    )
    print(
        f"{done.points:,} points, {done.computed:,} computed now, {done.failed:,} failed",
        file=sys.stderr,
    )
    print(done.path)
