"""moat build"""

from __future__ import annotations

import argparse

from training_moat.press import building


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat build -p chips=sn40l --out mine/site"
    parser.add_argument(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="for every chapter that has it; CHAPTER.NAME=VALUE for one",
    )
    parser.add_argument("--scenario", metavar="FILE", help="YAML with chips, models and parameters")
    parser.add_argument("--out", metavar="DIR", help="where the site goes (default: _build/html)")


def run(options: argparse.Namespace) -> None:
    """Build and print the address of the first page."""
    print(building.build(options.parameter, options.scenario, options.out).as_uri())
