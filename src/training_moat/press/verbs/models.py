"""moat models"""

from __future__ import annotations

import argparse

from training_moat.catalog import models
from training_moat.press.verbs import _listing

_COLUMNS = [
    "id",
    "name",
    "organisation",
    "released",
    "layers",
    "hidden",
    "experts",
    "params_b",
    "active_params_b",
]


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _listing.offer(parser, "moat models llama")


def run(options: argparse.Namespace) -> None:
    """Print the models whose id, name or maker contains the pattern."""
    _listing.listed(options, models.frame, "organisation", _COLUMNS)
