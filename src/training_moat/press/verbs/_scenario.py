"""The option `--scenario` of verbs that only look at the tables: the file's chips and models laid over them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training_moat.catalog import scenario


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument("--scenario", metavar="FILE", help="YAML with chips and models of your own")


def add_parameters(parser: argparse.ArgumentParser, where: str, out: str) -> None:
    """Declare the options of verbs that run chapters: their parameters (`where` to read of them), scenario and target."""
    parser.add_argument(
        "-p", "--parameter", metavar="NAME=VALUE", action="append", default=[], help=where
    )
    parser.add_argument("--scenario", metavar="FILE", help="YAML with chips, models and parameters")
    parser.add_argument("--out", metavar="DIR", help=out)


@contextmanager
def laid_over(options: argparse.Namespace) -> Iterator[None]:
    """See the scenario's chips and models while the block runs. Raises InputError for a bad file."""
    if options.scenario is None:
        yield
        return
    from training_moat.press.scenarios import Request, overlaid  # reads notebooks, which costs

    scenario.load(options.scenario)
    with overlaid(Request(scenario=Path(options.scenario))):
        yield
