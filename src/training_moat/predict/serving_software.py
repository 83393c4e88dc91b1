"""Serving software (table serving_software): how callers and sources spell an engine, and its releases that are calibrated
apart."""

from __future__ import annotations

import re
from typing import Any

from training_moat.catalog import tables
from training_moat.catalog.descriptor import SEPARATOR

TABLE, FRONTS = "serving_software", "serving_fronts"

ERAS = ("2024", "early-2025")
"""Old releases that are calibrated apart from an engine's current ones: those of 2024 and of the first half of 2025."""


@tables.kept(size=4)
def spellings(measured: bool = True) -> dict[str, str]:
    """Words that name an engine, and the engine: of those that were measured, or of those that were not."""
    table = tables.load(TABLE)
    own = table[(table["measured"] == "yes") == measured]
    named = zip(own["engine"], own["spellings"], strict=True)
    return {word: engine for engine, words in named for word in words.split(SEPARATOR)}


def spelled(text: str, measured: bool = True) -> str | None:
    """The word of the table by which a text names a measured engine (or one that was not): the longest there is; None where
    it names none."""
    found = [word for word in spellings(measured) if _place(word, text)]
    return max(found, key=len, default=None)


@tables.kept()
def _fronts() -> dict[str, list[tuple[str, str]]]:
    """By chip family: words that name software, and the engine whose kernels it runs on these chips."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tables.load(FRONTS).itertuples():
        found.setdefault(row.family, []).append((row.word, row.engine))
    return found


def behind(text: str, family: str) -> str:
    """The engine whose kernels run on a family's chips under the software that a text names (table serving_fronts); blank
    where it names none of these, or that engine itself."""
    fronts = _fronts().get(family, [])
    found = next((engine for word, engine in fronts if _place(word, text)), "")
    return "" if spellings().get(spelled(text) or "") == found else found


def after(text: str, word: str) -> str:
    """What stands in a text behind the word by which it names an engine: its release, if it tells one."""
    place = _place(word, text)
    return text[place.end() :] if place else ""


def _place(word: str, text: str) -> re.Match[str] | None:
    """Where a text has a word of the table, whatever stands between its parts ("TensorRT LLM", "llama-cpp")."""
    parts = "[-_ .]?".join(map(re.escape, re.split("[-_ .]", word)))
    return re.search(rf"(?<![a-z]){parts}(?![a-z])", text.lower())


@tables.kept()
def first_after() -> dict[str, dict[str, tuple[int, ...]]]:
    """First release of each engine after an era (of a maker's service year and month): earlier ones are calibrated apart,
    with the era behind the engine's name."""
    table = tables.load(TABLE).set_index("engine")
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for era in ERAS:
        for engine, release in table[f"after_{era.replace('-', '_')}"].dropna().items():
            found.setdefault(str(engine), {})[era] = numbers(release)
    return found


def numbers(release: Any) -> tuple[int, ...]:
    """The numbers of a release such as "0.8.3", three at most; none where it is not known."""
    return tuple(int(part) for part in re.findall(r"\d+", str(release or ""))[:3])


def of_release(base: str, release: Any) -> str:
    """The calibrated engine of a release: `base` itself where that is current or not known."""
    number = numbers(release)
    for era, first in first_after().get(base, {}).items():
        if number and (number < first or str(number[0]) == era > str(first[0])):
            return f"{base}-{era}"
    return base


@tables.kept()
def services() -> dict[str, str]:
    """The makers' own services by the chip family that each runs on: the best known engine of those chips."""
    own = tables.load(TABLE).query("kind == 'service'")
    return dict(zip(own["family"], own["engine"], strict=True))


@tables.kept()
def of_makers() -> frozenset[str]:
    """The makers' own services under their calibrated names. Their releases share nothing with other engines'."""
    current = set(services().values())
    return frozenset(
        current | {f"{name}-{era}" for name in current for era in first_after().get(name, {})}
    )


@tables.kept()
def compiled() -> frozenset[str]:
    """Engines of dataflow machines, whose compilers lay a model out as a whole: no host starts kernels one by one (Abts et
    al. 2022; Prabhakar et al. 2024)."""
    return of_makers() | set(tables.load(TABLE).query("kind == 'compiler'")["engine"])


@tables.kept()
def frameworks() -> frozenset[str]:
    """Software for training as well, which starts every operation of a pass from the host, joins the cache with each new
    token's and repeats it for all query heads (Hugging Face's transformers, `DynamicCache.update` and `repeat_kv`), and asks
    each expert in turn."""
    return frozenset(tables.load(TABLE).query("kind == 'framework'")["engine"])


def is_framework(engine: str) -> bool:
    """Whether a calibrated engine is a framework."""
    return engine in frameworks()


@tables.kept()
def cut_by_layers() -> frozenset[str]:
    """Engines that give each of several chips successive layers unless told otherwise."""
    return frozenset(tables.load(TABLE).query("cuts == 'layers'")["engine"])


def cuts_by_layers(asked: Any, calibrated: str) -> bool:
    """Whether an engine, asked for by that name and answered as a calibrated one, gives each of several chips successive
    layers unless it is told otherwise: also where nobody measured it, so that another stands in."""
    word = (
        None
        if lineage(calibrated)[0] in spellings().values()
        else spelled(str(asked), measured=False)
    )
    return spellings(measured=False).get(word or "", calibrated) in cut_by_layers()


def lineage(engine: str) -> tuple[str, str]:
    """(engine, era of its release) of a calibrated engine: `vllm-2024` is ("vllm", "2024"), `vllm` ("vllm", "")."""
    era = era_of(engine)
    return (
        (engine.removesuffix(f"-{era}"), era) if era and engine not in of_makers() else (engine, "")
    )


def era_of(engine: str) -> str:
    """The era behind a calibrated engine's name, a maker's service included: `cerebras-2024` is of "2024"; blank where it
    is current."""
    return next((era for era in ERAS if engine.endswith(f"-{era}")), "")


@tables.kept()
def _timed_in() -> dict[str, str]:
    """The era of all runs of an engine whose releases are not told apart."""
    told = tables.load(TABLE).dropna(subset="timed_in")
    return dict(zip(told["engine"], told["timed_in"], strict=True))


def timed_in(engine: str) -> str:
    """The era in which a calibrated engine was timed: that of its release, or of all its runs; blank where it is current."""
    base, era = lineage(engine)
    return era or _timed_in().get(base, "")
