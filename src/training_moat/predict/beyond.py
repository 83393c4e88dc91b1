"""What an answer says of a question that no machine could be asked: more memory than there is, more chips than one system
has."""

from __future__ import annotations

from training_moat.core.machine import Chip
from training_moat.core.tiers import system_limit

_MOST_DECIMALS = 9


def apart(more: float, less: float) -> tuple[str, str]:
    """Two numbers with one decimal, or with as many as it takes to tell them apart: 0.24 of 0.23, not 0.2 of 0.2."""
    decimals = range(1, _MOST_DECIMALS + 1)
    pairs = ((f"{more:.{count}f}", f"{less:.{count}f}") for count in decimals)
    return next(pair for pair in pairs if pair[0] != pair[1] or len(pair[0]) > _MOST_DECIMALS)


def of_system(chip: Chip, count: float) -> list[str]:
    """Of more chips than any system of this kind joins: a sentence, or none."""
    return [more_than_known(chip, count)] if count > system_limit(chip) else []


def more_than_known(chip: Chip, count: float) -> str:
    """That no system joins so many chips."""
    most = f"no system of more than {system_limit(chip):,.0f} {chip.id} is known"
    return f"{most}; {count:,.0f} were asked for"
