"""Single products as measured on one GPU beside the formula that a step is made of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import chips
from training_moat.core.layer_step import matmul_seconds
from training_moat.core.node import Efficiency
from training_moat.predict import training_constants, training_nodes

MEASURED = Path(__file__).parents[2] / "experiments/training_steps/measured/product_grid.csv"
STORED = training_constants.load()
LONGER_THAN_A_LAUNCH_S = 3e-5


@pytest.mark.parametrize("form", ["bf16", "fp8"])
def test_products_of_all_sizes_are_met_once_the_large_one_is(form):
    """The rate of the large square beside each, and the ramp that training runs give: no other constant takes part."""
    grid = pd.read_csv(MEASURED)
    grid = grid[grid["format"] == form].reset_index(drop=True)
    square = (grid[["rows", "inner", "columns"]] == 8192).all(axis=1).to_numpy()
    assert square.sum() >= 4
    place = np.arange(len(grid))
    rate = np.interp(place, place[square], grid["tflops"].to_numpy()[square]) * 1e12
    node = training_nodes.node(STORED, chips.chip("h200"), form)
    sizes = (grid[name].to_numpy(float) for name in ("rows", "inner", "columns"))
    own = Efficiency(matmul=rate / node.peak_flops, attention=1.0, memory=1.0)
    said = matmul_seconds(*sizes, node, replace(own, ramp=STORED.generic("ramp")))
    long = (grid["seconds"] > LONGER_THAN_A_LAUNCH_S).to_numpy()
    assert long.sum() > 60
    error = np.abs(said / grid["seconds"].to_numpy() - 1)[long]
    assert error.mean() < 0.09 and np.median(error) < 0.075
    # Without the fixed work narrow products come out much too fast.
    narrow = long & (grid["inner"] == 512).to_numpy()
    sizes = (grid[name].to_numpy(float) for name in ("rows", "inner", "columns"))
    without = matmul_seconds(*sizes, node, own) / grid["seconds"].to_numpy() - 1
    assert without[narrow].mean() < (said / grid["seconds"].to_numpy() - 1)[narrow].mean() - 0.04
