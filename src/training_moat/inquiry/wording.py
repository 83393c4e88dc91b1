"""Numbers as words of a sentence: the one place where digits are rounded for reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def digits(value: float, significant: int = 2) -> str:
    """A number with that many significant digits, without an exponent: 1234.5 is "1,200"."""
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "without limit"
    places = max(0, significant - 1 - math.floor(math.log10(abs(value)))) if value else 0
    near = float(f"{value:.{significant}g}")
    return f"{near:,.{places}f}".rstrip("0").rstrip(".") if places else f"{near:,.0f}"


def percent(share: float) -> str:
    """A share in per cent, two digits: 0.1234 is "12%"; below one per cent one digit more."""
    if share is None or math.isnan(share):
        return "unknown"
    return f"{digits(100 * share)}%"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A count with its noun in the right number: "1 chip", "1,024 chips"."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "A", "A and B", "A, B and C"."""
    names = list(names)
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def between(low: float, high: float, say: Callable[[float], str] = percent) -> str:
    """A range in words: "16% to 84%"; one number where both ends read alike."""
    first, last = say(low), say(high)
    return first if first == last else f"{first} to {last}"


def chance(probability: float) -> str:
    """A probability in whole per cent, never a false none or all: "under 1%", "44%", "over 99%"."""
    if probability is None or math.isnan(probability):
        return "unknown"
    if probability < 0.01:
        return "under 1%"
    return "over 99%" if probability > 0.99 else f"{100 * probability:.0f}%"
