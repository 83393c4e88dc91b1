"""moat new"""

from __future__ import annotations

import argparse
import shlex
import sys

from training_moat.press import unpacking


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.epilog = "example: moat new my-book && cd my-book && moat build"
    parser.add_argument("folder", metavar="FOLDER", help="a new or an empty folder")


def run(options: argparse.Namespace) -> None:
    """Unpack the book and print where it is."""
    place = unpacking.unpack(options.folder)
    print(place)
    print(
        f"change what you like there, then: cd {shlex.quote(str(place))} && moat build",
        file=sys.stderr,
    )
