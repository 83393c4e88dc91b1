"""What one step of serving is made of, as timed on an H200: the table says what its numbers say."""

from pathlib import Path

import pandas as pd
import pytest

from training_moat.catalog import chips

MEASURED = Path(__file__).parents[2] / "experiments/training_steps/measured/serving_kernels.csv"
ROWS = {1, 4, 16, 64, 128, 256, 512, 1024}


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(MEASURED)


def test_every_kernel_was_timed_on_one_card(table):
    assert set(table["device"]) == {"NVIDIA H200"} and table["notes"].isna().all()
    assert (table["seconds"] > 0).all()
    keys = ["kernel", "setting", "format", "rows", "inner", "columns", "launched"]
    assert not table.duplicated(keys).any()
    products = table[table["kernel"] == "product"]
    assert set(products["rows"]) == ROWS and set(products["format"]) == {"bf16", "fp8"}


def test_rates_and_shares_are_those_of_the_sizes(table):
    h200 = chips.chip("h200")
    own = table[table["kernel"] == "product"]
    rows, inner, columns = (own[name] for name in ("rows", "inner", "columns"))
    width = own["format"].map({"bf16": 2, "fp8": 1})
    moved = width * (rows * inner + inner * columns) + 2 * rows * columns
    flops = 2 * rows * inner * columns
    assert own["gb_per_s"].to_numpy() == pytest.approx((moved / own["seconds"] / 1e9), rel=1e-3)
    assert own["tflops"].to_numpy() == pytest.approx((flops / own["seconds"] / 1e12), rel=1e-3)
    peaks = own["format"].map(h200.peak_flops)
    assert own["share_of_peak"].to_numpy() == pytest.approx(
        flops / own["seconds"] / peaks, abs=1e-3
    )
    bandwidth = h200.main_memory.bytes_per_s
    assert own["share_of_bandwidth"].to_numpy() == pytest.approx(
        moved / own["seconds"] / bandwidth, abs=1e-3
    )


def test_no_kernel_outruns_the_card(table):
    assert table["share_of_peak"].max() < 0.85 and table["share_of_bandwidth"].max() < 0.97
    steps = table[table["kernel"] == "decoding step"]
    seconds = steps.pivot_table(index=["rows", "inner"], columns="launched", values="seconds")
    assert (seconds["graph"] < seconds["eager"]).all()
