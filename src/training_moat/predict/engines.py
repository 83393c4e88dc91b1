"""Serving engines: what callers call them, which calibrated engine stands for a name, and the usual one of a chip."""

from __future__ import annotations

import re
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.predict.serving_constants import ERAS, OF_MAKERS, Constants, lineage

TABLE = "serving_software"

UNMEASURED_ENGINES = (
    "tgi",
    "jetstream",
    "maxtext",
    "optimum-habana",
    "habana",
    "mindie",
    "rtp-llm",
    "dynamo",
    "fastertransformer",
    "mlc-llm",
    "openvino",
    "hf",
    "transformers",
    "deepseek",
    "cloudmatrix-infer",
)
"""Engines without measurements of their own: the generic overheads stand in."""

FIRST_AFTER: dict[str, dict[str, tuple[int, ...]]] = {
    "vllm": {"2024": (0, 7), "early-2025": (0, 9)},
    "trt-llm": {"2024": (0, 16), "early-2025": (0, 20)},
    "sglang": {"2024": (0, 4), "early-2025": (0, 4, 7)},
    "cerebras": {"2024": (2024, 10)},
}
"""First release of each engine after an era (Cerebras: year and month): earlier ones are calibrated apart, with its name.
vLLM was rewritten between 0.7 and 0.9; the kernels for latent attention and many experts came with the releases of the
first half of 2025."""

NEW_MODELS_SINCE, NEXT_YEAR = "2024-07", "2025"
"""Models from here on are not among the measurements of the older engines; and the year after those."""

CURRENT = "2026"
"""Year by which plans name the current release of an engine that is calibrated by era."""

NO_ENGINE = "generic"

NOT_USUAL = ("llama.cpp", "lmdeploy")
"""Engines that nobody means who names none."""


@tables.kept(TABLE)
def spellings() -> dict[str, str]:
    """Names a caller may use, and the calibrated engine that stands for them."""
    return tables.listed(TABLE, "spellings")


def of_release(base: str, version: Any) -> str:
    """The calibrated engine of a release such as "0.8.3": `base` itself where the version is current or not known."""
    number = tuple(int(part) for part in re.findall(r"\d+", str(version or ""))[:3])
    for era, first in FIRST_AFTER.get(base, {}).items():
        if number and (number < first or str(number[0]) == era > str(first[0])):
            return f"{base}-{era}"
    return base


def engine(
    name: str | None, chip: Chip, constants: Constants, released: str = ""
) -> tuple[str, list[str]]:
    """(calibrated engine, notes) for a software name; None is the best known of the chip (`usual_engine`).

    A name without a version means the engine of the time when the model was `released` (as text, year first):
    the older one for older models, and wherever only the older one was measured on the chip, up to 2024.
    """
    if name is None:
        return usual_engine(chip, constants), []
    measured = measured_engines(chip, constants)
    if not isinstance(name, str):
        raise InputError(f"software is {name!r}; expected the name of an engine, such as 'vllm'")
    spoken = name.strip().lower()
    known = spellings()
    named = [key for key in known if re.search(rf"(?<![a-z]){re.escape(key)}(?![a-z])", spoken)]
    if not named:
        return _unmeasured(name)
    key = max(named, key=len)
    base = known[key]
    if spoken in {f"{base}-{era}" for era in ERAS}:
        return spoken, []
    version = re.findall(r"\d+", spoken.split(key, 1)[1])
    old = f"{base}-2024"
    if version:
        return of_release(base, ".".join(version)), []
    if base in FIRST_AFTER:
        only_old = base not in measured and old in measured and released < NEXT_YEAR
        if only_old or "" < released < NEW_MODELS_SINCE:
            first = ".".join(map(str, FIRST_AFTER[base]["2024"]))
            return old, [
                f"{base} is taken as the releases before {first}, as measured with such models; name a release for another"
            ]
    return base, []


def label(engine_name: str) -> str:
    """How a plan names an engine so that asking with it again means the same one."""
    return f"{engine_name}-{CURRENT}" if engine_name in FIRST_AFTER else engine_name


def release_of(model: Any) -> str:
    """When a named model was published, as text; empty where that is not known."""
    if not isinstance(model, str):
        return ""
    return _releases().get(model_catalog.resolve(model), "")


@tables.kept("models")
def _releases() -> dict[str, str]:
    table = model_catalog.frame()[["id", "released"]].dropna()
    return dict(zip(table["id"], table["released"].astype(str)))


def usual_engine(chip: Chip, constants: Constants) -> str:
    """The maker's own service where it has measured rows, else the current release of the engine with the most on the chip
    or on its family, one whose current release was measured there before others; `generic` where there are none."""
    usual: dict[str, tuple[bool, bool, int]] = {}
    for name, rows in measured_engines(chip, constants).items():
        if name not in NOT_USUAL:
            current, era = lineage(name)
            makers, new, counted = usual.get(current, (False, False, 0))
            usual[current] = (makers or name in OF_MAKERS, new or not era, counted + rows)
    return max(usual, key=lambda name: (usual[name], name)) if usual else NO_ENGINE


def measured_engines(chip: Chip, constants: Constants) -> dict[str, int]:
    """Engines measured on the chip, with the number of rows; where there are none, on chips of its family."""
    own = constants.pairs_of(chip.measured_as)
    if own:
        return own
    found: dict[str, int] = {}
    for other in chip_catalog.all_chips().values():
        if other.family == chip.family:
            for name, rows in constants.pairs_of(other.id).items():
                found[name] = found.get(name, 0) + rows
    return found


def _unmeasured(name: str) -> tuple[str, list[str]]:
    known = (*spellings(), *UNMEASURED_ENGINES)
    close = nearest(name, known)
    if (
        name.lower() not in UNMEASURED_ENGINES
        and close
        and abs(len(close) - len(name)) < 2
        and name.lower()[:2] == close[:2]
    ):
        raise InputError(f"software is '{name}'; did you mean '{close}'?")
    return NO_ENGINE, [f"no measurements of the engine {name}; typical overheads stand in"]
