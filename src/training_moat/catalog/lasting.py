"""Results that outlast a process: what `tables.kept(..., lasting=True)` found in one run is there for the next.

Whoever has a chapter run names two folders in the environment: where results lie that the same code, tables, scenario
and libraries gave, and where the run leaves what it had to work out. The press moves results from the second to the
first once it knows that no file was written meanwhile (`press.caching`). Without the two, nothing is kept or taken.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from training_moat.catalog import paths, scenario

FOUND = "MOAT_FOUND"
"""Environment variable: folder of results that would be worked out alike now."""
LEFT = "MOAT_LEFT"
"""Environment variable: folder in which this run leaves what it worked out."""
_DIGEST = 32


def recalled(function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """What the function found when it was given that; None where no whole result lies there."""
    folder = os.environ.get(FOUND)
    if not folder:
        return None
    with suppress(OSError):
        content = (Path(folder) / _name(function, given)).read_bytes()
        if hashlib.sha256(content[_DIGEST:]).digest() == content[:_DIGEST]:
            return pickle.loads(content[_DIGEST:])  # noqa: S301 - the build's own file, whole
    return None


def leave(function: Callable[..., Any], given: tuple[Any, ...], found: Any) -> None:
    """Leave a result for the runs to come; where that is not possible they work it out again."""
    folder = os.environ.get(LEFT)
    if not folder:
        return
    content = pickle.dumps(found, pickle.HIGHEST_PROTOCOL)
    with suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        whole = hashlib.sha256(content).digest() + content
        (Path(folder) / _name(function, given)).write_bytes(whole)


def _name(function: Callable[..., Any], given: tuple[Any, ...]) -> str:
    """The file of a result: function, arguments, and which tables and scenario are asked, where a chapter lays over its own."""
    laid_over = scenario.active_path()
    over = b"" if laid_over is None else laid_over.read_bytes()
    asked = f"{function.__module__}.{function.__qualname__}", repr(given), str(paths.data_folder())
    return hashlib.sha256("\0".join(asked).encode() + b"\0" + over).hexdigest()[:40]
