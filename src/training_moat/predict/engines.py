"""Serving engines: what callers call them, which calibrated engine stands for a name, and the usual one of a chip."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.predict.serving_constants import Constants

ENGINES = {
    "tensorrt-llm": "trt-llm",
    "tensorrtllm": "trt-llm",
    "trtllm": "trt-llm",
    "trt": "trt-llm",
    "trt-llm": "trt-llm",
    "vllm": "vllm",
    "sglang": "sglang",
    "llama.cpp": "llama.cpp",
    "llamacpp": "llama.cpp",
    "deepspeed-mii": "deepspeed-mii",
    "mii": "deepspeed-mii",
    "deepspeed": "deepspeed-mii",
    "deepspeed-fastgen": "deepspeed-mii",
    "neuronx": "neuronx",
    "neuron": "neuronx",
    "transformers-neuronx": "neuronx",
    "nxd": "neuronx",
    "sambaflow": "sambaflow",
    "sambanova": "sambanova",
    "sambacloud": "sambanova",
    "cerebras": "cerebras",
    "groq": "groq",
    "groqcloud": "groq",
    "d-matrix": "d-matrix",
    "dmatrix": "d-matrix",
}
"""Names a caller may use, and the calibrated engine that stands for them."""

UNMEASURED_ENGINES = (
    "lmdeploy",
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
)
"""Engines without measurements of their own: the generic overheads stand in."""

REWRITTEN_IN = {"vllm": (0, 7), "trt-llm": (0, 16), "cerebras": (2024, 10)}
"""First release of the rewritten engine (Cerebras: year and month): earlier ones are calibrated apart, as `-2024`."""

NEW_MODELS_SINCE, NEXT_YEAR = "2024-07", "2025"
"""Models from here on are not among the measurements of the older engines; and the year after those."""

NO_ENGINE = "generic"

OF_MAKERS = ("cerebras-2024", "cerebras", "groq", "sambanova", "d-matrix")
"""The makers' own services: the best known engine of their chips."""

NOT_USUAL = ("llama.cpp",)
"""Engines that nobody means who names none."""


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
    named = [key for key in ENGINES if re.search(rf"(?<![a-z]){re.escape(key)}(?![a-z])", spoken)]
    if not named:
        return _unmeasured(name)
    key = max(named, key=len)
    base = ENGINES[key]
    version = re.findall(r"\d+", spoken.split(key, 1)[1])[:2]
    old = f"{base}-2024"
    if base in REWRITTEN_IN and version:
        number = tuple(int(part) for part in version)
        return (old if number < REWRITTEN_IN[base] or number[0] == 2024 else base), []
    if base in REWRITTEN_IN and not version:
        only_old = base not in measured and old in measured and released < NEXT_YEAR
        if only_old or "" < released < NEW_MODELS_SINCE:
            first = ".".join(map(str, REWRITTEN_IN[base]))
            return old, [
                f"{base} is taken as the releases before {first}, as measured with such models; name a release for another"
            ]
    return base, []


def label(engine_name: str) -> str:
    """How a plan names an engine so that asking with it again means the same one."""
    return f"{engine_name}-{NEXT_YEAR}" if engine_name in REWRITTEN_IN else engine_name


def release_of(model: Any) -> str:
    """When a named model was published, as text; empty where that is not known."""
    if not isinstance(model, str):
        return ""
    return _releases(tables.state("models")).get(model_catalog.resolve(model), "")


@lru_cache(maxsize=4)
def _releases(state: tuple) -> dict[str, str]:
    table = model_catalog.frame()[["id", "released"]].dropna()
    return dict(zip(table["id"], table["released"].astype(str)))


def usual_engine(chip: Chip, constants: Constants) -> str:
    """The maker's own service where it has measured rows, else the engine with the most on the chip or on its family;
    `generic` where there are none."""
    usual = {
        key: (key in OF_MAKERS, rows)
        for key, rows in measured_engines(chip, constants).items()
        if key not in NOT_USUAL
    }
    return max(usual, key=usual.get) if usual else NO_ENGINE


def measured_engines(chip: Chip, constants: Constants) -> dict[str, int]:
    """Engines measured on the chip, with the number of rows; where there are none, on chips of its family."""
    own = constants.pairs_of(chip.id)
    if own:
        return own
    found: dict[str, int] = {}
    for other in chip_catalog.all_chips().values():
        if other.family == chip.family:
            for name, rows in constants.pairs_of(other.id).items():
                found[name] = found.get(name, 0) + rows
    return found


def _unmeasured(name: str) -> tuple[str, list[str]]:
    known = (*ENGINES, *UNMEASURED_ENGINES)
    close = nearest(name, known)
    if (
        name.lower() not in UNMEASURED_ENGINES
        and close
        and abs(len(close) - len(name)) < 2
        and name.lower()[:2] == close[:2]
    ):
        raise InputError(f"software is '{name}'; did you mean '{close}'?")
    return NO_ENGINE, [f"no measurements of the engine {name}; typical overheads stand in"]
