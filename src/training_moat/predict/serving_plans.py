"""A serving request, as JSON gives it, to candidate plans the model can evaluate; every fault one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training_moat.core import serving_step
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.tiers import faster_tiers, home, room, system_limit
from training_moat.core.workload import Transformer
from training_moat.predict import (
    expert_exchange,
    planning,
    request_fields,
    requests,
    serving_batch,
    serving_formats,
    serving_software,
)
from training_moat.predict.engines import engine, release_of
from training_moat.predict.serving_batch import Question
from training_moat.predict.serving_constants import Constants

FIELDS = (*request_fields.COMMON, *request_fields.SERVING)
"""Fields a serving request may have."""

KV_PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8", "int4", "nvfp4", "mxfp4")
MAX_TOKENS = 100_000_000
MAX_CHIPS = 10_000_000

PADS_HEADS = ("aws-neuron",)
"""Chip families whose compiler pads attention heads, so that any tensor-parallel size works."""

MAX_PLANS = 2000
CHIP_COUNTS = sorted(
    odd * 2**power for odd in (1, 3, 9) for power in range(15) if odd * 2**power <= 2**14
)
"""Numbers of chips tried where the case names none: powers of two, and three and nine times those (racks of 72 chips,
the 576 of a Groq system)."""


LAYERED = "{} gives each chip successive layers unless it is told otherwise"


@dataclass(frozen=True)
class ServingCase:
    """One validated request: what is asked, and the plans that may answer it."""

    id: Any
    asked: Question
    plans: list[serving_step.ServingPlan]
    price_usd_per_chip_hour: float | None = None
    format_assumed: bool = False
    notes: list[str] = field(default_factory=list)


USUAL_LOAD = {"batch": 1, "input_len": 1024, "output_len": 1024}
"""Sequences at once and tokens of prompt and answer of each, where a request does not say."""
LOAD_WORDS = {
    "batch": "1 sequence at a time",
    **{name: f"{USUAL_LOAD[name]} tokens" for name in ("input_len", "output_len")},
}
"""The same in words."""


def parse(request: Mapping[str, Any], constants: Constants) -> ServingCase:
    """Validate one request. Raises `InputError` with the first fault."""
    if not isinstance(request, Mapping):
        raise InputError("expected an object with the fields of a serving case")
    requests.reject_unknown_fields(request, FIELDS)
    request, machine = requests.of_machine(request)
    request, of_name = serving_formats.of_checkpoint(request)
    model = requests.model_of(request)
    published = requests.chip_of(request)
    chip, rated = serving_formats.with_units(published)
    usable = published if request.get("precision") is None else chip
    precision, notes = serving_formats.precision_of(request, usable, model)
    kv_precision = requests.choice(request, "kv_precision", KV_PRECISIONS) or "bf16"
    if requests.whole(request, "cp") not in (None, 1):
        raise InputError("cp is not modelled for serving; expected 1 or null")
    load: dict[str, Any] = {
        name: requests.whole(request, name, high=MAX_TOKENS) or usual
        for name, usual in USUAL_LOAD.items()
    }
    released = release_of(request.get("model"))
    named = request.get("software")
    software, more = engine(named, chip, constants, released)
    exchange = expert_exchange.of_engine(named, software, chip)
    asked = Question(model, chip, software, precision, kv_precision, **load, exchange=exchange)
    layered = serving_software.cuts_by_layers(named, software) and _lays_nothing_out(request)
    plans = candidate_plans(request, asked, layered)
    return ServingCase(
        request.get("id"),
        asked,
        plans,
        requests.price(request),
        format_assumed=request.get("precision") is None,
        notes=machine
        + requests.model_notes(request)
        + requests.chip_notes(request)
        + requests.counting_note(request, chip)
        + _head_note(request, model)
        + of_name
        + rated
        + notes
        + more
        + _assumed_load(request)
        + [LAYERED.format(named or software)] * (layered and plans[0].chips > 1),
    )


def _assumed_load(request: Mapping[str, Any]) -> list[str]:
    """Notes on the parts of the load that a request leaves out."""
    left_out = [name for name in USUAL_LOAD if request.get(name) is None]
    return [f"{name} not given; {LOAD_WORDS[name]} assumed" for name in left_out]


def _lays_nothing_out(request: Mapping[str, Any]) -> bool:
    """Whether a request on several chips, or on as many as it takes, says nothing of their layout."""
    sizes = _sizes(request)
    return sizes["chips"] != 1 and not any(sizes[key] for key in ("tp", "pp", "dp", "ep"))


def _head_note(request: Mapping[str, Any], model: Transformer) -> list[str]:
    """That the size of a head was taken from the others: it decides the cache, and models differ in it."""
    shape = request["model"]
    given = not isinstance(shape, Mapping) or shape.get("base") or shape.get("head_dim")
    if given or model.kv_lora_rank:
        return []
    return [
        f"model: head_dim {model.head_dim:g} assumed, hidden over heads; the cache grows with it"
    ]


def _sizes(request: Mapping[str, Any]) -> dict[str, int | None]:
    return {
        key: requests.whole(request, key, high=MAX_CHIPS)
        for key in ("chips", "tp", "pp", "dp", "ep", "expert_tp")
    }


def candidate_plans(
    request: Mapping[str, Any], asked: Question, layered: bool = False
) -> list[serving_step.ServingPlan]:
    """Every layout the request leaves open, no more attention copies than sequences unless asked for; where it
    leaves the number of chips open, on the fewest that hold the job. layered: each chip holds successive layers. Raises
    `InputError` where what it fixes contradicts the model or itself."""
    given = _attention_copies_inside(_sizes(request), asked.model)
    _check(given, asked.model, asked.chip)
    open_size = given["chips"] is None and given["tp"] is None
    if layered:
        # More chips than layers hold the model more than once.
        given |= {"tp": 1} | ({"dp": 1} if (given["chips"] or 1) <= asked.model.layers else {})
    if open_size:
        return _on_fewest_chips(given, asked)
    count = given["chips"] or _product(given)
    plans = _sensible(count, given, asked)
    if not plans:
        raise InputError(
            f"no layout puts {count} chips to use with the sizes given; "
            "tp x pp x dp must equal chips, tp divide the attention heads, pp not exceed the layers"
        )
    return plans[:MAX_PLANS]


def _sensible(
    count: int, given: Mapping[str, int | None], asked: Question
) -> list[serving_step.ServingPlan]:
    plans = _layouts(count, given, asked.model, asked.chip)
    return [plan for plan in plans if plan.dp <= asked.batch or given["dp"]] or plans


def _on_fewest_chips(
    given: Mapping[str, int | None], asked: Question
) -> list[serving_step.ServingPlan]:
    """The layouts on the fewest chips that hold weights and all sequences: in the faster tiers, else with the large
    slow one, else those that hold one sequence a copy, else those that lack least."""
    chip, job = asked.chip, serving_batch.job_of(asked)
    counts = [count for count in CHIP_COUNTS if count <= system_limit(chip)]
    tried: dict[int, list[serving_step.ServingPlan]] = {}
    tiers = {"fast": faster_tiers(chip), "all": home(chip, "serving")}
    for sequences, where in (("all", "fast"), ("all", "all"), ("one", "fast"), ("one", "all")):
        space = room(tiers[where], "serving")
        for count in counts:
            if count not in tried:
                tried[count] = _sensible(count, given, asked)
            held = serving_batch.held_bytes(asked.model, job, tried[count], sequences)
            fitting = [plan for plan, size in zip(tried[count], held, strict=True) if size <= space]
            if fitting:
                return fitting[:MAX_PLANS]
    last = [plans for plans in tried.values() if plans]
    if not last:
        raise InputError(
            f"no layout of {asked.model.name} on any number of {chip.id} has the sizes given"
        )
    return last[-1][:MAX_PLANS]


def _attention_copies_inside(
    given: dict[str, int | None], model: Transformer
) -> dict[str, int | None]:
    """Engines write attention data parallelism as copies inside the tensor-parallel group (tp 8 and dp 8 on eight
    chips): attention then runs in dp copies of tp / dp chips."""
    chips, tp, pp, dp = (given[key] for key in ("chips", "tp", "pp", "dp"))
    if not (chips and tp and dp and model.experts):
        return given
    inside = dp > 1 and tp * (pp or 1) == chips and tp % dp == 0
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
    for tp, pp in _stages(count, given, model, chip):
        dp = count // (tp * pp)
        if model.heads % tp and not padded:
            continue
        if count % (tp * pp) or pp > model.layers or given["dp"] not in (None, dp):
            continue
        plans += [
            serving_step.ServingPlan(tp, pp, dp, ep, width)
            for ep, width in _expert_sizes(tp, dp, given, model)
        ]
    return plans


def is_pipelined(chip: Chip) -> bool:
    """Whether a chip serves out of its own SRAM, layer after layer over many of them."""
    return home(chip, "serving")[0].name == "sram"


def _stages(
    count: int, given: Mapping[str, int | None], model: Transformer, chip: Chip
) -> list[tuple[int, int]]:
    """(tensor-parallel size, pipeline stages) to try. Chips that serve out of their own SRAM are a pipeline with as
    many stages as layers and attention heads allow, as their makers use them."""
    if is_pipelined(chip) and not given["tp"] and not given["pp"]:
        deepest = []
        for size in (count // dp for dp in planning.divisors(count)):
            depths = planning.divisors(size, int(model.layers))[::-1]
            deepest += [(size // pp, pp) for pp in depths if model.heads % (size // pp) == 0][:1]
        return deepest
    fixed = given["pp"]
    tensor = [given["tp"]] if given["tp"] else planning.divisors(count)
    return [
        (tp, pp) for tp in tensor for pp in ([fixed] if fixed else planning.divisors(count // tp))
    ]


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
