"""`moat predict serving`: requests in, latency, throughput and memory out, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_moat.catalog import relatives, tables
from training_moat.core import serving_step as model_of_serving
from training_moat.core.errors import InputError
from training_moat.core.serving_memory import ServingMemory
from training_moat.core.serving_step import ServingTime
from training_moat.core.tiers import home, room
from training_moat.core.units import GB, GIB, SECONDS_PER_HOUR
from training_moat.predict import beyond, serving_software
from training_moat.predict import requests as reading
from training_moat.predict import serving_constants as known
from training_moat.predict.engines import NO_ENGINE, label
from training_moat.predict.records import joined, mapped
from training_moat.predict.serving_batch import (
    Batch,
    Question,
    batches,
    evaluate,
    exchange_of,
    spills,
)
from training_moat.predict.serving_plans import USUAL_LOAD, ServingCase, parse

LONGEST_S = 1e9
"""Seconds (thirty years) beyond which a time is refused."""
SIZES = ("chips", "tp", "pp", "dp", "ep", "expert_tp")
"""Whole numbers that an answer tells of its plan."""


@dataclass(frozen=True)
class Evaluated:
    """A plan's times, its memory in bytes, and whether it fits; or those of many plans, as arrays."""

    time: ServingTime
    memory: ServingMemory
    fits: Any

    def one(self, place: int) -> Evaluated:
        """One of many, in plain numbers."""
        found: Evaluated = mapped(self, lambda column: column[place].item())
        return found


def _evaluated(batch: Batch, constants: known.Constants) -> Evaluated:
    """The plans of a batch: their memory with the running sequences, and whether weights and one sequence per copy fit."""
    told = evaluate(batch, constants.resolve(batch.families, batch.engines))
    asked = model_of_serving.memory(batch.model, batch.load.job, batch.plan)
    running, wanted = (
        np.maximum(np.ceil(sequences / batch.plan.dp), 1)
        for sequences in (told.running, batch.load.job.batch)
    )
    one = asked.kv_cache / wanted
    held = replace(asked, kv_cache=asked.kv_cache * (running / wanted))
    fits = asked.weights + asked.activations + one <= room(batch.tiers, "serving")
    found: Evaluated = mapped(
        Evaluated(told, held, fits), lambda column: np.broadcast_to(column, len(batch.positions))
    )
    return found


def evaluate_cases(
    wanted: Sequence[ServingCase], constants: known.Constants
) -> list[tuple[Question, Evaluated]]:
    """What every case asks under its best plan, the fastest that fits, of all that are evaluated in a few array sweeps."""
    asked = [replace(case.asked, plan=plan) for case in wanted for plan in case.plans]
    if not asked:
        return []
    swept = batches(asked)
    order = np.argsort(np.concatenate([batch.positions for batch in swept]), kind="stable")
    every = joined([_evaluated(batch, constants) for batch in swept])
    every = mapped(every, lambda column: column[order])
    total, speed = every.memory.total, np.where(every.fits, every.time.tokens_per_s, 0.0)
    found, first = [], 0
    for case in wanted:
        where = slice(first, first + len(case.plans))
        first += len(case.plans)
        best = np.lexsort((total[where], -speed[where], ~every.fits[where]))[0]
        place = where.start + int(best)
        found.append((asked[place], every.one(place)))
    return found


def predict(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answer each request in order; a bad one gets `ok: false` and its error, the others still run.

    The fields of requests and answers are those of the command-line contract. Times are seconds, memory GiB
    on one chip.
    """
    with tables.steady():
        return _answered(requests, known.stored())


def _answered(
    requests: Sequence[Mapping[str, Any]], constants: known.Constants
) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = [{} for _ in requests]
    good: list[tuple[int, ServingCase]] = []
    for position, request in enumerate(requests):
        try:
            good.append((position, parse(request, constants)))
        except InputError as error:
            answers[position] = reading.refused(request, str(error))
    evaluated = evaluate_cases([case for _, case in good], constants)
    for (position, case), found in zip(good, evaluated, strict=True):
        try:
            answers[position] = answer(case, *found, constants)
        except InputError as error:
            answers[position] = reading.refused(requests[position], str(error))
    return answers


def _possible(time: ServingTime, asked: Question) -> None:
    """Raise InputError for a time that is no answer."""
    for name, seconds in (("ttft_s", time.ttft_s), ("tpot_s", time.tpot_s)):
        if not 0 <= seconds <= LONGEST_S:
            raise InputError(
                f"{name} would be {seconds:.3g} s, which is no service: {asked.batch:,} sequences of "
                f"{asked.input_len:,} + {asked.output_len:,} tokens are too much for {asked.chip.id}"
            )


def answer(
    case: ServingCase, asked: Question, found: Evaluated, constants: known.Constants
) -> dict[str, Any]:
    """The contract's answer for what a case asks under one plan."""
    time, plan = found.time, asked.plan
    _possible(time, asked)
    memory = {name: size / GIB for name, size in vars(found.memory).items()}
    memory["total"] = sum(memory.values())
    known_as = constants.level(asked.chip.id, asked.chip.family, asked.software)
    low, high = constants.interval(known_as, known.interval_kind(asked.software))
    tokens_per_s = time.tokens_per_s
    cost = {}
    if (price := case.price_usd_per_chip_hour) is not None:
        cost["usd_per_m_output_tokens"] = usd_per_m_tokens(price, plan.chips, tokens_per_s)
    return {
        "id": case.id,
        "ok": True,
        "ttft_s": time.ttft_s,
        "tpot_s": time.tpot_s,
        "tpot_s_p05": time.tpot_s * low,
        "tpot_s_p95": time.tpot_s * high,
        "tokens_per_s": tokens_per_s,
        "tokens_per_s_per_chip": tokens_per_s / plan.chips,
        **cost,
        "memory_gib": memory,
        "fits": found.fits,
        "seconds": vars(time.step) | {"prefill_of_others": time.prefill_wait_s},
        "plan": {name: int(getattr(plan, name)) for name in SIZES}
        | {"cp": 1, "precision": asked.precision, "kv_precision": asked.kv_precision}
        | {"software": _label(asked)}
        | {name: getattr(asked, name) for name in USUAL_LOAD},
        "calibration": known_as,
        "notes": case.notes
        + _service_notes(asked, constants)
        + _notes(case, asked, found, memory["total"]),
    }


def _label(asked: Question) -> str:
    """How a plan names its engine so that asking with it again means the same one."""
    if asked.exchange is not None and asked.software == NO_ENGINE:
        return asked.exchange.engine
    return label(asked.software)


def _notes(case: ServingCase, asked: Question, found: Evaluated, total_gib: float) -> list[str]:
    notes, chip, running = [], asked.chip, found.time.running
    if not found.fits:
        capacity = room(home(chip, "serving"), "serving") / GIB
        which = "the plan" if len(case.plans) == 1 else "no plan fits; the smallest"
        needs, offered = beyond.apart(total_gib, capacity)
        notes.append(
            f"{which} needs {needs} GiB a chip, {chip.id} has room for {offered}; the time is hypothetical"
        )
        if case.format_assumed:
            notes.append(f"precision not given; {asked.precision} weights assumed")
    elif running < asked.batch - 0.5:
        notes.append(
            f"room for the caches of {_sequences(running)} at once; the other {asked.batch - running:.0f} queue"
        )
    if spills(asked):
        slow = home(chip, "serving")[-1]
        rate = (slow.bytes_per_s or np.nan) / GB
        notes.append(
            f"the faster memories cannot hold the weights, which are read from {chip.id}'s {slow.word} at {rate:,.0f} GB/s"
        )
    if chip.scaleup is None and chip.scaleout is None and asked.plan.chips > 1:
        notes.append(
            f"{chip.id} publishes no link bandwidth; {relatives.taken(chip, 'scaleup')[1]} is assumed"
        )
    notes += _exchange_notes(asked) + beyond.of_system(chip, asked.plan.chips)
    return notes


def _service_notes(asked: Question, constants: known.Constants) -> list[str]:
    """What is taken of a maker's own service: that it drafts tokens, without which an answer may beat the data sheet's
    bandwidth, and that it runs on another chip than its maker's."""
    if asked.software not in serving_software.of_makers():
        return []
    chip, name, notes = asked.chip, asked.software, []
    own = [family for family, engine in serving_software.services().items() if engine in name]
    if chip.family not in own:
        notes.append(f"{name} serves its maker's own chips; {chip.id} is taken to be run likewise")
    if name in known.SPECULATIVE:
        tokens = constants.resolve([chip.family], [name])["tokens_per_step"].item()
        notes.append(f"a pass of {name} is taken to yield {tokens:.1f} tokens, drafted and checked")
    return notes


def _exchange_notes(asked: Question) -> list[str]:
    """What is taken of an engine's exchange of tokens, where a plan spreads experts so widely."""
    exchange = exchange_of(asked)
    if exchange is None:
        return []
    told = f"a value takes {exchange.sent_bytes:g} bytes to the experts and {exchange.returned_bytes:g} back"
    turns = ", and half of a batch computes while the other's tokens travel where that is faster"
    return [f"{exchange.engine}: {told}" + turns * (exchange.micro_batches > 1)]


def _sequences(number: float) -> str:
    return f"{number:.0f} sequence{'' if round(number) == 1 else 's'}"


def usd_per_m_tokens(usd_per_chip_hour: float, chips: float, tokens_per_s: float) -> float:
    """Dollars per million output tokens: price of an hour of all chips over the tokens they put out in it."""
    return usd_per_chip_hour * chips / (tokens_per_s * SECONDS_PER_HOUR) * 1e6
