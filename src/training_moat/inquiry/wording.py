"""Numbers as words of a sentence: the one place where digits are rounded for reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

SMALLEST_READ = 1e-6
"""Below it nobody counts the noughts of a decimal fraction."""

LIKELY = 2 / 3
"""A chance from which on the book calls something likely, and up to one minus which unlikely; between the two it is too
close to call. Grades, chips behind and moves that should have paid go by the same."""


def digits(value: float | None, significant: int = 2) -> str:
    """A number with that many significant digits, without an exponent: 1234.5 is "1,200", 3.98 is "4.0".

    A number that is whole, or short, by itself stays so: 4 is "4"; one too small to be read so is
    written with a power of ten: "3.8e-7".
    """
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "without limit"
    if 0 < abs(value) < SMALLEST_READ:
        return _power_of_ten(value, significant)
    rounded = f"{value:.{significant}g}"
    if not math.isclose(float(rounded), value, rel_tol=1e-9):
        rounded = f"{value:#.{significant}g}"
    return f"{Decimal(rounded):,f}"


def _power_of_ten(value: float, significant: int) -> str:
    mantissa, power = f"{value:.{significant - 1}e}".split("e")
    return f"{float(mantissa):g}e{int(power)}"


def in_cells(numbers: Iterable[float]) -> list[str]:
    """Numbers as the cells of a table, blank where there is none."""
    return [digits(one) if one == one else "" for one in numbers]  # NaN is not even itself


def percent(share: float | None) -> str:
    """A share in per cent, two digits: 0.1234 is "12%"; below one per cent one digit more."""
    if share is None or math.isnan(share):
        return "unknown"
    return f"{digits(100 * share)}%"


def whole_percent(share: float | None) -> str:
    """A share in whole per cent, for a cell of a grid: -0.003 is "0%"."""
    return "unknown" if share is None or math.isnan(share) else f"{round(100 * share)}%"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A count with its noun in the right number: "1 chip", "1,024 chips"."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def in_days(number: float) -> str:
    """A time in whole or broken days: "1 day", "2.5 days", "3,650 days"."""
    return "1 day" if number == 1 else f"{number:,g} days"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names in a sentence: "A", "A and B", "A, B and C"; the last one behind the word `last`."""
    *others, final = list(names) or ["none"]
    return f"{', '.join(others)} {last} {final}" if others else final


def either(names: Sequence[str]) -> str:
    """Alternatives in a sentence: "A", "A or B", "A, B or C"."""
    return listed(names, "or")


def amount(value: float | None, unit: str = "", significant: int = 2) -> str:
    """A quantity with its unit, very small and large ones as powers of ten; a `share` in per cent, a
    `rank` before its number, a count whole and its noun in the right number."""
    if value is None or math.isnan(value) or math.isinf(value):
        return digits(value, significant)
    if unit == "share":
        return f"{digits(100 * value, significant)}%"
    if value and not 1e-3 <= abs(value) < 1e7:
        text = _power_of_ten(value, significant)
    else:
        text = digits(value, max(significant, 4) if float(value).is_integer() else significant)
    if value == 1 and unit == "times":
        text = "1.0"  # "1 times" is no English
    elif value == 1 and unit.endswith("s"):
        unit = f"{unit[:-3]}y" if unit.endswith("ies") else unit[:-1]
    return f"rank {text}" if unit == "rank" else f"{text} {unit}".rstrip()


def apart(value: float, limit: float, unit: str = "") -> tuple[str, str]:
    """A quantity and its limit: the limit as it stands, the quantity with as many digits as it takes to
    show on which side of it it lies."""
    told = float(f"{limit:.4g}")
    rounded = {n: float(f"{value:.{n}g}") for n in range(2, 9)}
    apart = (n for n, near in rounded.items() if near != told and (near > told) == (value > limit))
    return amount(value, unit, 2 if value == limit else next(apart, 9)), amount(limit, unit, 4)


def band(low: float | None, high: float | None, unit: str = "") -> str:
    """A range in words: "1.2 to 3.4 times"; blank where there is none or its ends agree, "no number is enough" where both
    are without limit."""
    if low is None or high is None:
        return ""
    if math.isinf(low):
        return "no number is enough"
    if low == high:
        return ""
    first = amount(low, unit)
    if math.isinf(high):
        return f"{first} upwards without limit"
    return f"{first.removesuffix(f' {unit}') if unit else first} to {amount(high, unit)}"


def dollars(musd: float) -> str:
    """A sum given in millions of dollars, in words: "40 million dollars", "1 billion dollars"."""
    size, word = (musd / 1000, "billion") if musd >= 1000 else (musd, "million")
    return f"{size:,.6g} {word} dollars"


def in_brackets(low: float, high: float, kind: str) -> str:
    """A range behind its middle, after a word on what range it is: " (90% of the draws: 1.8 to 21)"; blank where both ends read alike."""
    first, last = digits(low), digits(high)
    return "" if first == last else f" ({kind}{first} to {last})"


def needs(advantage: float, thing: str) -> str:
    """What a buyer needs, in a sentence: "needs 2.5 times the performance", or finds none high enough."""
    endless = math.isnan(advantage) or math.isinf(advantage)
    return (
        f"finds no {thing} high enough"
        if endless
        else f"needs {digits(advantage)} times the {thing}"
    )


def lowered(text: str) -> str:
    """A title inside a sentence: its first letter small, unless it begins an abbreviation or a name."""
    names = ("Nvidia", "Groq", "Cerebras", "SambaNova", "DeepSeek", "OpenAI", "Llama", "Amazon")
    keeps = not text[1:2].islower() or text.startswith(names)
    return text if keeps else text[0].lower() + text[1:]


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
