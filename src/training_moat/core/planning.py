"""Which plans are worth trying: every layout of a run over its chips, as arrays to be timed in one sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from training_moat.core.machine import Chip
from training_moat.core.plan import Plan, layers_fit_pipeline, layers_split_evenly
from training_moat.core.workload import Transformer

MAX_TENSOR_PARALLEL = 64
MAX_PIPELINE_STAGES = 256
MAX_MICRO_BATCH = 16
MAX_VIRTUAL_STAGES = 8
MAX_CONTEXT_PARALLEL = 16
CONTEXT_SHARE = 4096
"""Tokens of a sequence that a chip keeps at least when context parallelism is tried unasked (published runs split
8,192 tokens in two: NVIDIA's DGX Cloud recipes for Llama 3.1 405B)."""


def divisors(total: int, limit: int | None = None) -> list[int]:
    """All divisors of `total` up to `limit`, ascending."""
    limit = limit or total
    return [n for n in range(1, min(total, limit) + 1) if total % n == 0]


def _choices(fixed: object, options: Sequence[int]) -> list[int]:
    return [int(fixed)] if fixed is not None else list(options)


def _tensor_options(model: Transformer, chips: int, domain: int) -> list[int]:
    """Group sizes that tile the scale-up domain, or as much of it as divides the chips (64 of 72), so that no
    group spans two domains."""
    used = divisors(chips, domain)[-1]
    sizes = divisors(chips, min(domain, MAX_TENSOR_PARALLEL))
    return [n for n in sizes if model.heads % n == 0 and 0 in (used % n, domain % n)]


def _pipeline_options(model: Transformer, chips: int) -> list[int]:
    limit = int(min(model.layers, MAX_PIPELINE_STAGES))
    return [n for n in divisors(chips, limit) if layers_split_evenly(model, Plan(1, 1, pp=n))]


def _virtual_options(model: Transformer, pp: int, micro_batches: int) -> list[int]:
    """Interleaving degrees; the schedule needs micro-batches in multiples of the stages (Narayanan et al. 2021,
    section 2.2.2)."""
    if pp == 1 or micro_batches % pp:
        return [1]
    degrees = range(2, MAX_VIRTUAL_STAGES + 1)
    return [1] + [
        v
        for v in degrees
        if layers_fit_pipeline(model, plan := Plan(1, 1, pp=pp, virtual_stages=v))
        and layers_split_evenly(model, plan)
    ]


def _expert_options(model: Transformer, ranks: int) -> list[int]:
    if not model.experts:
        return [1]
    return [n for n in divisors(int(model.experts)) if ranks % n == 0] or [1]


def layouts(
    model: Transformer,
    chip: Chip,
    chips: int,
    seq_len: int,
    global_batch: int,
    fixed: Mapping[str, object],
    fully_sharded: bool = False,
) -> list[dict[str, int]]:
    """Every combination of parallel sizes, micro-batch, interleaving, ZeRO stage and recomputation that divides.

    `fixed` holds the settings the caller has chosen (None or absent: free). `fully_sharded` stacks shard the weights
    over all replicas unless told otherwise (inside a pipeline, where they would be gathered for every micro-batch,
    gradients and optimizer states only). Recomputing single modules is tried unasked for mixtures of experts alone:
    dense stacks with fused attention gain little, older ones could not. Whether a layout fits in memory and how long
    it takes is for the caller to compute.
    """
    domain = int(chip.scaleup.domain_chips or MAX_TENSOR_PARALLEL) if chip.scaleup else 1
    found: list[dict[str, int]] = []
    context = [
        n
        for n in divisors(chips, max(1, min(seq_len // CONTEXT_SHARE, MAX_CONTEXT_PARALLEL)))
        if seq_len % n == 0
    ]
    tensor = _choices(fixed.get("tp"), _tensor_options(model, chips, domain))
    pipeline = _choices(fixed.get("pp"), _pipeline_options(model, chips))
    for tp, pp, cp in product(tensor, pipeline, _choices(fixed.get("cp"), context)):
        if chips % (tp * pp * cp):
            continue
        dp = chips // (tp * pp * cp)
        if fixed.get("dp") not in (None, dp) or global_batch % dp:
            continue
        sizes = {"tp": tp, "pp": pp, "cp": cp, "dp": dp}
        zero = _choices(fixed.get("zero_stage"), _zero_options(sizes, fully_sharded))
        found += _with_batches(model, sizes, global_batch // dp, fixed, zero)
    return found


def _zero_options(sizes: Mapping[str, int], fully_sharded: bool) -> tuple[int, ...]:
    if fully_sharded:
        return (3,) if sizes["pp"] == 1 else (2,)
    return (1, 3) if sizes["pp"] == 1 and sizes["dp"] > 1 else (1,)


def _with_batches(
    model: Transformer,
    sizes: dict[str, int],
    sequences: int,
    fixed: Mapping[str, object],
    zero: list[int],
) -> list[dict[str, int]]:
    micro = _choices(fixed.get("micro_batch"), divisors(sequences, MAX_MICRO_BATCH))
    expert = _choices(
        fixed.get("ep"), _expert_options(model, sizes["tp"] * sizes["cp"] * sizes["dp"])
    )
    recompute = _choices(fixed.get("recompute"), (0, 1, 2) if model.experts else (0, 2))
    found: list[dict[str, int]] = []
    for size in micro:
        if sequences % size:
            continue
        virtual = _choices(
            fixed.get("virtual_stages"), _virtual_options(model, sizes["pp"], sequences // size)
        )
        for stages, stage, group, level in product(virtual, zero, expert, recompute):
            rest = {"virtual_stages": stages, "zero_stage": stage, "ep": group, "recompute": level}
            found.append(sizes | {"micro_batch": size} | rest)
    return found
