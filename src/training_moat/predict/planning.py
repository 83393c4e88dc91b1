"""Which plans are worth trying: every layout of a run over its chips, as arrays to be timed in one sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple, cast

import numpy as np

from training_moat.catalog import relatives
from training_moat.core.machine import Chip
from training_moat.core.plan import Plan, layers_fit_pipeline, layers_split_evenly
from training_moat.core.workload import Transformer

MAX_TENSOR_PARALLEL = 64
MAX_PIPELINE_STAGES = 256
MAX_MICRO_BATCH = 16
MAX_STREAMED_BATCH = 1024
"""The same where weights stream in: the larger a micro-batch, the fewer times they come (Argonne's log of Llama 2 7B on a
CS-2: compiled with all of its 99 sequences at once)."""
REPLICAS = {"tp": 1, "pp": 1, "cp": 1, "virtual_stages": 1, "zero_stage": 0, "ep": 1}
"""What is left free of a layout on chips that stream their weights is this: each is a copy of every other (Cerebras
documentation, Wafer-Scale Cluster)."""
MAX_VIRTUAL_STAGES = 8
MAX_CONTEXT_PARALLEL = 16
CONTEXT_SHARE = 4096
"""Tokens of a sequence that a chip keeps at least when context parallelism is tried unasked (published runs split
8,192 tokens in two: NVIDIA's DGX Cloud recipes for Llama 3.1 405B)."""
LAYOUT = ("tp", "pp", "cp", "dp", "micro_batch", "virtual_stages", "zero_stage", "ep", "recompute")
"""What a layout settles: the lines of the arrays that `layouts` gives, one column a layout."""
LEVEL, VIRTUAL, MICRO = (
    LAYOUT.index(name) for name in ("recompute", "virtual_stages", "micro_batch")
)
_BITS = np.arange(MAX_VIRTUAL_STAGES + 1)
DEGREES = (np.arange(2 ** len(_BITS))[:, None] >> _BITS & 1).astype(bool)
"""Which degrees of interleaving are in each set of them, a number whose bits they are; zero says a layout's own."""
DEGREES[0, 0] = True
KEPT = 8192
"""Arrays of layouts that are remembered: requests of one kind ask for the same ones."""

Fixed = tuple[int | None, ...]
"""Settings in the order of `LAYOUT`, None where they are free."""


class Shape(NamedTuple):
    """What of a model decides which layouts divide: all that `core.plan` asks of it there."""

    layers: float
    heads: float
    experts: float
    dense_layers: float


@lru_cache(KEPT)
def divisors(total: int, limit: int | None = None) -> list[int]:
    """All divisors of `total` up to `limit`, ascending."""
    limit = limit or total
    return [n for n in range(1, min(total, limit) + 1) if total % n == 0]


def _choices(fixed: int | None, options: Sequence[int]) -> Sequence[int]:
    return options if fixed is None else (fixed,)


@lru_cache(KEPT)
def _tensor_options(heads: float, chips: int, domain: int) -> tuple[int, ...]:
    """Group sizes that tile the scale-up domain, or as much of it as divides the chips (64 of 72), so that no
    group spans two domains."""
    used = divisors(chips, domain)[-1]
    sizes = divisors(chips, min(domain, MAX_TENSOR_PARALLEL))
    return tuple(n for n in sizes if heads % n == 0 and 0 in (used % n, domain % n))


@lru_cache(KEPT)
def _pipeline_options(shape: Shape, chips: int) -> list[int]:
    limit = int(min(shape.layers, MAX_PIPELINE_STAGES))
    whole = cast(Transformer, shape)
    return [n for n in divisors(chips, limit) if layers_split_evenly(whole, Plan(1, 1, pp=n))]


@lru_cache(KEPT)
def _context_options(chips: int, seq_len: int) -> tuple[int, ...]:
    most = max(1, min(seq_len // CONTEXT_SHARE, MAX_CONTEXT_PARALLEL))
    return tuple(n for n in divisors(chips, most) if seq_len % n == 0)


@lru_cache(KEPT)
def _virtual_options(shape: Shape, pp: int, micro_batches: int) -> list[int]:
    """Interleaving degrees; the schedule needs micro-batches in multiples of the stages (Narayanan et al. 2021,
    section 2.2.2)."""
    if pp == 1 or micro_batches % pp:
        return [1]
    whole, degrees = cast(Transformer, shape), range(2, MAX_VIRTUAL_STAGES + 1)
    return [1] + [
        v
        for v in degrees
        if layers_fit_pipeline(whole, plan := Plan(1, 1, pp=pp, virtual_stages=v))
        and layers_split_evenly(whole, plan)
    ]


@lru_cache(KEPT)
def _expert_options(experts: float, ranks: int) -> list[int]:
    if not experts:
        return [1]
    return [n for n in divisors(int(experts)) if ranks % n == 0] or [1]


PIPED_STAGE = {False: 1, True: 2}
"""The highest stage of ZeRO inside a pipeline, by whether a stack shards fully: a higher one gathers weights or scatters
gradients for every micro-batch. DeepSpeed refuses it ("ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism",
runtime/pipe/engine.py), and of the measured rows that tell of fully sharded weights 1 in 90 has a pipeline."""


def _zero_options(pp: int, dp: int, cp: int, fully_sharded: bool) -> tuple[int, ...]:
    """Stages worth a look. What has one copy of the weights alone has nothing to gather (PyTorch's FSDP says there that it
    switches to NO_SHARD)."""
    if fully_sharded and dp * cp == 1:
        return (0,)
    if fully_sharded:
        return (3,) if pp == 1 else (PIPED_STAGE[True],)
    return (1, 3) if pp == 1 and dp > 1 else (PIPED_STAGE[False],)


def levels(experts: float) -> tuple[int, ...]:
    """Levels of recomputation that are tried unasked. Single modules are for mixtures of experts alone: dense stacks with
    fused attention gain little, older ones could not."""
    return (0, 1, 2) if experts else (0, 2)


def layouts(
    model: Transformer,
    chip: Chip,
    chips: int,
    seq_len: int,
    global_batch: int,
    fixed: Mapping[str, int | None],
    fully_sharded: bool = False,
) -> np.ndarray:
    """Every combination of parallel sizes, micro-batch, interleaving and ZeRO stage that divides: an array not to be written
    to, with the lines of `LAYOUT` and a column for all that differ by their interleaving alone; one more line has the set of
    its degrees (`DEGREES`). What recomputes is as `fixed`, or nothing; `written_out` gives each its levels and degrees.

    `fixed` holds the settings the caller has chosen (None or absent: free). `fully_sharded` stacks shard the weights
    over all replicas unless told otherwise (inside a pipeline, where they would be gathered for every micro-batch,
    gradients and optimizer states only). Chips that stream their weights from one store are replicas alone. Whether a layout
    fits in memory and how long it takes is for the caller to compute.
    """
    shape = Shape(model.layers, model.heads, model.experts, model.dense_layers)
    streamed = "training" in chip.streamed
    domain = int(relatives.domain_chips(chip) or MAX_TENSOR_PARALLEL)
    if streamed:
        fixed = REPLICAS | {name: size for name, size in fixed.items() if size is not None}
    settings = tuple([fixed.get(name) for name in LAYOUT])
    # What is remembered goes by the sizes that may be tried: many domains and lengths leave the same ones.
    tensor = _tensor_options(shape.heads, chips, domain)
    context = _context_options(chips, seq_len)
    largest = MAX_STREAMED_BATCH if streamed else MAX_MICRO_BATCH
    common = (tensor, context, chips, global_batch, settings, fully_sharded, largest)
    return _layouts(shape, *common)


def written_out(layouts: np.ndarray, levels: Sequence[int] = ()) -> np.ndarray:
    """Such layouts one a column, each with every degree of its set and every one of the `levels` of recomputation, if any."""
    place, degree = np.nonzero(DEGREES[layouts[-1].astype(int)])
    found = layouts[:-1, place]
    np.copyto(found[VIRTUAL], degree, where=degree > 0)
    if levels:
        found = np.repeat(found, len(levels), axis=1)
        found[LEVEL] = np.tile(levels, len(place))
    return found


def named(layouts: np.ndarray, levels: Sequence[int] = ()) -> list[dict[str, int]]:
    """Layouts `written_out`, one by one."""
    columns = written_out(layouts, levels).T
    return [dict(zip(LAYOUT, map(int, column), strict=True)) for column in columns]


@lru_cache(KEPT)
def _sizes(
    shape: Shape, tensor: tuple[int, ...], context: tuple[int, ...], chips: int, fixed: Fixed
) -> list[tuple[int, int, int, int]]:
    """Tensor, pipeline, context and data parallel sizes that make up the chips; replicas that share gradients or weights out,
    where such a stage of ZeRO is told, are several if any layout has several."""
    pipeline = _choices(fixed[1], _pipeline_options(shape, chips))
    every = product(_choices(fixed[0], tensor), pipeline, _choices(fixed[2], context))
    found = [(tp, pp, cp, *divmod(chips, tp * pp * cp)) for tp, pp, cp in every]
    whole = [one[:4] for one in found if not one[4] and fixed[3] in (None, one[3])]
    several = [one for one in whole if one[2] * one[3] > 1] if (fixed[6] or 0) > 1 else []
    return several or whole


@lru_cache(KEPT)
def _layouts(
    shape: Shape,
    tensor: tuple[int, ...],
    context: tuple[int, ...],
    chips: int,
    batch: int,
    fixed: Fixed,
    fully_sharded: bool,
    largest: int,
) -> np.ndarray:
    rests: dict[tuple[int, int, bool], np.ndarray] = {}
    sizes = [one for one in _sizes(shape, tensor, context, chips, fixed) if not batch % one[3]]
    for _, pp, cp, dp in sizes:
        # With so many stages and replicas, what is left for the other two sizes is the same, but for a context split or not.
        if (pp, dp, cp == 1) not in rests:
            zero = _zero_options(pp, dp, cp, fully_sharded)
            expert = _choices(fixed[7], _expert_options(shape.experts, chips // pp))
            common = (batch // dp, zero, tuple(expert), fixed[4:], largest)
            rests[pp, dp, cp == 1] = _rest(shape, pp, *common)
    if not sizes:
        return np.empty((len(LAYOUT) + 1, 0))
    rest = [rests[pp, dp, cp == 1] for _, pp, cp, dp in sizes]
    counts = [part.shape[1] for part in rest]
    found = np.empty((len(LAYOUT) + 1, sum(counts)))
    np.concatenate(rest, axis=1, out=found[4:])
    found[:4] = np.repeat(np.array(sizes, float).T, counts, axis=1)
    return found


@lru_cache(KEPT)
def _rest(
    shape: Shape,
    pp: int,
    sequences: int,
    zero: tuple[int, ...],
    expert: tuple[int, ...],
    fixed: Fixed,
    largest: int,
) -> np.ndarray:
    """The lines of `LAYOUT` from the micro-batch on, and that of degrees, of all layouts with these parallel sizes,
    `sequences` for each replica."""
    micro = _choices(fixed[0], divisors(sequences, largest))
    stages = _choices(fixed[2], zero)
    found: list[tuple[int, ...]] = []
    for size in micro:
        if sequences % size:
            continue
        degrees = _choices(fixed[1], _virtual_options(shape, pp, sequences // size))
        alike = sum(1 << degree for degree in degrees) if fixed[1] is None else 0
        others = product(degrees[:1], stages, expert)
        found += [(size, *each, fixed[4] or 0, alike) for each in others]
    return np.array(found, float).reshape(-1, len(LAYOUT) - 3).T
