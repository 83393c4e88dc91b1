"""moat build"""

from __future__ import annotations

import argparse

from training_moat.press import building
from training_moat.press.verbs import _scenario


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat build -p chips=sn40l --out mine/site"
    _scenario.add_parameters(
        parser,
        "for every chapter that has it; CHAPTER.NAME=VALUE for one",
        "where the site goes (default: _build/html)",
    )


def run(options: argparse.Namespace) -> None:
    """Build and print the address of the first page."""
    print(building.build(options.parameter, options.scenario, options.out).as_uri())
