"""What a source's runs share and how they differ, each in units of its spread."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate.random_effects import ROBUST_SCALE, Split, robust, robust_slope

CLUSTERS = pd.Series(["a", "a", "a", "b", "c", "c"])


def test_errors_split_into_the_clusters_means_and_what_is_left():
    errors = np.array([0.1, 0.2, 0.3, -0.4, 0.0, 0.2])
    parts = Split(CLUSTERS, noise=1.0, cluster_noise=0.0)(errors)
    assert parts[:6] == pytest.approx([-0.1, 0.0, 0.1, 0.0, -0.1, 0.1])
    # Without a spread of their own, means count with the square root of their rows.
    assert parts[6:] == pytest.approx(np.array([0.2, -0.4, 0.1]) * np.sqrt([3, 1, 2]))


def test_a_long_table_says_little_more_about_its_level_than_a_short_one():
    long, short = pd.Series(["a"] * 400), pd.Series(["a"] * 4)
    level = lambda clusters: Split(clusters, noise=0.05, cluster_noise=0.06)(
        np.full(len(clusters), 0.1)
    )[-1]
    assert level(short) < level(long) < 1.2 * level(short)


def test_slopes_split_as_errors_do():
    split = Split(CLUSTERS, noise=0.5, cluster_noise=0.1)
    slopes = np.random.default_rng(7).normal(size=(6, 3))
    assert split(slopes)[:, 1] == pytest.approx(split(slopes[:, 1]))


def test_far_residuals_pull_with_constant_force():
    scaled = np.array([-30.0, -1.0, 0.0, 1e-9, 0.5, 30.0])
    pull = robust(scaled) * robust_slope(scaled)
    assert np.abs(pull).max() <= ROBUST_SCALE and pull[-1] == pytest.approx(ROBUST_SCALE, rel=0.01)
    step = 1e-6
    assert robust_slope(scaled) == pytest.approx(
        (robust(scaled + step) - robust(scaled - step)) / (2 * step), abs=1e-4
    )
