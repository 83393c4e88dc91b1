"""What the numbers are that chapters record with their sentences, in words for pages that set two runs side by side:
`chapters/recorded.yml` has them."""

from __future__ import annotations

from functools import lru_cache

from training_moat.catalog import yaml_files
from training_moat.press.folders import CHAPTERS

ANSWER = "answer"
"""Name under which a chapter's first sentence is recorded."""

FILE = CHAPTERS / "recorded.yml"


@lru_cache(maxsize=1)
def meanings() -> dict[str, str]:
    """What each recorded number is; none where a book tells nothing of them."""
    return yaml_files.read(FILE, [ANSWER]).content if FILE.is_file() else {}


def words(name: str) -> str:
    """What a recorded number is; its name, spaced, where a reader's own chapter recorded it."""
    return meanings().get(name, name.replace("_", " "))
