"""What is wrong with the data although every cell is well formed: impossible dates, slips of the pen, copied rows."""

from __future__ import annotations

from training_moat.catalog import (  # they define the checks
    plausible_bounds,
    plausible_fits,
    plausible_machines,
    plausible_numbers,
    plausible_pointers,
    plausible_rates,
    plausible_rows,
    plausible_runs,
    plausible_twice,
    plausible_words,
)
from training_moat.catalog.files import Inspection
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import CHECKS, Book, Sheet


def problems(found: dict[str, Inspection]) -> list[Problem]:
    """Implausible cells and rows of all tables that could be read."""
    book: Book = {
        name: Sheet(name, inspection.frame, inspection.lines)
        for name, inspection in found.items()
        if not inspection.problems
    }
    return [problem for check in CHECKS for problem in check(book)]
