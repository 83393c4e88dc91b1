"""The option `--scenario` of verbs that only look at the tables: the file's chips and models laid over them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training_moat.catalog import scenario


@contextmanager
def laid_over(options: argparse.Namespace) -> Iterator[None]:
    """See the scenario's chips and models while the block runs. Raises InputError for a bad file."""
    if options.scenario is None:
        yield
        return
    from training_moat.press.scenarios import Request, overlaid  # reads notebooks, which costs

    scenario.load(options.scenario)
    with overlaid(Request(scenario=Path(options.scenario))):
        yield
