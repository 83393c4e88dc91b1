"""Numbers that somebody gave: what counts as one, and the sentence where it is none."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, TypeGuard

from training_moat.core.errors import InputError


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; yes and no are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A wrong value in a sentence: text in quotes, none as a word."""
    return "none" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def given(
    value: Any,
    where: str,
    whole: bool = False,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
) -> Any:
    """A number, also one written as text, as it is. Raises InputError, which begins with `where`, for anything else, for
    fractions where it has to be `whole`, and outside of `low` to `high`."""
    kind, words = (int, "a whole number") if whole else (float, "a number")
    if isinstance(value, str):
        with suppress(ValueError):
            value = kind(value.replace("_", ""))
    endless = isinstance(value, float) and not math.isfinite(value)
    if not is_number(value) or endless or (whole and not isinstance(value, int)):
        of = f" ({unit})" if unit else ""
        raise InputError(f"{where}: expected {words}{of}, got {shown(value)}.")
    if (low is not None and value < low) or (high is not None and value > high):
        ends = f"{low} upwards" if high is None else f"{low} to {high}"
        raise InputError(f"{where}: {value} is outside its range, {f'{ends} {unit}'.rstrip()}.")
    return value
