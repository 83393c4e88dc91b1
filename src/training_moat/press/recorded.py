"""What the numbers are that chapters record with their sentences, in words for pages that set two runs side by side:
`chapters/recorded.yml` has them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from training_moat.catalog import yaml_files
from training_moat.core.numbers import is_number
from training_moat.inquiry.wording import amount
from training_moat.press.folders import CHAPTERS

ANSWER = "answer"
"""Name under which a chapter's first sentence is recorded."""

FILE = CHAPTERS / "recorded.yml"

SHARE = " (share)"
"""With which the meaning of a share ends."""


@lru_cache(maxsize=1)
def meanings() -> dict[str, str]:
    """What each recorded number is; none where a book tells nothing of them."""
    return yaml_files.read(FILE, [ANSWER]).content if FILE.is_file() else {}


def words(name: str) -> str:
    """What a recorded number is; its name, spaced, where a reader's own chapter recorded it."""
    return meanings().get(name, name.replace("_", " ")).removesuffix(SHARE)


def sides(name: str, first: Any, second: Any) -> tuple[str, str]:
    """Two values of what is recorded under a name, in words: a share in per cent with two digits, numbers with three, and
    both with as many more as it takes to tell them apart."""
    if not all(is_number(one) for one in (first, second)):
        return _words(first), _words(second)
    unit = "share" if meanings().get(name, "").endswith(SHARE) else ""
    told = [
        [amount(float(one), unit, n) for one in (first, second)] for n in range(2 if unit else 3, 7)
    ]
    one, other = next((pair for pair in told if pair[0] != pair[1]), told[-1])
    return one, other


def _words(value: Any) -> str:
    return "nothing" if value is None else amount(value) if is_number(value) else str(value)
