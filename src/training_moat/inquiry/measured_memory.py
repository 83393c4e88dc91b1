"""Measured peak memory of training runs against the model's, and the two constants fitted on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from ..core.memory import TrainingMemory, training_memory
from ..core.units import GB
from . import constants as known
from .constants import Constants
from .measured_training import Rows, configurations, rows_of

TIME_ONLY_REASONS = ("step time and printed FLOP rate disagree", "neither a time nor a batch to turn a rate into one")
"""Reasons that spoil a row's time but not its memory reading."""


def configurations_with_memory() -> pd.DataFrame:
    """All configurations with a measured peak, their `reason` emptied where only the time is unusable."""
    frame = configurations()
    frame = frame[frame["peak_mem"].notna()].copy()
    frame["reason"] = frame["reason"].where(~frame["reason"].isin(TIME_ONLY_REASONS), "")
    return frame.reset_index(drop=True)


def usable() -> Rows:
    """The runs whose measured peak the model can be compared with."""
    frame = configurations_with_memory()
    return rows_of(frame[frame["reason"] == ""].reset_index(drop=True))


def measured_bytes(rows: Rows) -> np.ndarray:
    """Measured peak bytes per chip (the source's GB are powers of 1,000)."""
    return rows.frame["peak_mem"].to_numpy(float) * GB


def predicted(rows: Rows, reserve_bytes: float = 0.0, reserve_share: float = 0.0) -> TrainingMemory:
    """The model's memory per chip for every row."""
    pairs = zip(rows.frame["format"], rows.frame["stack"], strict=True)
    gradient = np.array([known.gradient_bytes(precision, stack) for precision, stack in pairs])
    return training_memory(rows.model, rows.plan, "adamw", gradient, reserve_bytes, reserve_share)


def fit_reserve(rows: Rows) -> tuple[float, float]:
    """(reserve bytes, reserve share of the activations), neither negative, by robust least squares on
    relative errors (a few readings contradict their own repeats)."""
    plain, measured = predicted(rows), measured_bytes(rows)

    def residuals(values: np.ndarray) -> np.ndarray:
        return (plain.total + values[0] * GB + values[1] * plain.activations) / measured - 1

    found = least_squares(residuals, [5.0, 0.1], bounds=([0, 0], np.inf), loss="soft_l1", f_scale=0.05).x
    return float(found[0] * GB), float(found[1])


def comparison(constants: Constants) -> pd.DataFrame:
    """Measured and predicted peak GB per chip, row by row, with the relative error."""
    rows = usable()
    total = predicted(rows, constants.generic("reserve_bytes"), constants.generic("reserve_share")).total
    frame = rows.frame[["config_id", "source", "model", "chip_id", "tp", "pp", "dp", "micro_batch", "format"]].copy()
    frame["measured_gb"] = measured_bytes(rows) / GB
    frame["predicted_gb"] = total / GB
    frame["error"] = frame["predicted_gb"] / frame["measured_gb"] - 1
    return frame


def leave_one_size_out(rows: Rows) -> np.ndarray:
    """Relative errors when the constants are fitted without the row's own model size (there is one source)."""
    sizes, measured = rows.frame["params_b"], measured_bytes(rows)
    errors = np.empty(len(measured))
    for size in sizes.unique():
        held = (sizes == size).to_numpy()
        reserve = fit_reserve(rows.take(~held))
        errors[held] = predicted(rows.take(held), *reserve).total / measured[held] - 1
    return errors
