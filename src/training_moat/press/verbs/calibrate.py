"""moat calibrate"""

from __future__ import annotations

import argparse
import sys
from datetime import date

from training_moat.core.errors import InputError


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat calibrate training"
    parser.add_argument(
        "kind",
        metavar="training|serving|collectives",
        nargs="?",
        default="training",
        help="whose constants (default: training)",
    )


def run(options: argparse.Namespace) -> None:
    """Fit one set of constants anew, store its table and print what changed."""
    from training_moat.calibrate import refit

    if options.kind not in refit.KINDS:
        raise InputError(f"calibrate '{options.kind}': expected one of: {', '.join(refit.KINDS)}.")
    sys.stderr.write(
        "fitting, and fitting again without each source, chip and family; this takes minutes\n"
    )
    changed = refit.refit(options.kind, date.today().isoformat())
    print(
        changed.to_string(index=False)
        if len(changed)
        else "nothing changed by more than a thousandth"
    )
