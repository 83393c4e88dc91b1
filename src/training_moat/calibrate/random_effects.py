"""Residuals of a fit to runs from many hands: what one source's runs share, how they differ, and how far each counts."""

from __future__ import annotations

import numpy as np
import pandas as pd

ROBUST_SCALE = 1.5
"""Residuals beyond this many standard deviations count linearly, not squared."""
FULL_WEIGHT_ROWS = 40
"""A source of this many rows has weight one per row; larger ones less, smaller ones up to MAX_WEIGHT."""
MAX_WEIGHT = 2.5


def row_weights(sources: pd.Series) -> np.ndarray:
    """Weight of each row's residual: the fourth root of how much smaller than `FULL_WEIGHT_ROWS` its source is, so
    that a source counts with the square root of its size (its rows share their setting and their errors)."""
    size = sources.groupby(sources).transform("size").to_numpy(float)
    return np.minimum((FULL_WEIGHT_ROWS / size) ** 0.25, MAX_WEIGHT)


class Split:
    """Splits the errors of rows, or their slopes, into what a cluster's rows share and how they differ, each in units
    of its spread: a random-effects model (Laird and Ware 1982).

    A cluster is one source's runs on one chip: whoever ran them tuned well or badly, and that is one fact, not as many
    as there are rows. Deviations inside a cluster speak about shapes and layouts, its mean about the level. `noise` is
    the spread inside a cluster, `cluster_noise` that of the clusters about each other.
    """

    def __init__(self, clusters: pd.Series, noise: float, cluster_noise: float) -> None:
        self.cluster, names = pd.factorize(clusters)
        self.size = np.bincount(self.cluster, minlength=len(names)).astype(float)
        self.row_scale = np.minimum(row_weights(clusters), 1.0) / noise
        self.mean_scale = 1 / np.sqrt(cluster_noise**2 + noise**2 / self.size)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (values.ndim - 1)
        total = np.zeros((len(self.size), *values.shape[1:]))
        np.add.at(total, self.cluster, values)
        mean = total / self.size.reshape(shape)
        inside = (values - mean[self.cluster]) * self.row_scale.reshape(shape)
        return np.concatenate([inside, mean * self.mean_scale.reshape(shape)])


def robust(scaled: np.ndarray) -> np.ndarray:
    """Residuals whose squares are the pseudo-Huber loss: beyond ROBUST_SCALE they pull with constant force."""
    return (
        np.sign(scaled)
        * ROBUST_SCALE
        * np.sqrt(2 * (np.sqrt(1 + (scaled / ROBUST_SCALE) ** 2) - 1))
    )


def robust_weight(scaled: np.ndarray) -> np.ndarray:
    """What a residual's pull toward zero is multiplied by: one near zero, less and less beyond ROBUST_SCALE."""
    return 1 / np.sqrt(1 + (scaled / ROBUST_SCALE) ** 2)


def robust_slope(scaled: np.ndarray) -> np.ndarray:
    """Derivative of `robust`."""
    near = np.abs(scaled) < 1e-6
    safe = np.where(near, 1.0, scaled)
    return np.where(near, 1.0, safe * robust_weight(safe) / robust(safe))
