"""moat run"""

from __future__ import annotations

import argparse

from training_moat.press import standalone


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat run memory -p chips=sn40l --out mine"
    parser.add_argument("chapter", metavar="CHAPTER")
    parser.add_argument(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="see `moat params CHAPTER`",
    )
    parser.add_argument("--scenario", metavar="FILE", help="YAML with chips, models and parameters")
    parser.add_argument(
        "--out", metavar="DIR", help="where the notebook and the page go (default: here)"
    )


def run(options: argparse.Namespace) -> None:
    """Run one chapter and print the two files written."""
    for path in standalone.run(options.chapter, options.parameter, options.scenario, options.out):
        print(path)
