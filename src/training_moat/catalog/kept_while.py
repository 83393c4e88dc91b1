"""Results kept for as long as what they were made from is as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar, TypeVarTuple

_Given = TypeVarTuple("_Given")
_Found = TypeVar("_Found")


def changed(path: str | Path | None) -> int:
    """Time of a file's last change in ns; 0 where there is none."""
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


def kept_while(
    state: Callable[..., Hashable], size: int = 8
) -> Callable[[Callable[[*_Given], _Found]], Callable[[*_Given], _Found]]:
    """Decorator: keep the last `size` results of a function, each for as long as the `state` of what it was given stays the
    same (of a file: `changed`). Whoever asks gets the same object, not to be changed; `kept` of the function counts them."""

    def decorated(function: Callable[[*_Given], _Found]) -> Callable[[*_Given], _Found]:
        @lru_cache(maxsize=size)
        def under(_: Hashable, *given: *_Given) -> _Found:
            return function(*given)

        @wraps(function)
        def asked(*given: *_Given) -> _Found:
            return under(state(*given), *given)

        asked.kept = under  # type: ignore[attr-defined]
        return asked

    return decorated
