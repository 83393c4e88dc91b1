"""Serving engines: which calibrated engine stands for a caller's name, and the usual one of a chip."""

from __future__ import annotations

from collections import Counter
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.predict import serving_software as software
from training_moat.predict.serving_constants import SPECULATIVE, Constants, stored

NEW_MODELS_SINCE, NEXT_YEAR = "2024-07", "2025"
"""Models from here on are not among the measurements of the older engines; and the year after those."""

CURRENT = "2026"
"""Year by which plans name the current release of an engine that is calibrated by era."""

NO_ENGINE = "generic"
SAME_KERNELS = (
    "{name} on {chip} and {engine} run the same kernels; measurements of {engine} are taken"
)
NOTHING_TIMED = "no serving engine has been measured on {}; typical overheads stand in"

NOT_USUAL = ("llama.cpp", "lmdeploy", "gaudi-software", "transformers")
"""Engines that nobody means who names none; of Gaudi's own software, batches that start and end together were timed."""

ENOUGH_ROWS = 20
"""Measured rows of a chip that tell which engine is usual on it; a handful tells what somebody tried. Two rows each had set
GB300 under one engine beside GB200 under another, at twice the cost."""


def engine(
    name: str | None, chip: Chip, constants: Constants, released: str = ""
) -> tuple[str, list[str]]:
    """(calibrated engine, notes) for a software name; None is the best known of the chip (`usual_engine`).

    A name without a version means the engine of the time when the model was `released` (as text, year first):
    the older one for older models, unless the current one alone was measured on the chip, and wherever only the older one
    was measured there, up to 2024.
    """
    if name is None:
        return (found := usual_engine(chip, constants)), [NOTHING_TIMED.format(chip.id)] * (
            found == NO_ENGINE
        )
    if not isinstance(name, str):
        raise InputError(f"software is {name!r}; expected the name of an engine, such as 'vllm'")
    if real := software.behind(name, chip.family):
        return real, [SAME_KERNELS.format(name=name, chip=chip.id, engine=real)]
    word = software.spelled(name.strip().lower())
    if word is None:
        return _unmeasured(name)
    found, notes = _of_release(name.strip().lower(), word, chip, constants, released)
    return found, notes + _elsewhere(found, chip, constants)


def _of_release(
    spoken: str, word: str, chip: Chip, constants: Constants, released: str
) -> tuple[str, list[str]]:
    """(calibrated engine, notes) for a name that holds the `word` of a measured one: that of its release, or of its day."""
    base = software.spellings()[word]
    if spoken in {f"{base}-{era}" for era in software.ERAS}:
        return spoken, []
    version = software.after(spoken, word)
    if software.numbers(version):
        return software.of_release(base, version), []
    eras = software.first_after()
    if base in eras:
        old = f"{base}-2024"
        measured = _timed_on([chip.measured_as], constants) or _timed_on(_family(chip), constants)
        only_old = base not in measured and old in measured and released < NEXT_YEAR
        only_new = base in measured and old not in measured
        if only_old or ("" < released < NEW_MODELS_SINCE and not only_new):
            first = ".".join(map(str, eras[base]["2024"]))
            return old, [
                f"{base} is taken as the releases before {first}, as measured with such models; name a release for another"
            ]
    return base, []


def _elsewhere(name: str, chip: Chip, constants: Constants) -> list[str]:
    """That an engine was timed on other makers' chips alone. Makers' own services have a note of theirs (`serving`)."""
    current = software.lineage(name)[0]
    known, timed = chip_catalog.all_chips(), constants.timed_on.get(current, set())
    if name in software.of_makers() or chip.vendor in {known[one].vendor for one in timed}:
        return []
    return [
        f"{current} has been measured on other makers' chips alone; {chip.id} is taken to run it likewise"
    ]


def label(engine_name: str) -> str:
    """How a plan names an engine so that asking with it again means the same one."""
    return f"{engine_name}-{CURRENT}" if engine_name in software.first_after() else engine_name


def release_of(model: Any) -> str:
    """When a named model was published, as text; empty where that is not known."""
    if not isinstance(model, str):
        return ""
    return _releases().get(model_catalog.resolve(model), "")


@tables.kept()
def _releases() -> dict[str, str]:
    table = model_catalog.frame()[["id", "released"]].dropna()
    return dict(zip(table["id"], table["released"].astype(str)))


def usual_engine(chip: Chip, constants: Constants) -> str:
    """The maker's own service where it has measured rows, its current release before older ones; else the current release of
    the engine with the most on the chip, or on its family where the chip has few (`ENOUGH_ROWS`), one whose current release
    was measured there before others; `generic` where there are none."""
    usual: dict[str, tuple[bool, bool, int]] = {}
    timed = _timed_on([chip.measured_as], constants, NOT_USUAL)
    if timed.total() < ENOUGH_ROWS:
        timed = _timed_on(_family(chip), constants, NOT_USUAL)
    for name, rows in timed.items():
        current, new = software.lineage(name)[0], not software.era_of(name)
        makers, newer, counted = usual.get(current, (False, False, 0))
        usual[current] = (makers or name in software.of_makers(), newer or new, counted + rows)
    return max(usual, key=lambda name: (usual[name], name)) if usual else NO_ENGINE


def compared(chip: Chip) -> str | None:
    """The software to name where the chip is compared with others at many users: the newest measured release without drafting
    of a maker's service that drafts, as the others draft nothing; None, for the usual one, where there is none such."""
    constants = stored()
    usual = usual_engine(chip, constants)
    timed = _timed_on(_family(chip), constants)
    older = (f"{usual}-{era}" for era in reversed(software.ERAS) if f"{usual}-{era}" in timed)
    return next(older, None) if usual in SPECULATIVE else None


def _family(chip: Chip) -> list[str]:
    """Ids of the chips of its family."""
    return [one.id for one in chip_catalog.all_chips().values() if one.family == chip.family]


def _timed_on(ids: list[str], constants: Constants, but: tuple[str, ...] = ()) -> Counter[str]:
    """Engines measured on some chips, `but` these, with the number of rows."""
    found: Counter[str] = Counter()
    for name in ids:
        pairs = constants.pairs_of(name)
        found.update({engine: rows for engine, rows in pairs.items() if engine not in but})
    return found


def _unmeasured(name: str) -> tuple[str, list[str]]:
    others = software.spellings(measured=False)
    close = nearest(name, (*software.spellings(), *others))
    spoken = name.lower()
    if (
        software.spelled(name, measured=False) is None
        and close
        and abs(len(close) - len(name)) < 2
        and spoken[:2] == close[:2]
    ):
        raise InputError(f"software is '{name}'; did you mean '{close}'?")
    return NO_ENGINE, [f"no measurements of the engine {name}; typical overheads stand in"]
