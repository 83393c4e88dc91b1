"""moat check"""

from __future__ import annotations

import argparse
import os

from training_moat.catalog import checking, inventory, paths
from training_moat.core.errors import InputError
from training_moat.press import scenarios
from training_moat.press.failures import WorkFailed


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat check"
    parser.add_argument(
        "--root", metavar="DIR", help="folder with data/ and scenarios/ (default: the book's)"
    )


def run(options: argparse.Namespace) -> None:
    """Print every problem with file, row and column, or how much was found right."""
    if options.root is not None and not os.path.isfile(os.path.join(options.root, paths.MARK)):
        raise InputError(f"--root {options.root}: expected a folder with {paths.MARK.as_posix()}.")
    problems = [str(problem) for problem in checking.run(options.root)]
    if not problems and options.root is None:
        from training_moat import claims

        problems = scenarios.problems() + claims.problems()
    for problem in problems:
        print(problem)
    if problems:
        raise WorkFailed(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in tables and scenarios"
        )
    with paths.at(options.root):
        tables = inventory.overview()
    print(f"{len(tables)} tables with {tables['rows'].sum():,} rows are right")
