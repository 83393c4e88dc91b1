"""A serving request, as JSON gives it, to candidate plans the model can evaluate; every fault one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core import serving_step
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.core.planning import divisors
from training_moat.core.workload import Transformer
from training_moat.predict import requests
from training_moat.predict.serving_constants import Constants

FIELDS = (*requests.COMMON_FIELDS, "batch", "input_len", "output_len", "kv_precision", "expert_tp")
"""Fields a serving request may have."""

KV_PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
MAX_TOKENS = 100_000_000
MAX_CHIPS = 10_000_000

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
}
"""Names a caller may use, and the calibrated engine that stands for them."""

UNMEASURED_ENGINES = (
    "lmdeploy",
    "tgi",
    "jetstream",
    "maxtext",
    "optimum-habana",
    "habana",
    "groq",
    "cerebras",
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

REWRITTEN_IN = {"vllm": (0, 7), "trt-llm": (0, 16)}
"""First release of the rewritten engine: earlier ones are calibrated apart, as `-2024`."""

NEW_MODELS_SINCE, NEXT_YEAR = "2024-07", "2025"
"""Models from here on are not among the measurements of the older engines; and the year after those."""

PADS_HEADS = ("aws-neuron",)
"""Chip families whose compiler pads attention heads, so that any tensor-parallel size works."""

NO_ENGINE = "generic"
MAX_PLANS = 2000
CHIP_COUNTS = [2**power for power in range(13)]
"""Numbers of chips tried where the case names none."""


@dataclass(frozen=True)
class ServingCase:
    """One validated request: what is asked, and the plans that may answer it."""

    id: Any
    model: Transformer
    chip: Chip
    precision: str
    kv_precision: str
    software: str
    batch: int
    input_len: int
    output_len: int
    plans: list[serving_step.ServingPlan]
    fewest_chips: bool = False
    notes: list[str] = field(default_factory=list)


def engine(
    name: str | None, chip: Chip, constants: Constants, released: str = ""
) -> tuple[str, list[str]]:
    """(calibrated engine, notes) for a software name; None is the engine with the most measurements on the chip.

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
        return (old if only_old or "" < released < NEW_MODELS_SINCE else base), []
    return base, []


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
    """The engine with the most measurements on a chip, else on its family; `generic` where there are none."""
    usual = {
        key: rows for key, rows in measured_engines(chip, constants).items() if key != "llama.cpp"
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


def parse(request: Mapping[str, Any], constants: Constants) -> ServingCase:
    """Validate one request. Raises `InputError` with the first fault."""
    if not isinstance(request, Mapping):
        raise InputError("expected an object with the fields of a serving case")
    requests.reject_unknown_fields(request, FIELDS)
    model, chip = requests.model_of(request), requests.chip_of(request)
    precision, notes = requests.precision_of(request, chip)
    kv_precision = requests.choice(request, "kv_precision", KV_PRECISIONS) or "bf16"
    if requests.whole(request, "cp") not in (None, 1):
        raise InputError("cp is not modelled for serving; expected 1 or null")
    numbers = {
        "batch": requests.whole(request, "batch", high=MAX_TOKENS) or 1,
        "input_len": requests.whole(request, "input_len", high=MAX_TOKENS) or 1024,
        "output_len": requests.whole(request, "output_len", high=MAX_TOKENS) or 1024,
    }
    software, more = engine(
        request.get("software"), chip, constants, release_of(request.get("model"))
    )
    plans = candidate_plans(request, model, chip, numbers["batch"])
    open_count = request.get("chips") is None and request.get("tp") is None
    return ServingCase(
        request.get("id"),
        model,
        chip,
        precision,
        kv_precision,
        software,
        **numbers,
        plans=plans,
        fewest_chips=open_count,
        notes=notes + more,
    )


def _sizes(request: Mapping[str, Any]) -> dict[str, int | None]:
    return {
        key: requests.whole(request, key, high=MAX_CHIPS)
        for key in ("chips", "tp", "pp", "dp", "ep", "expert_tp")
    }


def candidate_plans(
    request: Mapping[str, Any], model: Transformer, chip: Chip, batch: int
) -> list[serving_step.ServingPlan]:
    """Every layout the request leaves open, no more attention copies than sequences unless asked for. Raises
    `InputError` where what it fixes contradicts the model or itself."""
    given = _attention_copies_inside(_sizes(request), model)
    _check(given, model, chip)
    counts = (
        [given["chips"]] if given["chips"] else [_product(given)] if given["tp"] else CHIP_COUNTS
    )
    plans = [plan for count in counts for plan in _layouts(count, given, model, chip)]
    sensible = [plan for plan in plans if plan.dp <= batch or given["dp"]]
    plans = sensible or plans
    if not plans:
        raise InputError(
            f"no layout puts {given['chips'] or _product(given)} chips to use with the sizes given; "
            "tp x pp x dp must equal chips, tp divide the attention heads, pp not exceed the layers"
        )
    return plans[:MAX_PLANS]


def _attention_copies_inside(
    given: dict[str, int | None], model: Transformer
) -> dict[str, int | None]:
    """Engines write attention data parallelism as copies inside the tensor-parallel group (tp 8 and dp 8 on eight
    chips): attention then runs in dp copies of tp / dp chips."""
    chips, tp, pp, dp = (given[key] for key in ("chips", "tp", "pp", "dp"))
    inside = (
        chips
        and tp
        and dp
        and dp > 1
        and model.experts
        and tp * (pp or 1) == chips
        and tp % dp == 0
    )
    return given | {"tp": tp // dp} if inside else given


def _product(given: Mapping[str, int | None]) -> int:
    return (given["tp"] or 1) * (given["pp"] or 1) * (given["dp"] or 1)


def _check(given: Mapping[str, int | None], model: Transformer, chip: Chip) -> None:
    tp, pp, ep = given["tp"], given["pp"], given["ep"]
    if tp and model.heads % tp and chip.family not in PADS_HEADS:
        raise InputError(
            f"tp is {tp}, which does not divide the {model.heads:g} attention heads of {model.name}"
        )
    if pp and pp > model.layers:
        raise InputError(f"pp is {pp}; {model.name} has only {model.layers:g} layers")
    if ep and ep > 1 and model.experts == 0:
        raise InputError(f"ep is {ep}, but {model.name} has no experts")
    if ep and model.experts and model.experts % ep:
        raise InputError(
            f"ep is {ep}, which does not divide the {model.experts:g} experts of {model.name}"
        )
    if given["chips"] and given["chips"] % _product(given):
        named = " x ".join(f"{key} {given[key]}" for key in ("tp", "pp", "dp") if given[key])
        raise InputError(f"chips is {given['chips']}, which is not a multiple of {named}")


def _layouts(
    count: int, given: Mapping[str, int | None], model: Transformer, chip: Chip
) -> list[serving_step.ServingPlan]:
    plans = []
    padded = chip.family in PADS_HEADS
    for tp in [given["tp"]] if given["tp"] else divisors(count):
        if count % tp or (model.heads % tp and not padded):
            continue
        for pp in [given["pp"]] if given["pp"] else divisors(count // tp):
            dp = count // (tp * pp)
            if (count // tp) % pp or pp > model.layers or given["dp"] not in (None, dp):
                continue
            plans += [
                serving_step.ServingPlan(tp, pp, dp, ep, width)
                for ep, width in _expert_sizes(tp, dp, given, model)
            ]
    return plans


def _expert_sizes(
    tp: int, dp: int, given: Mapping[str, int | None], model: Transformer
) -> list[tuple[int, int]]:
    """(expert groups, chips per group) for a stage of `dp` attention copies of `tp` chips: inside each copy, or
    over all of them."""
    if model.experts == 0:
        return [(1, tp)]
    groups = [given["ep"]] if given["ep"] else [1, tp, tp * dp]
    found = []
    for ep in dict.fromkeys(groups):
        if model.experts % ep:
            continue
        pool = tp if ep <= tp else tp * dp
        width = given["expert_tp"] or pool // ep
        if (pool % ep == 0 or given["expert_tp"]) and width >= 1 and ep * width <= tp * dp:
            found.append((ep, width))
    return found
