"""moat params"""

from __future__ import annotations

import argparse

from training_moat.press import fillers, notebooks


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat params memory"
    parser.add_argument("chapter", metavar="CHAPTER", nargs="?", help="default: all chapters")


def run(options: argparse.Namespace) -> None:
    """Print one block per chapter and two lines per parameter."""
    if options.chapter:
        notebooks.chapter_file(options.chapter)
    for chapter in [options.chapter] if options.chapter else notebooks.chapter_names():
        rows = fillers.parameter_rows(chapter)
        print(f"{chapter}" if rows else f"{chapter} (no parameters)")
        for row in rows:
            unit = f" {row['unit']}" if row["unit"] else ""
            print(f"  {row['name']} = {row['default']}{unit}  [{row['type']}: {row['allowed']}]")
            print(f"      {row['meaning']}")
