"""Scrambled Sobol points are SciPy's, bit for bit."""

import numpy as np
import pytest
from scipy.stats import qmc

from training_moat.inquiry import sobol


@pytest.mark.parametrize("dimensions", [*range(1, sobol.MOST + 2)])
@pytest.mark.parametrize(("doublings", "seed"), [(0, 0), (1, 3), (9, 999_999)])
def test_points_are_scipys(dimensions, doublings, seed):
    theirs = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    ours = sobol.points(dimensions, doublings, seed)
    assert (ours == theirs.random_base2(doublings)).all()
    assert ours.shape == (2**doublings, dimensions)
