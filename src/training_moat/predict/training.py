"""`moat predict training`: requests in, step times, memory and plans out, many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from training_moat.core import tiers
from training_moat.core import training_step as model_of_step
from training_moat.core.errors import InputError
from training_moat.core.memory import TrainingMemory, least_recompute_share, training_memory
from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.training_step import StepTime
from training_moat.core.units import GIB, TERA
from training_moat.predict import training_constants as known
from training_moat.predict.training_plans import TrainingCase, parse, plan

LEVEL_NAMES = {code: word for word, code in RECOMPUTE_LEVELS.items()}
NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLAN_FIELDS = ("tp", "pp", "dp", "ep", "cp", "micro_batch", "virtual_stages", "zero_stage")


@dataclass(frozen=True)
class Evaluated:
    """All candidate plans of one case, timed and weighed: arrays of one length."""

    plan: Plan
    step: StepTime
    memory: TrainingMemory
    fits: np.ndarray
    order: np.ndarray
    """Indices of the plans, best first: those that fit by time; where none does, by time those that need hardly more
    than the smallest; then the others by memory."""


def evaluate(case: TrainingCase, constants: known.Constants) -> Evaluated:
    """Time and weigh every candidate plan of a case in one sweep."""
    count = len(case.plans)
    weigh = _scales(case, constants)
    candidates = _least_recomputation(case, plan(case, case.plans), weigh)
    memory = _full(weigh(candidates), count)
    node = known.node(constants, case.chip, case.precision)
    efficiency = known.efficiency(constants, case.chip, case.precision, case.stack)
    step = _full(
        model_of_step.step_time(case.model, candidates, node, efficiency, case.optimizer), count
    )
    fits = tiers.fits(*_parts(memory), case.chip, "training", case.chips)
    near = fits if fits.any() else memory.total <= NEARLY_SMALLEST * memory.total.min()
    score = np.where(near, step.total, np.inf)
    order = np.lexsort((memory.total, score))
    return Evaluated(candidates, step, memory, fits, order)


def _scales(case: TrainingCase, constants: known.Constants) -> Callable[[Plan], TrainingMemory]:
    """What weighs plans of a case: the memory model with the case's formats and the runtime's reserve."""
    gradient = known.gradient_bytes(case.precision, case.stack, case.software)
    reserve = known.reserve(constants, case.stack)
    kept = known.kept_input_bytes(case.precision)
    master = case.stack in known.FULLY_SHARDED_STACKS
    return lambda plans: training_memory(
        case.model, plans, case.optimizer, gradient, *reserve, kept, master
    )


def _least_recomputation(
    case: TrainingCase, plans: Plan, weigh: Callable[[Plan], TrainingMemory]
) -> Plan:
    """The plans with no more layers recomputed than memory asks, where the case leaves it open."""
    if case.fixed["recompute_share"] is not None:
        return replace(
            plans, recompute_share=np.full(len(case.plans), case.fixed["recompute_share"])
        )
    if case.fixed["recompute"] is not None:
        return plans
    _, space = tiers.decisive(0.0, 0.0, case.chip, "training")
    share = least_recompute_share(case.model, plans, lambda trial: _held(case, weigh(trial)), space)
    return replace(plans, recompute_share=np.where(plans.recompute >= 2, share, 1.0))


def _parts(memory: TrainingMemory) -> tuple[Any, Any]:
    """(states, activations with workspace) of a run's memory."""
    return (
        memory.weights + memory.gradients + memory.optimizer,
        memory.activations + memory.workspace,
    )


def _held(case: TrainingCase, memory: TrainingMemory) -> Any:
    """Bytes in the memory that decides whether the run fits."""
    return tiers.decisive(*_parts(memory), case.chip, "training")[0]


def _full(record: Any, count: int) -> Any:
    """The same record with every field an array of `count` values."""
    return type(record)(
        **{f.name: np.broadcast_to(getattr(record, f.name), count) for f in fields(record)}
    )


def predict(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answer each request in order; a bad one gets `ok: false` and its error, the others still run.

    The fields of requests and answers are those of the command-line contract. Times are seconds, memory GiB.
    """
    constants = known.load()
    return [_answer_or_error(request, constants) for request in requests]


def _answer_or_error(request: Mapping[str, Any], constants: known.Constants) -> dict[str, Any]:
    try:
        case = parse(request)
        found = evaluate(case, constants)
        return answer(case, found, int(found.order[0]), constants)
    except InputError as error:
        identity = request.get("id") if isinstance(request, Mapping) else None
        return {"id": identity, "ok": False, "error": str(error)}


def answer(
    case: TrainingCase, found: Evaluated, index: int, constants: known.Constants
) -> dict[str, Any]:
    """The contract's answer for one evaluated plan of a case."""
    chosen = Plan(**{f.name: _item(getattr(found.plan, f.name), index) for f in fields(Plan)})
    seconds = {f.name: float(getattr(found.step, f.name)[index]) for f in fields(StepTime)}
    total = sum(seconds.values())
    memory = {
        f.name: float(getattr(found.memory, f.name)[index]) / GIB for f in fields(TrainingMemory)
    }
    memory["total"] = sum(memory.values())
    level = known.level(constants, case.chip)
    low, high = known.interval(constants, level, case.chip.family, case.model.experts > 0)
    model_flops = float(model_of_step.model_flops_per_step(case.model, chosen)) / total / case.chips
    hardware_flops = (
        float(model_of_step.hardware_flops_per_step(case.model, chosen)) / total / case.chips
    )
    peak = case.chip.peak_flops[case.chip.compute_format(case.precision)]
    return {
        "id": case.id,
        "ok": True,
        "step_time_s": total,
        "step_time_s_p05": total * low,
        "step_time_s_p95": total * high,
        "tokens_per_s": chosen.tokens_per_step / total,
        "tokens_per_s_per_chip": chosen.tokens_per_step / total / case.chips,
        "model_tflops_per_chip": model_flops / TERA,
        "hardware_tflops_per_chip": hardware_flops / TERA,
        "mfu": model_flops / peak,
        "hfu": hardware_flops / peak,
        "memory_gib": memory,
        "fits": bool(found.fits[index]),
        "seconds": seconds,
        "plan": _plan_answer(case, chosen),
        "calibration": level,
        "notes": case.notes + _notes(case, found, index, memory["total"]),
    }


def _item(value: Any, index: int) -> float:
    return float(value[index]) if isinstance(value, np.ndarray) and value.ndim else float(value)


def _plan_answer(case: TrainingCase, chosen: Plan) -> dict[str, Any]:
    answer: dict[str, Any] = {name: int(getattr(chosen, name)) for name in PLAN_FIELDS}
    answer |= {
        "seq_len": case.seq_len,
        "global_batch": case.global_batch,
        "sequence_parallel": bool(chosen.sequence_parallel),
        "recompute": LEVEL_NAMES[int(chosen.recompute)],
        "recompute_share": float(chosen.recomputed_layers),
        "precision": case.precision,
        "software": case.stack,
        "optimizer": case.optimizer,
        "flash_attention": case.flash_attention,
    }
    return answer


def _notes(case: TrainingCase, found: Evaluated, index: int, total_gib: float) -> list[str]:
    notes = []
    if not found.fits[index]:
        capacity = tiers.capacity_bytes(case.chip, "training") / GIB
        which = "the plan" if len(case.plans) == 1 else "no plan fits; one of the smallest"
        notes.append(
            f"{which} needs {total_gib:.1f} GiB a chip, {case.chip.id} has {capacity:.1f} GiB; the time is hypothetical"
        )
    if case.chip.scaleout is None and case.chips > (
        case.chip.scaleup.domain_chips or 1 if case.chip.scaleup else 1
    ):
        notes.append(
            f"{case.chip.id} publishes no scale-out link; the chips table's median rate is assumed"
        )
    if case.stack == "other":
        notes.append(
            "no measurements of this software; it is taken to be as fast as the measured ones usually are, not as the best"
        )
    return notes


def search(request: Mapping[str, Any], top: int = 10) -> list[dict[str, Any]]:
    """The fastest plans that fit for one request, best first. Raises `InputError` for a bad request.

    Where nothing fits, the answers that need least memory, marked `fits: false`.
    """
    constants = known.load()
    case = parse(request)
    found = evaluate(case, constants)
    fitting = found.order[: max(1, int(found.fits.sum()))]
    return [answer(case, found, int(index), constants) for index in fitting[:top]]
