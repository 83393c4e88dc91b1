"""`moat predict training`: requests in, step times, memory and plans out, many at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.plan import OFFLOAD_LEVELS, RECOMPUTE_LEVELS, stage_layers
from training_moat.core.training_step import StepTime
from training_moat.core.units import GIB, TERA
from training_moat.predict import own_runs, training_batch
from training_moat.predict import training_constants as known
from training_moat.predict.own_runs import Shift
from training_moat.predict.run_costs import run_costs
from training_moat.predict.training_batch import Evaluated
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import TrainingCase, parse

LEVEL_NAMES = {code: word for word, code in RECOMPUTE_LEVELS.items()}
OFFLOAD_NAMES = {code: word for word, code in OFFLOAD_LEVELS.items()}
PLAN_FIELDS = ("tp", "pp", "dp", "ep", "cp", "micro_batch", "virtual_stages", "zero_stage")
PARTS = tuple(f.name for f in fields(StepTime))
HELD = ("weights", "gradients", "optimizer", "activations", "workspace")
NO_SHIFT = Shift()
"""What no own runs say."""
LONGEST_ERROR = 400
"""Characters of an error sentence."""
LONGEST_STEP = 1e9
"""Seconds of a step beyond which an answer is a slip of the question: thirty years."""


def predict(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answer each request in order; a bad one gets `ok: false` and its error, the others still run.

    The fields of requests and answers are those of the command-line contract. Times are seconds, memory GiB.
    """
    constants = known.load()
    answers: list[dict[str, Any] | None] = [None] * len(requests)
    cases: list[TrainingCase] = []
    place: list[int] = []
    runs: list[list[tuple[TrainingCase, float]]] = []
    for index, request in enumerate(requests):
        try:
            case = parse(request)
            own = own_runs.anchors(request, case)
            _reject_silent_chip(case, constants)
        except (InputError, OverflowError, RecursionError) as error:
            answers[index] = _refusal(request, error)
        else:
            cases.append(case)
            place.append(index)
            runs.append(own)
    anchors = [case for own in runs for case, _ in own]
    found = training_batch.evaluate([*cases, *anchors], constants)
    rest = iter(found[len(cases) :])
    for case, index, own, one in zip(cases, place, runs, found, strict=False):
        moved = _shift(case, [(seconds, next(rest)) for _, seconds in own], constants)
        answers[index] = answer(case, one, int(one.order[0]), constants, moved)
    return answers  # type: ignore[return-value]


def _reject_silent_chip(case: TrainingCase, constants: Constants) -> None:
    """Raise for a chip whose table lacks what a step time needs."""
    tiers.home(case.chip, "training")
    known.node(constants, case.chip, case.precision)


def _refusal(request: Any, error: Exception) -> dict[str, Any]:
    identity = request.get("id") if isinstance(request, Mapping) else None
    text = " ".join(str(error).split())
    if not isinstance(error, InputError):
        text = "a value is too large or nested too deeply; expected plain numbers and names"
    return {"id": identity, "ok": False, "error": text[:LONGEST_ERROR]}


def _shift(
    case: TrainingCase, own: Sequence[tuple[float, Evaluated]], constants: Constants
) -> Shift:
    errors = [math.log(seconds / float(one.step.total[one.order[0]])) for seconds, one in own]
    return own_runs.shift(errors, *known.scatter(constants, case.chip.family, _experts(case)))


def _experts(case: TrainingCase) -> bool:
    return case.model.experts > 0


def answer(
    case: TrainingCase, found: Evaluated, index: int, constants: Constants, moved: Shift = NO_SHIFT
) -> dict[str, Any]:
    """The contract's answer for one evaluated plan of a case, or a refusal where it would be absurd."""
    seconds = {name: float(getattr(found.step, name)[index]) * moved.factor for name in PARTS}
    total = sum(seconds.values())
    memory = {name: float(getattr(found.memory, name)[index]) / GIB for name in HELD}
    reserve = float(found.memory.reserve[index]) / GIB
    memory["total"] = sum(memory.values())
    memory["allocated"] = memory["total"] - reserve
    memory["reserved"] = memory["total"]
    problem = _absurd(seconds, memory, total)
    if problem:
        return {"id": case.id, "ok": False, "error": problem}
    level = known.level(constants, case.chip, case.precision, _experts(case), case.software)
    low, high = known.interval(constants, level, case.chip.family, _experts(case))
    tokens = case.global_batch * case.seq_len / total
    rates = _rates(case, found, index, total)
    if not rates["mfu"] <= 1:
        return {"id": case.id, "ok": False, "error": _too_fast(rates["mfu"], moved)}
    costs, notes = run_costs(case, tokens, total, constants)
    return {
        "id": case.id,
        "ok": True,
        "step_time_s": total,
        "step_time_s_p05": total * low**moved.width,
        "step_time_s_p95": total * high**moved.width,
        "tokens_per_s": tokens,
        "tokens_per_s_per_chip": tokens / case.chips,
        **rates,
        "memory_gib": memory,
        "fits": bool(found.fits[index]),
        "seconds": seconds,
        "plan": _plan_answer(case, found, index),
        "calibration": level,
        **costs,
        "notes": case.notes + notes + _notes(case, found, index, memory["total"], moved),
    }


def _rates(case: TrainingCase, found: Evaluated, index: int, total: float) -> dict[str, float]:
    peak = case.chip.peak_flops[case.chip.compute_format(case.precision)]
    model = float(found.model_flops[index]) / total / case.chips
    hardware = float(found.hardware_flops[index]) / total / case.chips
    return {
        "model_tflops_per_chip": model / TERA,
        "hardware_tflops_per_chip": hardware / TERA,
        "mfu": model / peak,
        "hfu": hardware / peak,
    }


def _absurd(seconds: Mapping[str, float], memory: Mapping[str, float], total: float) -> str:
    """Why an answer cannot be given, or nothing."""
    for name, value in (*seconds.items(), *memory.items()):
        if not math.isfinite(value) or value < 0:
            return f"no sensible {name} comes out; expected sizes that belong to one model and run"
    if not 0 < total <= LONGEST_STEP:
        return f"a step would take {total:.3g} s; expected a smaller model or batch, or more chips"
    return ""


def _too_fast(mfu: float, moved: Shift) -> str:
    cause = "anchors" if moved.factor < 1 else "the chip's rates"
    return (
        f"the run would reach {mfu:.2f} of the chip's peak; expected {cause} that leave it below 1"
    )


def _plan_answer(case: TrainingCase, found: Evaluated, index: int) -> dict[str, Any]:
    plan = found.plan
    answer: dict[str, Any] = {name: int(getattr(plan, name)[index]) for name in PLAN_FIELDS}
    level = int(plan.recompute[index])
    answer |= {
        "seq_len": case.seq_len,
        "global_batch": case.global_batch,
        "sequence_parallel": bool(plan.sequence_parallel[index]),
        "recompute": LEVEL_NAMES[level],
        "recompute_share": float(plan.recompute_share[index]) if level >= 2 else 0.0,
        "precision": case.precision,
        "software": case.software.name,
        "optimizer": case.optimizer,
        "master_weights": case.master_weights,
        "flash_attention": case.flash_attention,
    }
    if _experts(case):
        answer["expert_tp"] = int(plan.expert_tensor[index])
    if case.lora_rank:
        answer["lora_rank"] = case.lora_rank
    if case.offload:
        answer["offload"] = OFFLOAD_NAMES[case.offload]
    return answer


def _notes(
    case: TrainingCase, found: Evaluated, index: int, total_gib: float, moved: Shift
) -> list[str]:
    notes = []
    chip = case.chip
    if not found.fits[index]:
        capacity = tiers.room_for(chip, "training", case.chips).space / GIB
        which = "the plan" if len(case.plans) == 1 else "no plan fits; one of the smallest"
        notes.append(
            f"{which} needs {total_gib:.1f} GiB a chip, {chip.id} offers {capacity:.1f} GiB; the time is hypothetical"
        )
    alone = chip.scaleup.domain_chips or 1 if chip.scaleup else 1
    if chip.scaleout is None and case.chips > alone:
        notes.append(
            f"{chip.id} publishes no scale-out link; the chips table's median rate is assumed"
        )
    if case.stack == "other" and case.software.name == "other":
        notes.append(
            "no measurements of this software; it is taken to be as fast as the measured ones usually are, not as the best"
        )
    stage, share = _stage(case, found, index)
    if stage > share:
        notes.append(
            f"the layers do not divide over the stages: the fullest has {stage:.0f}, and decides"
        )
    if _experts(case) and case.released is None:
        notes.append("released not given; the middle of the measured releases is assumed")
    if moved != NO_SHIFT:
        notes.append(f"own runs move the prediction by a factor of {moved.factor:.2f}")
    return notes


def _stage(case: TrainingCase, found: Evaluated, index: int) -> tuple[float, float]:
    """(layers on the fullest stage, the mean stage's)."""
    pp = float(found.plan.pp[index])
    return float(stage_layers(case.model, found.plan)[index]), case.model.layers / pp


def search(request: Mapping[str, Any], top: int = 10) -> list[dict[str, Any]]:
    """The fastest plans that fit for one request, best first. Raises `InputError` for a bad request.

    Where nothing fits, the answers that need least memory, marked `fits: false`.
    """
    constants = known.load()
    case = parse(request)
    _reject_silent_chip(case, constants)
    found = training_batch.evaluate([case], constants)[0]
    fitting = found.order[: max(1, int(found.fits.sum()))]
    return [answer(case, found, int(index), constants) for index in fitting[:top]]
