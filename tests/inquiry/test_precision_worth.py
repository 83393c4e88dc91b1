"""Cost of a trained model by format: hours times price, only formats the chip has, only chips that hold the model."""

import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import precision_words, precision_worth
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


def test_what_does_not_fit_is_said():
    with pytest.raises(InputError, match="does not fit on 8"):
        precision_worth.cost_by_format("llama3.1-405b", ["a100-80"], 8, 1)


def test_ranking_says_who_leads():
    vendors = pd.Series({"N": "NVIDIA", "A": "AMD"})
    text = precision_words.ranking(
        pd.Series({"A": 2.0, "N": 3.0}), pd.Series({"N": 1.0, "A": 2.0}), vendors
    )
    assert (
        "A would by the model's median train it most cheaply" in text
        and "the cheapest becomes N" in text
        and "-67%" in text
    )


def test_ranking_without_a_pair_says_so():
    vendors = pd.Series({"N": "NVIDIA"})
    assert "none of these pairs has" in precision_words.ranking(
        pd.Series({"N": 3.0}), pd.Series({"N": 1.0}), vendors
    )
    assert "none of these pairs has" in precision_words.ranking(
        pd.Series(dtype=float), pd.Series(dtype=float), vendors
    )
