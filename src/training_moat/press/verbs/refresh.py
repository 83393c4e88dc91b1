"""moat refresh"""

from __future__ import annotations

import argparse

from training_moat.press import refreshing


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat refresh memory"
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="default: all chapters")


def run(options: argparse.Namespace) -> None:
    """Re-execute, store, and say what changed."""
    for line in refreshing.refresh(options.chapters):
        print(line)
