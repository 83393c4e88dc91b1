"""Many serving questions at once: models, chips and plans of different kinds as arrays for `core.serving`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from training_moat.catalog import chips as chip_catalog
from training_moat.core import serving_step
from training_moat.core.errors import InputError
from training_moat.core.fabrics import Fabric
from training_moat.core.machine import Chip, Link, Tier
from training_moat.core.tiers import USABLE_SHARE, usable_tiers
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.core.workload import Transformer
from training_moat.predict import interconnect

NARROW = ("nvfp4", "mxfp4", "fp4", "int4")
"""Four-bit formats. Their checkpoints keep a mixture-of-experts model's attention in 16 bit (model cards of
gpt-oss-120b, 2025, and of NVIDIA's DeepSeek-R1-NVFP4, 2025)."""

ACTIVATION_SHARE = 0.02
SMALLEST_CHUNK = 128.0
"""Where memory is small prompts are processed in small passes: activations take this share, a pass this many
tokens at least."""

MAX_TIERS = 3
"""Memory tiers a chip can have in the model."""


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
    plan: serving_step.ServingPlan


def attention_format(model: Transformer, precision: str) -> str:
    """Format of the attention weights when the feed-forward weights are in `precision`."""
    return "bf16" if precision in NARROW and model.experts > 0 else precision


def memory_tiers(chip: Chip) -> tuple[Tier, ...]:
    """The chip's usable tiers; InputError names what is missing when there are none."""
    found = usable_tiers(chip)
    if not found:
        raise InputError(
            f"chip {chip.id}: its table row has no memory tier with both capacity and bandwidth"
        )
    return found[:MAX_TIERS]


def prefill_chunk(question: Question) -> float:
    """Prompt tokens per pass: the engines' default, or as many as leave the activations their share of memory."""
    capacity = sum(tier.capacity_bytes for tier in memory_tiers(question.chip))
    per_token = 8.0 * question.model.hidden * serving_step.WIDE_BYTES
    return float(
        np.clip(ACTIVATION_SHARE * capacity / per_token, SMALLEST_CHUNK, serving_step.PREFILL_CHUNK)
    )


def borrowed_link(chip: Chip) -> Link:
    """The slowest scale-up link of the chip's family, or of all chips, for one that publishes none."""
    known = [other for other in chip_catalog.all_chips().values() if other.scaleup is not None]
    family = [other.scaleup for other in known if other.family == chip.family]
    return min(family or [other.scaleup for other in known], key=lambda link: link.bytes_per_s)


def links(chip: Chip) -> tuple[Fabric, Fabric]:
    """(scale-up, scale-out) networks of a chip; one that is missing is taken to be like the other."""
    up, out = interconnect.scaleup_fabric(chip), interconnect.scaleout_fabric(chip)
    if up is None and out is None:
        up = interconnect.scaleup_fabric(replace(chip, scaleup=borrowed_link(chip)))
    return up or out, out or up


@dataclass(frozen=True)
class Batch:
    """Questions as arrays. `scaleup` and `scaleout` have array fields but one topology each, so that one
    batch holds one pair of topologies; `families` and `engines` are indices for the constants."""

    model: Transformer
    job: serving_step.Job
    plan: serving_step.ServingPlan
    tiers: tuple[Tier, ...]
    ffn_flops: np.ndarray
    attention_flops: np.ndarray
    narrow: np.ndarray
    scaleup: Fabric
    scaleout: Fabric
    families: list[str]
    engines: list[str]
    positions: np.ndarray


def _stack(items: Sequence, kind: type, skip: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    names = [field.name for field in fields(kind) if field.name not in skip]
    return {name: np.array([float(getattr(item, name)) for item in items]) for name in names}


def spills(question: Question, tiers: tuple[Tier, ...]) -> bool:
    """Whether weights and one sequence need the chip's large slow tier (`ddr`) beside faster ones."""
    faster = [tier for tier in tiers if tier.name != "ddr"]
    if len(faster) == len(tiers):
        return False
    job = serving_step.Job(
        1,
        question.input_len,
        question.output_len,
        BYTES_PER_VALUE[question.precision],
        BYTES_PER_VALUE[attention_format(question.model, question.precision)],
        BYTES_PER_VALUE[question.kv_precision],
        prefill_chunk(question),
    )
    held = serving_step.memory(question.model, job, question.plan).total
    return held > USABLE_SHARE * sum(tier.capacity_bytes for tier in faster)


def tiers_used(question: Question) -> tuple[Tier, ...]:
    """The tiers a job uses: the large slow one only when the faster ones cannot hold weights and one sequence."""
    tiers = memory_tiers(question.chip)
    return tiers if spills(question, tiers) else tuple(t for t in tiers if t.name != "ddr") or tiers


def _stacked_tiers(questions: Sequence[Question]) -> tuple[Tier, ...]:
    per_chip = [tiers_used(question) for question in questions]
    stacked = []
    for level in range(max(map(len, per_chip))):
        rows = [
            tiers[level] if level < len(tiers) else Tier("none", 0.0, tiers[-1].bytes_per_s)
            for tiers in per_chip
        ]
        capacity = np.array([float(tier.capacity_bytes) for tier in rows])
        stacked.append(
            Tier(f"tier {level}", capacity, np.array([float(tier.bytes_per_s) for tier in rows]))
        )
    return tuple(stacked)


def _stacked_fabric(fabrics: Sequence[Fabric]) -> Fabric:
    return Fabric(topology=fabrics[0].topology, **_stack(fabrics, Fabric, skip=("topology",)))


def _batch(
    questions: Sequence[Question], networks: Sequence[tuple[Fabric, Fabric]], positions: list[int]
) -> Batch:
    models = [q.model for q in questions]
    attention = [attention_format(q.model, q.precision) for q in questions]
    job = serving_step.Job(
        np.array([float(q.batch) for q in questions]),
        np.array([float(q.input_len) for q in questions]),
        np.array([float(q.output_len) for q in questions]),
        np.array([BYTES_PER_VALUE[q.precision] for q in questions]),
        np.array([BYTES_PER_VALUE[name] for name in attention]),
        np.array([BYTES_PER_VALUE[q.kv_precision] for q in questions]),
        np.array([prefill_chunk(q) for q in questions]),
    )
    used = [q.chip.compute_format(q.precision) for q in questions]
    wide = [q.chip.compute_format(name) for q, name in zip(questions, attention)]
    return Batch(
        model=Transformer(name="batch", **_stack(models, Transformer, skip=("name",))),
        job=job,
        plan=serving_step.ServingPlan(
            **_stack([q.plan for q in questions], serving_step.ServingPlan)
        ),
        tiers=_stacked_tiers(questions),
        ffn_flops=np.array([q.chip.peak_flops[name] for q, name in zip(questions, used)]),
        attention_flops=np.array([q.chip.peak_flops[name] for q, name in zip(questions, wide)]),
        narrow=np.array([name in NARROW for name in used]),
        scaleup=_stacked_fabric([pair[0] for pair in networks]),
        scaleout=_stacked_fabric([pair[1] for pair in networks]),
        families=[q.chip.family for q in questions],
        engines=[q.software for q in questions],
        positions=np.array(positions),
    )


def batches(questions: Sequence[Question]) -> list[Batch]:
    """The questions grouped by the topologies of their chips' networks."""
    groups: dict[tuple[str, str], list[int]] = {}
    networks = []
    known: dict[int, tuple[Fabric, Fabric]] = {}
    for position, question in enumerate(questions):
        pair = known.get(id(question.chip))
        if pair is None:
            pair = known[id(question.chip)] = links(question.chip)
        networks.append(pair)
        groups.setdefault((pair[0].topology, pair[1].topology), []).append(position)
    return [
        _batch([questions[i] for i in where], [networks[i] for i in where], where)
        for where in groups.values()
    ]


def evaluate(batch: Batch, values: Mapping[str, np.ndarray]) -> serving_step.ServingTime:
    """Predict one batch with constants as arrays (`serving_constants.NAMES`)."""
    narrow = np.where(batch.narrow, values["narrow_efficiency"], 1.0)
    machine = serving_step.ServingMachine(
        ffn_flops=batch.ffn_flops * narrow,
        attention_flops=batch.attention_flops,
        tiers=batch.tiers,
        scaleup=replace(batch.scaleup, launch_s=values["exchange_s"]),
        scaleout=batch.scaleout,
        bandwidth_efficiency=values["bandwidth_efficiency"],
        matmul_efficiency=values["matmul_efficiency"],
    )
    software = serving_step.Software(
        **{name: values[name] for name in serving_step.Software.__dataclass_fields__}
    )
    return serving_step.serve(batch.model, batch.job, batch.plan, machine, software)
