"""moat models"""

from __future__ import annotations

import argparse

from training_moat.catalog import models
from training_moat.press.verbs import _listing, _scenario

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
    _listing.add_pattern(parser, "moat models llama")
    _scenario.add(parser)


def run(options: argparse.Namespace) -> None:
    """Print the models whose id, name or maker contains the pattern."""
    with _scenario.laid_over(options):
        frame = models.frame()
    _listing.show(
        frame,
        options.pattern,
        ["id", "name", "organisation"],
        [column for column in _COLUMNS if column in frame],
    )
