"""Cost of a trained model by format: hours times price, only formats the chip has, only chips that hold the model."""

import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.inquiry import precision_worth
from training_moat.predict import training


@pytest.fixture(scope="module")
def costs():
    return precision_worth.cost_by_format("llama3.1-70b", ["a100-80", "h100-sxm", "b200"], 1024, 2)


def test_by_hand(costs):
    reply = training.predict(
        [
            {
                "model": "llama3.1-70b",
                "chip": "h100-sxm",
                "chips": 1024,
                "seq_len": precision_worth.SEQUENCE,
                "precision": "fp8",
            }
        ]
    )[0]
    row = costs.set_index(["chip", "format"]).loc[("h100-sxm", "fp8")]
    hours = 2e12 / reply["tokens_per_s"] / 3600
    price = tables.load("chips").set_index("id").loc["h100-sxm", "tco_neocloud_usd_per_h"]
    assert row["days"] == pytest.approx(hours / 24)
    assert row["musd"] == pytest.approx(hours * 1024 * price / 1e6)


def test_only_formats_that_the_chip_multiplies(costs):
    formats = costs.groupby("chip")["format"].agg(list)
    assert (
        formats["a100-80"] == ["bf16"]
        and formats["h100-sxm"] == ["bf16", "fp8"]
        and "fp4" in formats["b200"]
    )


def test_shorter_formats_save_time_and_intervals_hold_the_middle(costs):
    assert (costs.loc[costs["format"] != "bf16", "saving"] > 0).all()
    assert (costs.loc[costs["format"] == "bf16", "saving"] == 0).all()
    assert ((costs["days_p05"] < costs["days"]) & (costs["days"] < costs["days_p95"])).all()


def test_cheapest_with_more_formats_is_never_dearer(costs):
    long, short = (
        precision_worth.at_best(costs, ["bf16"]),
        precision_worth.at_best(costs, precision_worth.FORMATS),
    )
    assert (short <= long.reindex(short.index)).all()


def test_what_does_not_fit_leaves_an_empty_table():
    costs = precision_worth.cost_by_format("llama3.1-405b", ["a100-80", "mlu590"], 8, 1)
    assert costs.empty and {"days", "saving", "musd"} <= set(costs)
    assert precision_worth.at_best(costs, ["bf16"]).empty


def test_distance_needs_a_chip_on_both_sides():
    vendors = pd.Series({"N": "NVIDIA", "A": "AMD"})
    assert precision_worth.distance(pd.Series({"A": 2.0, "N": 3.0}), vendors) == 1.5
    assert precision_worth.distance(pd.Series({"N": 3.0}), vendors) is None
    assert precision_worth.distance(pd.Series({"A": 3.0}), vendors) is None
    assert precision_worth.distance(pd.Series(dtype=float), vendors) is None
