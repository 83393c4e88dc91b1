"""moat run"""

from __future__ import annotations

import argparse

from training_moat.press import forking
from training_moat.press.verbs import _scenario


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat run memory -p chips=sn40l --out mine"
    parser.add_argument("chapter", metavar="CHAPTER")
    _scenario.add_parameters(
        parser, "see `moat params CHAPTER`", "where the notebook and the page go (default: here)"
    )


def run(options: argparse.Namespace) -> None:
    """Run one chapter and print the two files written."""
    with forking.begun(options.chapter):
        from training_moat.press import standalone  # while the other process imports what draws

        made = standalone.run(options.chapter, options.parameter, options.scenario, options.out)
    for path in made:
        print(path)
