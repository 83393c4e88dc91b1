"""Training requests: from a JSON case to every plan that could answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from training_moat.core.errors import InputError
from training_moat.core.plan import OFFLOAD_LEVELS, Plan, impossible
from training_moat.core.workload import Transformer
from training_moat.predict import planning, request_fields, requests, training_settings
from training_moat.predict.software import Software
from training_moat.predict.training_settings import Setting

FIELDS = (*request_fields.COMMON, *request_fields.TRAINING)
"""Fields of a training case."""

CUSTOMARY_BATCH_TOKENS = 4 * 2**20
"""Tokens per step where no batch is given: GPT-3 used 3.2 million (Brown et al. 2020, table 2.1), Llama 2 and 3
four (Touvron et al. 2023, section 2.2)."""
CUSTOMARY_SEQUENCE = 4096


SIZES = ("tp", "pp", "dp", "ep", "cp", "micro_batch", "virtual_stages", "zero_stage")
"""Whole numbers of a layout that a case may settle."""
WHOLE = ("chips", *SIZES, "seq_len", "global_batch")
"""The whole numbers of a case."""


MOST_TOKENS_B = 1e7
"""Tokens of the longest run (billions): hundreds of times the longest on record, and less than any count of tokens by ones."""


class Costs(NamedTuple):
    """What a request says of a whole run's costs."""

    price_usd_per_chip_hour: float | None
    tokens_b: float | None
    goodput: float | None


def costs(case: Mapping[str, Any]) -> Costs:
    """What a request says of costs. Raises `InputError` in one sentence."""
    return Costs(
        requests.price(case),
        requests.number(case, "tokens_b", 0.0, MOST_TOKENS_B, above=True),
        requests.number(case, "goodput", 0.0, 1.0, above=True),
    )


@dataclass(kw_only=True)
class TrainingCase(Setting):
    """One parsed request. `sizes` holds the layout's numbers that it settles, `layouts` the candidates as `planning.layouts`
    gives them, each with every one of the `levels` of recomputation, or its own where there are none. `pages`: what does not
    fit of its optimizer's states pages out to the host."""

    id: Any
    model: Transformer
    chips: int
    seq_len: int
    global_batch: int
    sizes: dict[str, int | None]
    costs: Costs
    layouts: np.ndarray
    levels: tuple[int, ...]
    pages: bool = False

    @property
    def plans(self) -> list[dict[str, int]]:
        """The candidate layouts one by one."""
        return planning.named(self.layouts, self.levels)


def parse(case: Mapping[str, Any]) -> TrainingCase:
    """Check one request and list its candidate plans. Raises `InputError` in one sentence."""
    if not isinstance(case, Mapping):
        raise InputError(f"a case is {type(case).__name__}; expected an object")
    requests.reject_unknown_fields(case, FIELDS)
    case, machine = requests.whole_machine(case, ("chips", "dp"))
    model, assumed = shape(case)
    setting = training_settings.settle(case)
    sizes = {key: requests.whole(case, key) for key in SIZES[:-1]}
    sizes["zero_stage"] = requests.whole(case, "zero_stage", 0, 3)
    chips = _chips(case, sizes)
    parsed = TrainingCase(
        **vars(setting),
        id=case.get("id"),
        model=model,
        chips=chips,
        seq_len=requests.whole(case, "seq_len") or CUSTOMARY_SEQUENCE,
        global_batch=requests.whole(case, "global_batch") or 0,
        sizes=sizes,
        costs=costs(case),
        layouts=np.empty(0),
        levels=planning.levels(model.experts) if setting.recompute is None else (),
    )
    if parsed.streamed:
        parsed.notes = [*parsed.notes, *training_settings.moot("zero_stage", sizes["zero_stage"])]
        sizes["zero_stage"] = 0
    parsed.pages = case.get("offload") is None and _may_page(parsed)
    if not parsed.global_batch:
        own = customary_batch(chips, parsed.seq_len, sizes["dp"], sizes["micro_batch"])
        parsed.global_batch = own
    parsed.notes = [*machine, *assumed, *parsed.notes, *assumed_numbers(case, parsed.global_batch)]
    parsed.layouts = _candidates(parsed)
    return parsed


def shape(case: Mapping[str, Any]) -> tuple[Transformer, list[str]]:
    """A request's model, and notes on what had to be assumed of it."""
    return requests.model_of(case), requests.model_notes(case)


def assumed_numbers(case: Mapping[str, Any], global_batch: int) -> list[str]:
    """Notes on the numbers that a request leaves out."""
    notes = []
    if case.get("seq_len") is None:
        notes.append(f"seq_len not given; {CUSTOMARY_SEQUENCE} assumed")
    if case.get("global_batch") is None:
        notes.append(f"global_batch not given; {global_batch:.0f} sequences assumed")
    return notes


def customary_batch(chips: int, seq_len: int, dp: int | None, micro_batch: int | None) -> int:
    """Sequences a step where none are given: about `CUSTOMARY_BATCH_TOKENS`, as many whole micro-batches on every replica."""
    at_once = (dp or chips) * (micro_batch or 1)
    return at_once * max(1, round(CUSTOMARY_BATCH_TOKENS / seq_len / at_once))


def _may_page(case: TrainingCase) -> bool:
    """Whether 8-bit states can page out: on one chip, of a stack that steps in the backward pass, whose recipes for cards too
    small for the states have bitsandbytes' paged optimizers. Those move states "when GPU memory is exhausted", and not before
    (bitsandbytes documentation, AdamW)."""
    eight_bit = case.software.states_in_backward and case.optimizer == "adam8bit"
    return eight_bit and case.chips == 1 and not case.streamed


def page_states(case: TrainingCase) -> None:
    """Let the states of a case that nothing else makes fit page out to the host."""
    case.offload, case.paged, case.pages = OFFLOAD_LEVELS["optimizer"], True, False
    paging = "8-bit states do not fit beside the rest and are paged to the host, as the stack's own recipe does"
    case.notes = [*case.notes, paging, training_settings.host_note(case.chip)]


def _chips(case: Mapping[str, Any], given: Mapping[str, int | None]) -> int:
    chips = requests.whole(case, "chips")
    sizes = [given[key] for key in ("tp", "pp", "dp", "cp")]
    known = [size or 1 for size in sizes]
    product = known[0] * known[1] * known[2] * known[3]
    if chips is None:
        if given["dp"] is None:
            raise InputError("chips is missing; expected the number of chips")
        return product
    complete = all(size is not None for size in sizes[:3])
    if chips % product or (complete and product != chips):
        shown = " x ".join(
            f"{key}={size}"
            for key, size in zip(("tp", "pp", "dp", "cp"), sizes, strict=True)
            if size
        )
        if complete:
            raise InputError(f"{shown} makes {product} chips, but chips is {chips}")
        raise InputError(f"chips is {chips}, which is not a multiple of {shown}")
    return chips


def fixed(
    sizes: Mapping[str, int | None], recompute: int | None, setting: Setting
) -> dict[str, int | None]:
    """What is settled of a layout: what the request settles, and one where the software does not split a model so, nor a stage
    of ZeRO that is told of a pipeline (`piped`)."""
    whole = {size: 1 for size in setting.software.lacks if not sizes[size]}
    if not sizes["pp"] and not piped(sizes["zero_stage"], setting.software):
        whole["pp"] = 1
    return {**sizes, **whole, "recompute": recompute}


def piped(zero_stage: int | None, software: Software) -> bool:
    """Whether a run of which that stage is told may be one with a pipeline that nobody tells of."""
    return (zero_stage or 0) <= planning.PIPED_STAGE[bool(software.fully_sharded)]


def _candidates(case: TrainingCase) -> np.ndarray:
    """The layouts that break no rule, split as the software does where one of them is. Raises `InputError` with the rule
    that stands in the way where none remains."""
    asked = {**case.sizes, "recompute": case.recompute}
    about = (case.model, case.chip, case.chips, case.seq_len, case.global_batch)
    offered = fixed(case.sizes, case.recompute, case)
    for wanted in (asked,) if offered == asked else (offered, asked):
        found = planning.layouts(*about, wanted, bool(case.software.fully_sharded))
        looked_at = found if found.shape[1] else _as_asked(case)
        rules = impossible(case.model, plan(case, looked_at))
        broken = np.array([np.broadcast_to(rule, looked_at.shape[1]) for rule, _ in rules], bool)
        kept = ~broken.any(axis=0)
        if found.shape[1] and kept.any():
            if wanted != offered:
                case.notes = [*case.notes, f"{_set_aside(case)}; no plan without is possible"]
            return found[:, kept]
    raise InputError(_why_none(case, broken, [text for _, text in rules]))


def _set_aside(case: TrainingCase) -> str:
    """Why splits that a case leaves open are offered where nothing else is possible alone."""
    if case.software.lacks:
        return lacks_note(case.software)
    return f"zero_stage {case.sizes['zero_stage']} is hardly ever told of a run with a pipeline"


def lacks_note(software: Software) -> str:
    """What a stack does not have that splits a model among chips."""
    return f"{software.name} has no {' nor '.join(software.lacks.values())}"


def plan(case: TrainingCase, layouts: np.ndarray) -> Plan:
    """Candidate layouts as one plan whose fields are arrays."""
    columns = dict(zip(planning.LAYOUT, layouts, strict=False))
    wanted = case.sequence_parallel
    parallel = (columns["tp"] > 1) if wanted is None else np.full(layouts.shape[1], wanted)
    return Plan(
        seq_len=float(case.seq_len),
        global_batch=float(case.global_batch),
        sequence_parallel=parallel.astype(float),
        **case.settled,
        **columns,
    )


def _as_asked(case: TrainingCase) -> np.ndarray:
    """The one layout that has the sizes a case settles, and is plain in what it leaves open: what to judge where none divides."""
    asked = {key: value or 1 for key, value in case.sizes.items()}
    asked["zero_stage"] = 1 if case.sizes["zero_stage"] is None else case.sizes["zero_stage"]
    chips_a_replica = asked["tp"] * asked["pp"] * asked["cp"]
    asked["dp"] = case.sizes["dp"] or max(1, case.chips // chips_a_replica)
    asked["recompute"] = case.recompute or 0
    return np.array([[asked[name]] for name in planning.LAYOUT], float)


def _why_none(case: TrainingCase, broken: np.ndarray, rules: list[str]) -> str:
    """One sentence on why no layout remains: the rule that the asked-for settings break. broken: whether a rule (line) is broken
    by a layout (column)."""
    nearest = broken[:, broken.sum(axis=0).argmin()]
    known = next((text for rule, text in zip(nearest, rules, strict=True) if rule), None)
    sizes = case.sizes
    free_sizes = (sizes["tp"] is None or sizes["pp"] is None) and sizes["dp"] is None
    if known and not (free_sizes and "global_batch" in known):
        return f"{f'chip {case.chip.id}' if case.streamed else 'no plan is possible'}: {known}"
    size = sizes["micro_batch"]
    batches, times = (f" in micro-batches of {size}", " x micro_batch") if size else ("", "")
    return (
        f"no plan divides {case.chips} chips, {case.model.layers:.0f} layers and {case.global_batch} sequences{batches}; chips must"
        f" be tp x pp x dp x cp, pp at most the layers and global_batch a multiple of dp{times}"
    )
