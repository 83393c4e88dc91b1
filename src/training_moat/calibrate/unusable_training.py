"""Why a measured training run cannot be compared with the model: what its source leaves out or contradicts."""

from __future__ import annotations

import pandas as pd

from training_moat.calibrate import reasons
from training_moat.calibrate.reasons import Reason
from training_moat.catalog import chips as chip_catalog
from training_moat.core.plan import Plan, layers_fit_pipeline
from training_moat.core.units import NUMBER_FORMATS, TERA
from training_moat.core.workload import Transformer, derived_params
from training_moat.predict import software

MAX_PARAM_MISMATCH = 0.12
"""A row whose shape counts this much more or fewer weights than it states is not used: its shape is wrong."""
MAX_UNSTATED_BUBBLE = 0.2
"""Bubble over work, without interleaving, up to which a run that does not state its interleaving is used."""
MAX_RATE_MISMATCH = 0.15
"""A row whose printed step time and printed FLOP rate disagree by more is not used."""


ONLY_PERCENTAGES = ("epoch_mfu", "palm2022", "palm2022_t3", "megascale2024", "maxtext_custom")
"""Sources that print a percentage of the peak, and no time."""


def why(frame: pd.DataFrame, model: Transformer, plan: Plan) -> pd.Series:
    """Why each configuration cannot be used; empty where it can. `model` and `plan` are its columns as arrays."""
    every = _of_the_run(frame) + _of_what_is_stated(frame, model) + _of_the_plan(frame, model, plan)
    every += [(frame["label"].isna(), "its software is not told in the table training_stacks")]
    return reasons.first(frame.index, every)


def _of_the_run(frame: pd.DataFrame) -> list[Reason]:
    """What the source says of the run that sets it apart."""
    notes = frame["notes"].fillna("")
    tuned = notes.str.contains("LoRA|fine-tuning") | frame["model"].str.contains("LoRA|finetune")
    cut = notes.str.contains("method: FSDP;") & frame["tp"].gt(1)
    sharded = frame["zero_stage"].eq(3) & frame["micro_batch_blank"] & frame["accumulates"].eq(1)
    interleaved = notes.str.contains("interleaving of the pipeline not stated")
    interleaved |= _interleaving_unknown(frame)
    limited = notes.str.contains("power-limited GPUs")
    relative = notes.str.contains("use only relative")
    step = notes.str.contains("ablation step of run")
    blocked = notes.str.contains("flash attention in plain JAX")
    untold = notes.str.contains("no column for")
    return [
        (frame["source"].isin(ONLY_PERCENTAGES), "only a percentage of peak is printed"),
        (tuned, "fine-tuning, not pre-training"),
        (step, "a step on the way to a run that is used itself"),
        (blocked, "attention is cut into blocks but not fused, which the model does not compute"),
        (untold, "the tables have no column for what sets the run apart"),
        (cut, "how the experts are cut under full sharding is not stated"),
        (sharded, "fully sharded, but the micro-batch is not stated"),
        (interleaved, "the pipeline's interleaving is not stated"),
        (limited, "the chips' power was limited by an amount not stated"),
        (relative, "the source's rates contradict each other; relative use only"),
        (notes.str.contains("unreliable"), "the source's layer count is unreliable"),
    ]


def _of_what_is_stated(frame: pd.DataFrame, model: Transformer) -> list[Reason]:
    """What a source leaves out, or has otherwise a second time."""
    shapeless = frame["layers"].isna() | frame["hidden"].isna() | frame["heads"].isna()
    waits, _ = reasons.waiting(frame["model_id"], frame["model"])
    timeless = frame["step_seconds"].isna()
    peakless = frame["format"].isna() & _without_peak(frame)
    widthless = frame["experts"].gt(0) & frame["expert_ffn"].eq(0)
    return [
        (frame["chip_id"].isna(), "the chip is not in the table"),
        (peakless, "no peak of the chip in the run's format is published"),
        (frame["format"].isna(), "the matmul format is not stated"),
        (waits & shapeless, reasons.WAITING),
        (shapeless, "the model's shape is not published"),
        (widthless, "the experts' width is not published"),
        (_param_mismatch(frame, model), "shape and stated size disagree"),
        (frame["seq_len"].isna(), "the sequence length is not stated"),
        (timeless, "neither a time nor a batch to turn a rate into one"),
    ]


def _of_the_plan(frame: pd.DataFrame, model: Transformer, plan: Plan) -> list[Reason]:
    """What is wrong with the layout, or with the rate under it."""
    odd = frame["dp"].lt(1) | (frame["dp"] % 1).ne(0)
    too_long = ~pd.Series(layers_fit_pipeline(model, plan), index=frame.index)
    return [
        (~frame["plan_stated"], "the parallel layout is not stated"),
        (odd, "the stated layout does not multiply to the chips"),
        (too_long, "the pipeline has more stages than the model layers"),
        (_rate_mismatch(frame), "step time and printed FLOP rate disagree"),
    ]


def _without_peak(frame: pd.DataFrame) -> pd.Series:
    """Runs that state a format of which their chip's maker publishes no peak."""
    named = frame["precision"].isin(NUMBER_FORMATS) & frame["chip_id"].notna()
    own = frame.loc[named, ["chip_id", "precision"]].itertuples()
    found = [
        row.Index for row in own if row.precision not in chip_catalog.chip(row.chip_id).peak_flops
    ]
    return frame.index.to_series().isin(found)


def _interleaving_unknown(frame: pd.DataFrame) -> pd.Series:
    """Runs of stacks that interleave by habit, with a pipeline long enough for its bubble to decide."""
    tuned = frame["stack"].isin(software.REFERENCE_KERNELS)
    share = (frame["pp"] - 1) / (frame["global_batch"] / frame["dp"] / frame["micro_batch"])
    return tuned & frame["interleaving_blank"] & (share > MAX_UNSTATED_BUBBLE)


def _param_mismatch(frame: pd.DataFrame, model: Transformer) -> pd.Series:
    stated = frame["params_b"].where(frame["source"].str.startswith("bloom"))
    counted = derived_params(model) / 1e9
    return (counted / stated - 1).abs() > MAX_PARAM_MISMATCH


def _rate_mismatch(frame: pd.DataFrame) -> pd.Series:
    """BLOOM's logs print both a time and a rate that counts eight FLOPs per weight and token."""
    rate = frame["hw_tflops_per_gpu"].where(frame["source"].str.startswith("bloom"))
    tokens = frame["global_batch"] * frame["seq_len"]
    implied = _narayanan_flops(frame) / (frame["chips"] * frame["step_seconds"] * TERA)
    return ((implied / rate - 1).abs() > MAX_RATE_MISMATCH) & tokens.notna()


def _narayanan_flops(frame: pd.DataFrame) -> pd.Series:
    """FLOPs of a step as Narayanan et al. 2021 count them (equation 3: recomputation included)."""
    s, h, layers, vocab = frame["seq_len"], frame["hidden"], frame["layers"], frame["vocab"]
    extra = 1 + s / (6 * h) + vocab / (16 * layers * h)
    return 96 * frame["global_batch"] * s * layers * h**2 * extra
