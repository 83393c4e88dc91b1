"""Whether a process may go by an older edition of files than the one that they hold now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import training_moat

_STEP_S = 0.05
"""What the clock that files are dated by may be behind, in seconds: it goes in steps."""


def written_since_begun(files: Iterable[Path]) -> bool:
    """Whether one of these files was written or removed since this process, or the one that it is a fork of, began to import
    the package. What it has imported or read of them may then be older than they are."""
    begun_s = training_moat.BEGUN_S - _STEP_S
    try:
        return any(os.stat(file).st_ctime >= begun_s for file in files)
    except FileNotFoundError:
        return True
