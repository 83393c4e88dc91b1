"""How many processes a call may ask for."""

from __future__ import annotations

import os

from training_moat.core.errors import InputError

MOST_A_CORE = 8
"""Processes on a core beyond which starting them is all that a machine does."""


def require(count: int | None) -> None:
    """Refuse a number of processes that does no work, or does nothing but start them."""
    most = MOST_A_CORE * (os.cpu_count() or 1)
    if count is not None and count < 1:
        raise InputError(f"--workers {count}: expected a whole number above 0.")
    if count is not None and count > most:
        share = f"{MOST_A_CORE} on each core of this machine"
        raise InputError(f"--workers {count}: expected at most {most}, {share}.")
