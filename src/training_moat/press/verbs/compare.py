"""moat compare"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training_moat.core.errors import InputError
from training_moat.core.whole_files import write_text
from training_moat.press import comparing


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat compare default groq-with-hbm --out compared.html"
    for name in ("first", "second"):
        parser.add_argument(
            name, metavar=name.upper(), help="default, a name in scenarios/, or a YAML file"
        )
    parser.add_argument("--chapters", metavar="A,B", help="only these (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", metavar="FILE.html", help="write a page with the figures, too")


def run(options: argparse.Namespace) -> None:
    """Print what differs."""
    target = Path(options.out) if options.out else None
    if target is not None and (target.suffix != ".html" or target.is_dir()):
        raise InputError(f"--out {target}: expected a file that ends in .html")
    chapters = [name.strip() for name in (options.chapters or "").split(",") if name.strip()]
    found = comparing.compare(options.first, options.second, chapters)
    if target is not None:
        write_text(target, comparing.page(found))
    if options.json:
        print(json.dumps(comparing.record(found), indent=1))
    else:
        print("\n".join(comparing.lines(found)))
