"""Which plans are worth trying: every layout of a run over its chips, as arrays to be timed in one sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from .machine import Chip
from .workload import Transformer

MAX_TENSOR_PARALLEL = 64
MAX_MICRO_BATCH = 16
MAX_VIRTUAL_STAGES = 8
MAX_CONTEXT_PARALLEL = 16
LONG_SEQUENCE = 16384
"""Context parallelism is tried from this sequence length on, or when asked for."""


def divisors(total: int, limit: int | None = None) -> list[int]:
    """All divisors of `total` up to `limit`, ascending."""
    limit = limit or total
    return [n for n in range(1, min(total, limit) + 1) if total % n == 0]


def _choices(fixed: object, options: Sequence[int]) -> list[int]:
    return [int(fixed)] if fixed is not None else list(options)


def _tensor_options(model: Transformer, chips: int, domain: int) -> list[int]:
    fits = [n for n in divisors(chips, min(domain, MAX_TENSOR_PARALLEL)) if model.heads % n == 0]
    return fits or [1]


def _pipeline_options(model: Transformer, chips: int) -> list[int]:
    return [n for n in divisors(chips, int(model.layers)) if model.layers % n == 0 or (model.layers + 2) % n == 0]


def _virtual_options(model: Transformer, pp: int) -> list[int]:
    if pp == 1:
        return [1]
    per_stage = int(model.layers // pp)
    padded = int((model.layers + 2) // pp) if (model.layers + 2) % pp == 0 else per_stage
    options = {n for n in range(1, MAX_VIRTUAL_STAGES + 1) if per_stage % n == 0 and model.layers % pp == 0}
    options |= {n for n in range(1, MAX_VIRTUAL_STAGES + 1) if padded % n == 0 and (model.layers + 2) % pp == 0}
    return sorted(options) or [1]


def _expert_options(model: Transformer, ranks: int) -> list[int]:
    if not model.experts:
        return [1]
    return [n for n in divisors(int(model.experts)) if ranks % n == 0] or [1]


def layouts(
    model: Transformer, chip: Chip, chips: int, seq_len: int, global_batch: int, fixed: Mapping[str, object]
) -> list[dict[str, int]]:
    """Every combination of parallel sizes, micro-batch, interleaving, ZeRO stage and recomputation that divides.

    `fixed` holds the settings the caller has chosen (None or absent: free). Whether a layout fits in memory
    and how long it takes is for the caller to compute.
    """
    domain = int(chip.scaleup.domain_chips or 1) if chip.scaleup else 1
    found: list[dict[str, int]] = []
    context = [1] if seq_len < LONG_SEQUENCE else divisors(chips, MAX_CONTEXT_PARALLEL)
    tensor = _choices(fixed.get("tp"), _tensor_options(model, chips, domain))
    pipeline = _choices(fixed.get("pp"), _pipeline_options(model, chips))
    for tp, pp, cp in product(tensor, pipeline, _choices(fixed.get("cp"), context)):
        if chips % (tp * pp * cp):
            continue
        dp = chips // (tp * pp * cp)
        if fixed.get("dp") not in (None, dp) or global_batch % dp:
            continue
        sizes = {"tp": tp, "pp": pp, "cp": cp, "dp": dp}
        found += _with_batches(model, sizes, global_batch // dp, fixed)
    return found


def _with_batches(
    model: Transformer, sizes: dict[str, int], sequences: int, fixed: Mapping[str, object]
) -> list[dict[str, int]]:
    micro = _choices(fixed.get("micro_batch"), divisors(sequences, MAX_MICRO_BATCH))
    virtual = _choices(fixed.get("virtual_stages"), _virtual_options(model, sizes["pp"]))
    zero_options = (1, 3) if sizes["pp"] == 1 and sizes["dp"] > 1 else (1,)
    zero = _choices(fixed.get("zero_stage"), zero_options)
    expert = _choices(fixed.get("ep"), _expert_options(model, sizes["tp"] * sizes["cp"] * sizes["dp"]))
    recompute = _choices(fixed.get("recompute"), (0, 2))
    keys = ("micro_batch", "virtual_stages", "zero_stage", "ep", "recompute")
    return [
        sizes | dict(zip(keys, values, strict=True))
        for values in product(micro, virtual, zero, expert, recompute)
        if sequences % values[0] == 0
    ]
