"""The one error a caller's bad input raises, and the search for the name it probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input, said in one sentence: what is wrong, where, and what was expected."""


def nearest(name: str, known: Iterable[str], likeness: float = 0.5) -> str | None:
    """Return the known name most like `name`, ignoring case, or None when none is as like as `likeness` (0 to 1)."""
    by_lower = {item.lower(): item for item in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=likeness)
    return by_lower[found[0]] if found else None


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """Build the error for a name that is not among `known`: it names the nearest valid one."""
    known = list(known)
    guess = nearest(str(name), known)
    place = f"{where}: " if where else ""
    if guess:
        hint = f"did you mean '{guess}'?"
    else:
        shown = ", ".join(sorted(known)[:8])
        hint = f"expected one of: {shown}{', ...' if len(known) > 8 else ''}."
    return InputError(f"{place}unknown {kind} '{name}'; {hint}")
