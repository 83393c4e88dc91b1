"""Measured runs as requests: what their sources say in the words of a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_moat.catalog.shape_gaps import SIZES
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.plan import GRAPH_LEVELS, RECOMPUTE_LEVELS
from training_moat.core.units import TERA
from training_moat.predict import software
from training_moat.predict.training_answers import AWAY_NAMES, LEVEL_NAMES, OFFLOAD_NAMES

LAYOUT = ("chips", "tp", "pp", "dp", "ep", "cp", "zero_stage", "seq_len", "global_batch")
"""Whole numbers of a run that every usable row has."""
GRAPHS = {level: word for word, level in GRAPH_LEVELS.items()}
DISPATCHER = {does: name for name, does in software.DISPATCHERS.items()}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A usable run as somebody asks who has its description and no more: model, chips, layout and format, the software by
    the name that people use, its date, and what is stated of micro-batch, interleaving, recomputation, activations on the
    host and copies of the weights."""
    shape = {size: _whole(row[size]) for size in SIZES if row[size] or size == "gated_ffn"}
    level, name = row["recompute_level"], row["label"]
    open_batch, open_stages = row["micro_batch_blank"], row["interleaving_blank"]
    year, month = divmod(row["released"], 1)
    return {
        "id": row["config_id"],
        "model": {"name": "run", **shape},
        "chip": row["chip_id"],
        "precision": row["format"],
        "software": software.common_name(name),
        "released": f"{year:.0f}-{int(12 * month) + 1:02d}",
        "micro_batch": None if open_batch else _whole(row["micro_batch"]),
        "virtual_stages": None if open_stages else _whole(row["virtual_stages"]),
        "recompute": None if level != level else LEVEL_NAMES[int(level)],
        "master_weights": bool(row["master_weights"]),
        "activation_offload": AWAY_NAMES[int(row["activation_offload"])],
        "activation_offload_share": row["activation_offload_share"],
        "capacity_factor": row["expert_capacity"] or None,
        **{size: _whole(row[size]) for size in LAYOUT},
    }


def full(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same with all that is known of it and that a request can say."""
    asked, fused = plain(row), bool(row["flash_attention"])
    # The label is the version already; a date says only that scores written out late are no sign of an old program.
    known = asked | {
        "software": row["label"],
        "released": None if fused else asked["released"],
        "flash_attention": fused,
        "sequence_parallel": bool(row["sequence_parallel"]),
        "expert_tp": _whole(row["expert_tp"]) or None,
        "shard_group": _whole(row["shard_group"]) or None,
        "offload": OFFLOAD_NAMES[int(row["offload"])],
        "graphs": GRAPHS[int(row["graphs"])],
        "narrow_gather": row["gathered_bytes"] < WEIGHT_BYTES,
        "matmul_tflops": row["matmul_flops"] / TERA or None,
    }
    if row["recompute_level"] == RECOMPUTE_LEVELS["full"]:
        known["recompute_share"] = row["recompute_share"]
    if row["experts"]:
        known |= {
            "dispatcher": DISPATCHER[tuple(row[name] for name in software.SENDS)],
            "overlapped_exchange": bool(row["overlapped_exchange"]),
            "balanced_routing": not row["uneven_routing"],
        }
    return known


def _whole(value: float) -> int | float:
    """The number as a whole one where it is."""
    return int(value) if value == int(value) else value
