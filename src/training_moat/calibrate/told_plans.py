"""The plans of measured training runs: as their sources tell them, else as their software and recipes have it."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from training_moat.calibrate import captured_graphs, dispatchers, kept_outputs
from training_moat.core.output_head import BY_WIDTH
from training_moat.core.plan import ACTIVATION_OFFLOAD_LEVELS, STREAM_BYTES
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.predict import software

PLAN = ("tp", "pp", "cp", "ep", "virtual_stages", "micro_batch")
RECOMPUTE = {
    "none": 0,
    # MaxText: products with weights are kept, all else is made again (jax: checkpoint_dots_with_no_batch_dims).
    "minimal": 1,
    "selective": 1,
    "selective+SP": 1,
    "qkv_proj_offloaded": 2,
    "full": 2,
    "full but attention": 2,
    "full but projections": 2,
    "full-ish (remat)": 2,
}

ALL_AWAY = r"(?:layer inputs?|activation checkpoints|with activations)(?: and [\w ]+?)? offloaded"
OUTPUTS_AWAY = r"(?:projections|products|what attention gave|attention output) offloaded"
"""What notes on a run say of activations in the host's memory."""
SIXTEEN_BITS = "bf16 weights|weights in BF16|weights, gradients and (?:AdamW's )?states in BF16"
SHARDED = r"sharded within a node of (\d+)|sharded over (\d+) chips and replicated|dp_shard (\d+)"
SHARDED_IN_SLICES = r"sharded within each of (two|four) slices|_([24])x_v6e"
SLICES = {"two": 2, "four": 4, "2": 2, "4": 4}
"""Where notes on a run say over how many chips weights are shared out, or in how many slices each (of Gemma's recipes, whose
names tell it, `dcn_data_parallelism` is MaxText's: all slices)."""
MACHINE = 8
"""Chips of the machines of hybrid sharding whose notes or layout name no size."""
DEVICES_A_CHIP = 2
"""Where devices are counted that are half a chip, notes say so."""
CHUNKS = r"(?:loss|output head) in (\d+) chunks"


def with_plan(frame: pd.DataFrame) -> pd.DataFrame:
    """Configurations with every size of their plan, told or customary."""
    frame["seq_len"] = frame["seq_len"].fillna(frame["notes"].map(_sequence_in_recipe))
    per_chip = frame["source"].eq("maxtext_tpu")  # MaxText states sequences per chip and step
    frame.loc[per_chip, "global_batch"] = frame["micro_batch"] * frame["chips"]
    derived = (
        frame["tokens_per_s_per_chip"] * frame["step_time"] * frame["chips"] / frame["seq_len"]
    )
    frame["global_batch"] = frame["global_batch"].fillna(derived.round())
    _say_layout(frame, per_chip)
    _say_what_is_redone(frame)
    frame["flash_attention"] = pd.to_numeric(frame["flash_attention"], errors="coerce").fillna(1)
    frame["graphs"] = captured_graphs.levels(frame)
    _say_what_travels(frame)
    _say_what_is_held(frame)
    return frame


def _say_layout(frame: pd.DataFrame, per_chip: pd.Series) -> None:
    """Sharding, parallel sizes and micro-batch, and which of them are stated. per_chip: where the source tells sequences of a
    chip and step."""
    sharding = frame["sharding"].fillna("")
    stage = pd.to_numeric(frame["zero_stage"], errors="coerce").fillna(1)
    stage = stage.mask(sharding.str.contains("FSDP|FULL_SHARD"), 3).mask(
        sharding.eq("SHARD_GRAD_OP"), 2
    )
    frame["zero_stage"] = stage.mask(sharding.eq("ZeRO-1"), 1).mask(sharding.eq("ZeRO-0"), 0)
    sharded = frame["zero_stage"].eq(3)
    # Fully sharded runs that state no other parallelism have none; data parallelism needs none when it fits.
    frame["plan_stated"] = frame["tp"].notna() | sharded | frame["chips"].le(8)
    frame["micro_batch_blank"] = frame["micro_batch"].isna()
    frame["interleaving_blank"] = frame["virtual_stages"].isna()
    for name in PLAN[:-1]:
        frame[name] = frame[name].fillna(1.0).astype(float)
    frame["expert_tp"] = _expert_tensor(frame)
    frame["dp"] = frame["chips"] / (frame["tp"] * frame["pp"] * frame["cp"])
    frame["shard_group"] = _shard_groups(frame)
    per_replica = frame["global_batch"] / frame["dp"]
    # Where a source accumulates no gradients, all go through at once.
    stated_whole = frame["micro_batch"].mask(per_chip, per_replica)
    one_pass = pd.to_numeric(frame["accumulates"], errors="coerce").eq(0)
    frame["micro_batch"] = stated_whole.fillna(per_replica.where(one_pass, 1.0)).astype(float)
    split = software.of_labels(frame["label"], "splits_stream").gt(0)
    parallel = pd.to_numeric(frame["sequence_parallel"], errors="coerce").fillna(0).mask(split, 1.0)
    stated = frame["recompute"].fillna("").str.contains("SP")
    frame["sequence_parallel"] = np.where(stated, 1.0, parallel * frame["tp"].gt(1))


def _shard_groups(frame: pd.DataFrame) -> pd.Series:
    """Over how many replicas a run's weights are shared out where others have the same (0: over all). MaxText keeps to a slice
    (`dcn_data_parallelism`), PyTorch's hybrid sharding to a machine where no size is told (`HYBRID_SHARD`)."""
    notes, sharding = frame["notes"].fillna("").str, frame["sharding"].fillna("")
    told = sharding.str.extract(r"FSDP (?:ici )?(\d+)", expand=False).astype(float)
    told = told.fillna(notes.extract(SHARDED).bfill(axis=1)[0].astype(float))
    halves = notes.contains("device of two a chip")
    told = told / halves.map({True: DEVICES_A_CHIP, False: 1})
    slices = notes.extract(SHARDED_IN_SLICES).bfill(axis=1)[0].map(SLICES)
    told = told.fillna(frame["dp"] / slices)
    machine = sharding.eq("HYBRID_SHARD") | notes.contains("over the eight chips of a machine")
    told = told.mask(told.isna() & machine, MACHINE)
    replicas = frame["dp"] * frame["cp"]
    hybrid = told.lt(replicas) & (replicas % told).eq(0) & frame["zero_stage"].eq(3)
    return told.where(hybrid, 0.0)


def _say_what_is_redone(frame: pd.DataFrame) -> None:
    """Level and share of recomputation, and what recomputed layers keep."""
    frame["recompute_level"] = frame["recompute"].map(RECOMPUTE)
    frame["attention_kept"] = frame["recompute"].eq("full but attention").astype(float)
    shares = software.of_labels(frame["label"], "selective_share")
    redone = shares.where(frame["recompute_level"] == 1)
    frame["recompute_level"] = frame["recompute_level"].mask(redone.notna(), 2)
    stated = frame["notes"].str.extract(r"share recomputed (0?\.\d+)", expand=False).astype(float)
    frame["recompute_share"] = redone.fillna(stated).fillna(kept_outputs.redone_share(frame))
    frame["outputs_kept"] = kept_outputs.values(frame)


def _say_what_travels(frame: pd.DataFrame) -> None:
    """Bytes of a gradient, of a gathered weight, of a value and of a routed token's value on the wire, and what its dispatcher
    does."""
    stacks = software.all_software()
    for name, taken in (
        ("gradient_bytes", software.wire_bytes),
        ("dispatch_bytes", software.dispatch_bytes),
    ):
        frame[name] = [
            taken(stacks[label], precision)
            if label in stacks and precision in BYTES_PER_VALUE
            else 2.0
            for label, precision in zip(frame["label"], frame["format"], strict=True)
        ]
    words = [frame[name].fillna("") for name in ("precision", "table_ref", "notes")]
    told = (words[0] + " " + words[1] + " " + words[2]).str.contains(
        "float8 all-gather|gathered in MXFP8"
    )
    usual = software.of_labels(frame["label"], "gathers_narrow").gt(0)
    frame["gathered_bytes"] = [
        software.gathered_bytes(narrow, precision) if precision in BYTES_PER_VALUE else 2.0
        for narrow, precision in zip(told | usual, frame["format"], strict=True)
    ]
    unless_told = {"gathers_again": 1.0, "scatters_every": 0.0, "written_out_bytes": 0.0}
    for name, usual in unless_told.items():
        frame[name] = software.of_labels(frame["label"], name).fillna(usual)
    widths = {name: software.stream_bytes(name) for name in BYTES_PER_VALUE}
    frame["stream_bytes"] = frame["format"].map(widths).fillna(STREAM_BYTES)
    frame[[*dispatchers.FIELDS]] = dispatchers.told(frame, stacks)


def _say_what_is_held(frame: pd.DataFrame) -> None:
    """What recomputation leaves out, what lies in the host's memory, whether there is an FP32 copy of the weights, and in how
    many chunks the loss is worked through: as a run's notes say, else as on its source, else as its software does."""
    frame["stops_early"] = software.of_labels(frame["label"], "stops_early").fillna(0.0)
    stated = frame["notes"].fillna("").str
    # Offloaded to the host: the optimizer's states alone, or the weights as well.
    states = stated.contains("optimizer states offloaded|optimizer on the host").astype(float)
    frame["paged"] = 0.0
    frame["offload"] = states + stated.contains("weights (?:and .*)?offloaded too")
    layers = stated.extract(r"activations of (\d+) layers offloaded", expand=False).astype(float)
    frame["activation_offload_share"] = (layers / frame["layers"]).fillna(1.0)
    usual = software.of_labels(frame["label"], "master_weights")
    masters = frame["master_weights"].astype(float).fillna(usual).fillna(1.0)
    frame["master_weights"] = masters.mask(stated.contains(SIXTEEN_BITS), 0.0)
    frame["activation_offload"] = _activations_away(frame).mask(layers.notna(), 2.0)
    usual = software.of_labels(frame["label"], "loss_chunks")
    chunks = frame["loss_chunks"].astype(float).fillna(usual).fillna(0.0)
    chunks = stated.extract(CHUNKS, expand=False).astype(float).fillna(chunks)
    frame["loss_chunks"] = chunks.mask(stated.contains("tiled logits and loss"), BY_WIDTH)


def _activations_away(frame: pd.DataFrame) -> pd.Series:
    """What layers keep in the host's memory, as a level of `ACTIVATION_OFFLOAD_LEVELS`: by the run's own words, else by those
    on its source. Where products' outputs alone are said to go, layers' inputs stay."""
    notes = frame["notes"].fillna("")
    told = notes.str.contains(OUTPUTS_AWAY) | frame["recompute"].eq(
        kept_outputs.OFFLOADED_PROJECTIONS
    )
    word = (
        frame["activation_offload"].mask(told, "outputs").mask(notes.str.contains(ALL_AWAY), "all")
    )
    # LLMQ's residuals are a block's inputs: all that it keeps where it is run again as a whole.
    whole = frame["recompute"].eq("full") & ~notes.str.contains("share recomputed")
    word = word.mask(whole & notes.str.contains("residuals (?:and gradients )?offloaded"), "all")
    return word.map(ACTIVATION_OFFLOAD_LEVELS).fillna(0).astype(float)


def _expert_tensor(frame: pd.DataFrame) -> pd.Series:
    """Chips that share an expert, where the notes say so (0: the stack's default). Without parallel folding Megatron-Core
    cuts experts as it cuts the rest (Liu et al. 2025, section 3)."""
    notes = frame["notes"].fillna("")
    stated = notes.str.extract(r"(?:expert tensor parallel |ETP)(\d+)", expand=False).astype(float)
    coupled = notes.str.contains(r"method: (?:MCore|TP\+EP\+DP)")
    whole = notes.str.contains(r"method: (?:Folding|FSDP\+EP)")
    return stated.fillna(frame["tp"].where(coupled)).mask(stated.isna() & whole, 1.0).fillna(0.0)


def _sequence_in_recipe(notes: object) -> float:
    """The sequence length a recipe carries in its name, such as llama3_1_70b_8192_bs2."""
    found = re.search(r"model_name=\w*?_(2048|4096|8192|16384|32768)(?:_|;|$)", str(notes))
    return float(found.group(1)) if found else np.nan
