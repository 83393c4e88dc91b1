"""The one error a caller's bad input raises, and the search for the name it probably meant."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

LONGEST = 270
"""Characters of the longest sentence; the command puts its name before it and stays below 300."""


def one_line(text: object) -> str:
    """Text as one line of bounded length: of more, the beginning and the end stay."""
    words = str(text)
    if len(words) > 100 * LONGEST:  # what was pasted is not gone through to its end
        words = words[: 50 * LONGEST] + words[-50 * LONGEST :]
    line = " ".join(words.split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    if len(line) <= LONGEST:
        return line
    end = LONGEST * 2 // 5
    return f"{line[: LONGEST - end - 5]} ... {line[-end:]}"


class InputError(ValueError):
    """Bad input, said in one sentence: what is wrong, where, and what was expected.

    Whatever was pasted into the sentence, it stays one line below 300 characters.
    """

    def __init__(self, sentence: object = "") -> None:
        super().__init__(one_line(sentence))


class Unpublished(InputError):
    """A number that the answer needs and that nobody has published: a reader's page leaves out what depends on it."""


class Incomparable(InputError):
    """A comparison whose yardstick itself cannot do what is compared: of several asked about, such a one is left out."""


class LeftOutWarning(UserWarning):
    """One of several asked about that has no answer, because nobody has published a number that it needs or its yardstick has
    none."""


def answered(ask: Callable[[str], T], names: Iterable[str]) -> list[T]:
    """The answers for those of many names that have one, in their order; warns (`LeftOutWarning`) of each that lacks a number
    which nobody has published, or whose yardstick cannot do what is asked. Unpublished where all do."""
    found, lacking = [], []
    for name in names:
        try:
            found.append(ask(name))
        except (Unpublished, Incomparable) as problem:
            lacking.append(str(problem))
    if lacking and not found:
        raise Unpublished("; ".join(lacking))
    for sentence in lacking:
        warnings.warn(sentence, LeftOutWarning, stacklevel=3)
    return found


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name most like `name`, ignoring case, or None when none is as like as `likeness` (0 to 1).

    Of names that are equally like, it is one of the same letters in another order: torus2d for "2D torus".
    """
    by_lower = {item.lower(): item for item in known}
    word = name.lower()
    found = difflib.get_close_matches(word, by_lower, n=3, cutoff=likeness)
    if not found:
        return None
    best = difflib.SequenceMatcher(a=found[0], b=word).ratio()
    alike = [each for each in found if difflib.SequenceMatcher(a=each, b=word).ratio() == best]
    letters = Counter(word)
    return by_lower[max(alike, key=lambda each: (letters & Counter(each)).total())]


SHORTEST = 3
"""Letters that a word has at least to be taken for the beginning or for a part of a longer name."""
MANY = 3
"""Names that a sentence guesses at most."""


def telling(word: str, found: Iterable[str]) -> list[str]:
    """The names in which a word was found, each once, where they say what it means: none for a word shorter than `SHORTEST`,
    nor where there are more than `MANY`."""
    names = list(dict.fromkeys(found))
    return names if len(word) >= SHORTEST and len(names) <= MANY else []


def longer(name: str, known: Collection[str]) -> list[str]:
    """The known names that a word begins, or of which it is a whole part ("batch" of "global_batch"), ignoring case; none
    where they tell nothing (`telling`)."""
    word = name.lower()
    found = [each for each in known if each.lower().startswith(word)]
    found = found or [each for each in known if word in each.lower().split("_")]
    return telling(word, found)


LISTED = {
    kind: f"`moat {kind}s` lists them; one of your own comes from a scenario file."
    for kind in ("chip", "model")
}
"""Where to look a name up, for kinds that are too many to name."""


def guesses(name: str, known: Collection[str]) -> list[str]:
    """The known names that a name may mean: those that it begins or is a part of, else the nearest, else none."""
    near = nearest(name, known)
    return longer(name, known) or ([near] if near else [])


def unknown(
    kind: str,
    name: str,
    known: Iterable[str],
    where: str = "",
    meant: Collection[str] | None = None,
) -> InputError:
    """Build the error for a name that is not among `known`: it names the valid ones that it may mean (`guesses` unless the
    caller knows better)."""
    known = list(known)
    place = f"{where}: " if where else ""
    if found := guesses(str(name), known) if meant is None else meant:
        *others, last = (f"'{guess}'" for guess in found)
        hint = f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
    elif kind in LISTED:
        hint = LISTED[kind]
    else:
        shown = ", ".join(sorted(known)[:8])
        hint = f"expected one of: {shown}{', ...' if len(known) > 8 else '.'}"
    return InputError(f"{place}unknown {kind} '{name}'; {hint}")


def require_known(kind: str, name: object, known: Collection[Any], where: str = "") -> None:
    """Raise the error of `unknown` where a name is not among `known`."""
    if name not in known:
        raise unknown(kind, str(name), map(str, known), where)
