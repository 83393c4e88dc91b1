"""moat gallery"""

from __future__ import annotations

import argparse

from training_moat.press import gallery


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat gallery groq-with-hbm"
    parser.add_argument(
        "scenarios", metavar="SCENARIO", nargs="*", help="files of scenarios/ (default: all)"
    )


def run(options: argparse.Namespace) -> None:
    """Run the book under scenarios and keep what differs, for the gallery's pages; says what changed."""
    for line in gallery.store(options.scenarios):
        print(line, flush=True)
