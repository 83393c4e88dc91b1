"""Measured peak memory of training runs against the model's, and the two constants fitted on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from training_moat.calibrate.measured_training import (
    Rows,
    capacity_bytes,
    configurations,
    gradient_bytes,
    lock_box,
    rows_of,
)
from training_moat.calibrate.measured_training import usable as runs
from training_moat.core.memory import FP32_GRADIENT_BYTES, Reserve, TrainingMemory, training_memory
from training_moat.core.optimizer_states import optimizer_bytes
from training_moat.core.tiers import USABLE_SHARE
from training_moat.core.units import GB
from training_moat.predict import software
from training_moat.predict import training_constants as known
from training_moat.predict.records import stacked
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_tables import kept_by

RECOMPUTATION_STATED = ("llm_foundry", "dgxc_h100")
"""Sources of fused stacks that state for every run what was recomputed (and tuned the micro-batch to the memory)."""
MISFITS = 0.05
"""Share of those runs that the fitted reserve may declare too large."""

TIME_ONLY_REASONS = (
    "step time and printed FLOP rate disagree",
    "neither a time nor a batch to turn a rate into one",
)
"""Reasons that spoil a row's time but not its memory reading."""


def with_reading(column: str) -> pd.DataFrame:
    """All configurations with a reading of memory in a column, their `reason` emptied where only the time is unusable."""
    frame = configurations()
    reason = frame["reason"].where(~frame["reason"].isin(TIME_ONLY_REASONS), "")
    return frame.assign(reason=reason)[frame[column].notna()].reset_index(drop=True)


def usable() -> Rows:
    """The runs whose measured peak the model can be compared with, of all configurations."""
    return rows_of(with_reading("peak_mem"))


def measured_bytes(rows: Rows) -> np.ndarray:
    """Measured peak bytes per chip (the source's GB are powers of 1,000)."""
    return rows.frame["peak_mem"].to_numpy(float) * GB


def predicted(rows: Rows, reserve_bytes: float = 0.0, reserve_share: float = 0.0) -> TrainingMemory:
    """The model's memory per chip for every row."""
    autocast, kept_kv = (
        pd.to_numeric(rows.frame[name]).fillna(0).to_numpy(float)
        for name in ("autocast", "kept_kv")
    )
    # A parameter under autocast alone is FP32, and so is its gradient.
    gradient = np.where(autocast > 0, FP32_GRADIENT_BYTES, gradient_bytes(rows.frame))
    sharded = software.of_labels(rows.frame["label"], "fully_sharded").to_numpy()
    stacks, ran = software.all_software(), rows.frame[["label", "format"]]
    usual = [kept_by(stacks[label], form) for label, form in ran.itertuples(index=False)]
    chunks = rows.frame["loss_chunks"].to_numpy(float)
    kept = replace(stacked(usual), autocast=autocast, kv=kept_kv, loss_chunks=chunks)
    masters = rows.frame["master_weights"].to_numpy(float)
    # Sharded in full, it is the one stored copy; else the 16-bit copy that autocast caches stands beside it, until the
    # backward pass of layers that are recomputed.
    uncached = np.maximum(
        autocast * (rows.plan.zero_stage >= 3), kept.torch_native * (rows.plan.recompute >= 2)
    )
    alone = np.maximum(sharded, uncached) * masters
    states = np.where(masters > 0, optimizer_bytes("adamw"), optimizer_bytes("adamw", False))
    reserve = Reserve(reserve_bytes, reserve_share)
    return training_memory(rows.model, rows.plan, states, gradient, reserve, kept, alone)


def fit_reserve(rows: Rows) -> tuple[float, float]:
    """(reserve bytes, reserve share of the activations), neither negative, by robust least squares on
    relative errors (a few readings contradict their own repeats)."""
    from scipy.optimize import least_squares  # slow to import, and only fits need it

    plain, measured = predicted(rows), measured_bytes(rows)

    def residuals(values: np.ndarray) -> np.ndarray:
        return (plain.total + values[0] * GB + values[1] * plain.activations) / measured - 1

    robust = {"bounds": ([0, 0], np.inf), "loss": "soft_l1", "f_scale": 0.05}
    found = least_squares(residuals, [5.0, 0.1], **robust).x
    return float(found[0] * GB), float(found[1])


def runs_that_fit() -> Rows:
    """Runs of stacks with fused attention whose sources say what was recomputed: no peak was read, but they ran."""
    rows = runs()
    stack = rows.frame["stack"]
    fused = software.of_labels(stack, "unfused").eq(0) & ~stack.isin(("maxtext", "pytorch-xla"))
    stated = rows.frame["source"].isin(RECOMPUTATION_STATED)
    return rows.take((fused & stated).to_numpy())


def fit_fused_reserve(rows: Rows) -> float:
    """Reserve bytes for stacks with fused attention: the most that lets all but `MISFITS` of the runs fit their
    chips. Their authors chose the largest micro-batch that fits, so the bound is close."""
    return max(float(np.quantile(_room_bytes(rows) - predicted(rows).total, MISFITS)), 0.0)


def _room_bytes(rows: Rows) -> np.ndarray:
    """Bytes of every row's chip that a run may take."""
    return USABLE_SHARE["training"] * capacity_bytes(rows.frame)


def filled(constants: Constants) -> pd.DataFrame:
    """Every comparable run of a stack, each of which ran and so had fitted, with what the model says of its room.

    Columns: source, stack, `filled` (predicted bytes per chip, with what the runtime takes, over those a chip has for them).
    """
    rows = runs()
    plain = predicted(rows)
    reserves = [known.reserve(constants, software.find(name)) for name in rows.frame["label"]]
    fixed, share = np.array(reserves, float).T
    need = plain.total + fixed + share * plain.activations
    return rows.frame[["source", "stack"]].assign(filled=need / _room_bytes(rows))


def room_by_stack(found: pd.DataFrame) -> pd.DataFrame:
    """What `filled` says by class of software. Columns: stack, runs, sources, `fits` (share of runs that the model has room
    for)."""
    groups = found.assign(fits=found["filled"] <= 1).groupby("stack")
    return groups.agg(
        runs=("source", "size"), sources=("source", "nunique"), fits=("fits", "mean")
    ).reset_index()


SHOWN = ["config_id", "source", "model", "chip_id", "tp", "pp", "dp", "micro_batch", "format"]


def comparison(constants: Constants) -> pd.DataFrame:
    """Measured and predicted peak GB per chip, row by row, with the relative error. `reading`: `peak`, what the card was
    seen to hold; `allocated`, the tensors alone, as the framework counts them."""
    rows = usable()
    reserve = (constants.generic("reserve_bytes"), constants.generic("reserve_share"))
    tensors = with_tensors_counted()
    counted = tensors.frame["peak_allocated"].to_numpy(float)
    parts = [
        (rows, "peak", measured_bytes(rows) / GB, predicted(rows, *reserve).total / GB),
        (tensors, "allocated", counted, predicted(tensors).allocated / GB),
    ]
    frames = [
        part.frame[SHOWN].assign(reading=name, measured_gb=measured, predicted_gb=found)
        for part, name, measured, found in parts
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame["error"] = frame["predicted_gb"] / frame["measured_gb"] - 1
    return frame


def with_tensors_counted() -> Rows:
    """The runs whose framework printed the bytes of its tensors at their peak, of all configurations; not those of the
    lock-box."""
    frame = with_reading("peak_allocated")
    return rows_of(frame[~frame["source"].isin(lock_box())])
