"""Many serving questions at once: models, chips and plans of different kinds as arrays for `core.serving_step`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from training_moat.catalog import relatives
from training_moat.core import serving_memory, serving_step
from training_moat.core.fabrics import Fabric, of_slice
from training_moat.core.machine import Chip, Tier
from training_moat.core.serving_exchange import Exchange
from training_moat.core.tiers import faster_tiers, home, room
from training_moat.core.workload import Transformer
from training_moat.predict import (
    expert_exchange,
    interconnect,
    serving_formats,
    serving_software,
    sustained,
)
from training_moat.predict.expert_exchange import ExpertExchange
from training_moat.predict.records import stacked_once
from training_moat.predict.serving_constants import HOSTED

ACTIVATION_SHARE = 0.02
SMALLEST_CHUNK = 128.0
"""Where memory is small prompts are processed in small passes: activations take this share, a pass this many
tokens at least."""


@dataclass(frozen=True)
class Question:
    """One thing to predict: a model on a chip, with its software, formats, load and plan."""

    model: Transformer
    chip: Chip
    software: str
    precision: str
    kv_precision: str
    batch: float
    input_len: float
    output_len: float
    plan: serving_step.ServingPlan = serving_step.ServingPlan()
    attention: str = ""
    """Format of the attention's weights where it is not that of the maker's checkpoint."""
    drafted: float = 0.0
    """Tokens that the model's own draft layer proposes before each pass."""
    copies: float = 0.0
    """One where all sequences are copies of one prompt."""
    exchange: ExpertExchange | None = None
    """How the engine sends tokens to experts on many chips, where that is known."""


def prefill_chunk(model: Transformer, chip: Chip) -> float:
    """Prompt tokens per pass: the engines' default, or as many as leave the activations their share of the memory that is at
    work (a large slow one beside it holds what waits)."""
    capacity = sum(tier.capacity_bytes for tier in faster_tiers(chip))
    per_token = 8.0 * model.hidden * serving_step.WIDE_BYTES
    return float(
        np.clip(
            ACTIVATION_SHARE * capacity / per_token, SMALLEST_CHUNK, serving_memory.PREFILL_CHUNK
        )
    )


def job_of(question: Question) -> serving_step.Job:
    """What a question asks for, with its checkpoint's bytes and whether inputs are cast for the units that multiply it."""
    job = serving_formats.job(
        question.model,
        question.precision,
        question.kv_precision,
        question.batch,
        question.input_len,
        question.output_len,
        prefill_chunk(question.model, question.chip),
        question.attention,
    )
    used = serving_formats.multiplied_in(question.chip, question.precision)
    casts = float(used in serving_formats.CAST)
    return replace(job, casts=casts, drafted=question.drafted, copies=question.copies)


def exchange_of(question: Question) -> ExpertExchange | None:
    """The engine's exchange where a question's plan spreads experts so widely. Tokens travel in 8 bits only where the
    experts multiply in as few, since they are cast for that anyway."""
    exchange = question.exchange
    if exchange is None or not exchange.takes(question.plan):
        return None
    cast = job_of(question).casts > 0
    return exchange if cast else replace(exchange, sent_bytes=serving_memory.WIDE_BYTES)


@dataclass(frozen=True)
class Networks:
    """What a chip talks over: its scale-up links, the bus of its server (the same where they join all its chips), and the
    network between servers."""

    scaleup: Fabric
    server: Fabric
    scaleout: Fabric

    def of(self, plan: serving_step.ServingPlan) -> tuple[Fabric, Fabric, Fabric]:
        """(fabric of the plan's sums, server, scale-out): sums over more chips than the links join go over the bus."""
        inside = max(plan.tp, plan.expert_chips) <= self.scaleup.domain_chips
        near = of_slice(self.scaleup, plan.chips) if inside else self.server
        return near, self.server, self.scaleout


def networks(chip: Chip) -> Networks:
    """The networks of a chip. A scale-up link of which nothing is published is taken as its relatives' is, and a network
    between servers as the scale-up link, but not as the bus of a server."""
    up, out = interconnect.scaleup_fabric(chip), interconnect.scaleout_fabric(chip)
    if up is None and out is None:
        up = interconnect.scaleup_fabric(relatives.joined(chip))
    up = up or out
    assert up is not None  # a relative's link was taken where none is published
    server = up if chip.host is None else interconnect.host_fabric(chip.host)
    if out is None and server.topology == "host":
        rate = min(relatives.link(chip, "scaleout").bytes_per_s, server.bytes_per_s)
        out = interconnect.scaleout_link(relatives.link_at(chip, "scaleout", rate))
    return Networks(up, server, out or up)


@dataclass(frozen=True)
class Load:
    """What questions that differ in their plan alone share: the job, the peaks that its products and scores are multiplied
    at, whether the units and their operands are narrow, and what memory sustains at most."""

    job: serving_step.Job
    ffn_flops: float
    attention_flops: float
    score_flops: float
    narrow: bool
    bytewide_ffn: bool
    bytewide_attention: bool
    bandwidth_cap: float
    framework: bool
    """Whether the host starts every operation, the cache is copied in every step and each expert is asked for its tokens in
    turn."""


@dataclass(frozen=True)
class Batch:
    """Questions as arrays. `scaleup`, `server` and `scaleout` have array fields but one topology each, so
    that one batch holds one set of topologies; `families` and `engines` are indices for the constants."""

    model: Transformer
    load: Load
    plan: serving_step.ServingPlan
    tiers: tuple[Tier, ...]
    scaleup: Fabric
    server: Fabric
    scaleout: Fabric
    exchange: Exchange | None
    families: list[str]
    engines: list[str]
    positions: np.ndarray


def held_bytes(
    model: Transformer,
    job: serving_step.Job,
    plans: Sequence[serving_step.ServingPlan],
    sequences: str = "one",
) -> np.ndarray:
    """Bytes one chip holds under each plan: weights, activations and the cache of one sequence a copy, or of `all`."""
    if not plans:
        return np.zeros(0)
    laid_out = stacked_once(plans)
    if sequences == "one":
        job = replace(job, batch=laid_out.dp)
    return np.asarray(serving_step.memory(model, job, laid_out).total)


def spilling(question: Question, plans: Sequence[serving_step.ServingPlan]) -> np.ndarray:
    """Under which plans weights and one sequence need the chip's large slow tier (`ddr`) beside faster ones."""
    faster = faster_tiers(question.chip)
    if len(faster) == len(home(question.chip, "serving")):
        return np.zeros(len(plans), dtype=bool)
    return held_bytes(question.model, job_of(question), plans) > room(faster, "serving")


def spills(question: Question) -> bool:
    """Whether a question's own plan needs the large slow tier."""
    return bool(spilling(question, [question.plan])[0])


def _load(question: Question) -> Load:
    chip, precision = question.chip, question.precision
    used = serving_formats.multiplied_in(chip, precision)
    attention = question.attention or serving_formats.attention_format(question.model, precision)
    same = attention == precision
    wide = used if same else serving_formats.attention_units(chip, attention, precision)
    return Load(
        job_of(question),
        chip.peak_flops[used],
        chip.peak_flops[wide],
        chip.peak_flops[serving_formats.attention_units(chip, question.kv_precision, precision)],
        used in serving_formats.NARROW,
        used in serving_formats.BYTEWIDE,
        wide in serving_formats.BYTEWIDE,
        sustained.bandwidth_share(chip),
        serving_software.is_framework(question.software),
    )


def _alike(questions: Sequence[Question]) -> list[np.ndarray]:
    """Positions of the questions that differ in their plan alone."""
    groups: dict[tuple, list[int]] = {}
    for position, q in enumerate(questions):
        formats = (q.precision, q.kv_precision, q.attention)
        load = (q.batch, q.input_len, q.output_len, q.drafted, q.copies, q.software)
        groups.setdefault((id(q.model), id(q.chip), *formats, *load), []).append(position)
    return [np.array(where) for where in groups.values()]


def _stacked_tiers(questions: Sequence[Question], groups: list[np.ndarray]) -> tuple[Tier, ...]:
    """The tiers that each question uses, fastest first, as arrays: the large slow one only under plans that need it."""
    known = {id(q.chip): q.chip for q in questions}
    homes = {key: (home(chip, "serving"), faster_tiers(chip)) for key, chip in known.items()}
    deepest = max(len(whole) for whole, _ in homes.values())
    sizes, rates = (np.zeros((deepest, len(questions))) for _ in range(2))
    for where in groups:
        first = questions[where[0]]
        whole, faster = homes[id(first.chip)]
        slow = np.zeros(len(where), bool)
        if len(faster) < len(whole):
            slow = spilling(first, [questions[i].plan for i in where])
        for some, tiers in ((slow, whole), (~slow, faster)):
            for level in range(deepest):
                tier = tiers[min(level, len(tiers) - 1)]
                sizes[level, where[some]] = tier.capacity_bytes if level < len(tiers) else 0.0
                rates[level, where[some]] = tier.bytes_per_s
    return tuple(Tier(f"tier {level}", sizes[level], rates[level]) for level in range(deepest))


def _batch(
    questions: Sequence[Question],
    fabrics: Sequence[tuple[Fabric, Fabric, Fabric]],
    positions: list[int],
) -> Batch:
    groups = _alike(questions)
    loads: dict[int, Load] = {}
    for where in groups:
        loads |= dict.fromkeys(where.tolist(), _load(questions[where[0]]))
    scaleup, server, scaleout = map(stacked_once, zip(*fabrics, strict=True))
    return Batch(
        stacked_once([q.model for q in questions]),
        stacked_once([loads[place] for place in range(len(questions))]),
        stacked_once([q.plan for q in questions]),
        _stacked_tiers(questions, groups),
        scaleup,
        server,
        scaleout,
        expert_exchange.stacked([*map(exchange_of, questions)], [own[2] for own in fabrics]),
        [q.chip.family for q in questions],
        [q.software for q in questions],
        np.array(positions),
    )


def batches(questions: Sequence[Question]) -> list[Batch]:
    """The questions grouped by the topologies of the networks that their plans use."""
    groups: dict[tuple[str, ...], list[int]] = {}
    fabrics = []
    known: dict[int, Networks] = {}
    for position, question in enumerate(questions):
        chip = question.chip
        own = known.get(id(chip)) or known.setdefault(id(chip), networks(chip))
        three = own.of(question.plan)
        fabrics.append(three)
        groups.setdefault(tuple(fabric.topology for fabric in three), []).append(position)
    return [
        _batch([questions[i] for i in where], [fabrics[i] for i in where], where)
        for where in groups.values()
    ]


def software_of(batch: Batch, values: Mapping[str, np.ndarray]) -> serving_step.Software:
    """The engines of a batch, with constants as arrays."""
    names = serving_step.Software.__dataclass_fields__
    fitted = {name: values[name] for name in names if name in values}
    framework = np.where(batch.load.framework, 1.0, 0.0)
    fitted |= {name: framework * values[name] for name in HOSTED}
    return serving_step.Software(**fitted, cache_copied=framework, exchange=batch.exchange)


def accepted_tokens(batch: Batch, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tokens that a pass yields on average for each sequence of a batch (`serving_step.accepted_tokens`)."""
    return np.asarray(serving_step.accepted_tokens(batch.load.job, software_of(batch, values)))


def evaluate(batch: Batch, values: Mapping[str, np.ndarray]) -> serving_step.ServingTime:
    """Predict one batch with constants as arrays (`serving_constants.Constants.resolve`)."""
    narrow = np.where(batch.load.narrow, values["narrow_efficiency"], 1.0)
    bytewide = values["bytewide_efficiency"]
    ffn = np.where(batch.load.bytewide_ffn, bytewide, 1.0)
    attention = np.where(batch.load.bytewide_attention, bytewide, 1.0)
    machine = serving_step.ServingMachine(
        ffn_flops=batch.load.ffn_flops * narrow * ffn,
        attention_flops=batch.load.attention_flops * attention,
        score_flops=batch.load.score_flops,
        tiers=batch.tiers,
        scaleup=replace(batch.scaleup, launch_s=values["exchange_s"]),
        server=replace(batch.server, launch_s=values["exchange_s"]),
        scaleout=batch.scaleout,
        bandwidth_efficiency=np.minimum(values["bandwidth_efficiency"], batch.load.bandwidth_cap),
        matmul_efficiency=values["matmul_efficiency"],
    )
    software = software_of(batch, values)
    return serving_step.serve(batch.model, batch.load.job, batch.plan, machine, software)
