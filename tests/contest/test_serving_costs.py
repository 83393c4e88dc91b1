"""Chip-hours and dollars of a million tokens served, beside what hosts ask."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.contest import serving_costs


def test_faster_serving_is_not_cheaper():
    slow = serving_costs.costs("llama3.1-70b", ["h100-sxm"], speed=10.0)
    fast = serving_costs.costs("llama3.1-70b", ["h100-sxm"], speed=60.0)
    assert fast["chip_hours_per_mtok"].iloc[0] >= slow["chip_hours_per_mtok"].iloc[0]
    assert fast["tokens_per_s_per_user"].iloc[0] >= 60.0


def test_a_model_is_served_in_one_byte_where_that_is_cheaper(monkeypatch):
    """Hosts serve in eight bits: what was priced in sixteen alone looked dearer by a quarter or more."""
    found = serving_costs.costs("llama3.1-405b", ["h200", "mi250x"]).set_index("chip")
    assert found.loc["h200", "format"] == "fp8"
    monkeypatch.setattr(serving_costs, "EIGHT_BITS", ())
    serving_costs._costs.forget()
    wide = serving_costs.costs("llama3.1-405b", ["h200"]).set_index("chip")
    assert wide.loc["h200", "format"] == "bf16"
    ratio = wide.loc["h200", "chip_hours_per_mtok"] / found.loc["h200", "chip_hours_per_mtok"]
    assert 1.2 < ratio < 2.0


def test_asking_from_few_sequences_to_many_finds_what_asking_all_finds(monkeypatch):
    found = serving_costs.costs("llama3.1-70b", ["h100-sxm", "wse-3"])
    kept = serving_costs._keeping
    everything = [
        ((name, count, form), batch)
        for name in ("h100-sxm", "wse-3")
        for form in (None, "fp8")[: 1 + (name == "h100-sxm")]
        for count in serving_costs.COUNTS
        for batch in serving_costs.BATCHES
    ]
    common = {"model": "llama3.1-70b", "input_len": 1024, "output_len": 1024}
    rates = {}
    for (name, _, _), _, told in kept(everything, serving_costs.SPEED, common):
        rates[name] = max(rates.get(name, 0.0), told["tokens_per_s_per_chip"])
    for row in found.itertuples():
        assert 1e6 / 3600 / row.chip_hours_per_mtok >= 0.999 * rates[row.chip]


def test_a_host_asks_for_the_prompt_too():
    """3.50 USD for a million tokens in and 3.50 out are 7.00 for a million answered as long as they were asked."""
    found = serving_costs.listed("llama3.1-405b").set_index("host")
    assert found.loc["Together AI", "usd_per_mtok"] == pytest.approx(7.0)
    assert found.index.is_unique and found["usd_per_mtok"].is_monotonic_increasing
    assert serving_costs.listed("opt-175b").empty


def test_a_machine_s_hours_at_full_load_agree_with_the_most_that_was_measured():
    """Eight H200 under TensorRT-LLM put out 3,330 tokens a second of Llama 3.1 405B in FP8 at most (1,000 in and out)."""
    table = tables.load("serving_measurements")
    own = table[(table["source"] == "trtllm_perf_total") & (table["model_id"] == "llama3.1-405b")]
    own = own[(own["chip_id"] == "h200") & (own["input_len"] == 1000) & (own["output_len"] == 1000)]
    most = own["value"].max()
    told = serving_costs.costs("llama3.1-405b", ["h200"], speed=0.1)
    assert 8e6 / 3600 / told["chip_hours_per_mtok"].iloc[0] == pytest.approx(most, rel=0.25)


def test_the_batch_is_sought_between_the_powers_of_four(monkeypatch) -> None:
    """A price that jumps where one more power of four is too slow is one of the grid, not of the chip."""
    chips = ["h100-sxm", "h100-nvl", "h200"]
    found = serving_costs.costs("llama3.1-405b", chips).set_index("chip")
    monkeypatch.setattr(serving_costs, "HALVINGS", 0)
    serving_costs._costs.forget()
    coarse = serving_costs.costs("llama3.1-405b", chips).set_index("chip")
    assert (found["usd_per_mtok"] <= coarse["usd_per_mtok"]).all()
    assert (found["usd_per_mtok"] < coarse["usd_per_mtok"]).any()
    assert (found["tokens_per_s_per_user"] >= serving_costs.SPEED).all()


def test_a_machine_that_serves_one_user_is_called_the_wrong_one():
    """Sixteen users on 32 H100 NVL, 23 on 512 TPU v5e had passed at 200 and 370 dollars a million tokens."""
    batches = {"name": ["one", "two", "three"], "batch": [1, 64, 16], "chips": [8, 8, 32]}
    frame = pd.DataFrame(batches | {"usd_per_mtok": [900.0, 1.0, 200.0]})
    assert serving_costs.strained_words(frame).startswith(" one and three keep")
    assert serving_costs.strained_words(frame[frame["batch"] > frame["chips"]]) == ""
    # Where a chip has no price, none stands beside it.
    unpriced = frame.assign(usd_per_mtok=[np.nan, 1.0, 80.0])
    assert serving_costs.strained_words(unpriced).startswith(" three keeps")


def test_a_cost_that_is_mostly_an_assumption_says_so():
    """The page on Ironwood had 23 chip-hours a million tokens beside 0.27 of Nvidia's chip, most of it assumed software."""
    chips = {"name": ["one", "two", "three"], "knowledge": ["generic", "generic", "measured"]}
    frame = pd.DataFrame(chips | {"overhead": [0.6, 0.2, 0.7]})
    told = serving_costs.assumed_words(frame)
    assert told.startswith(" Of one nobody timed serving") and "assumed for it" in told
    assert serving_costs.assumed_words(frame.iloc[1:]) == ""
    served = serving_costs.costs("llama3.1-70b", ["h100-sxm", "tpu-v7"])
    shares = served.set_index("chip")["overhead"]
    assert 0 < shares["h100-sxm"] < shares["tpu-v7"] < 1


def test_an_old_list_is_told_from_todays():
    """Three of the hosts of the largest Llama are on the list of 2024 alone; all were said to ask today."""
    hosts = serving_costs.listed("llama3.1-405b")
    assert (hosts["date"] < hosts["date"].max()).sum() == 3
    nothing = pd.DataFrame({"usd_per_mtok": []})
    words = serving_costs.market_words("Llama 3.1 405B", nothing, hosts)
    assert "3 of them had it on an older list alone, of 2024-12" in words
    today = hosts[hosts["date"] == hosts["date"].max()]
    assert "older" not in serving_costs.market_words("Llama 3.1 405B", nothing, today)


def test_a_chip_that_serves_on_thousands_of_itself_is_asked_with_so_many():
    """Groq serves large models on hundreds of its chips and more: 512 of them hold no Llama 3.1 405B."""
    found = serving_costs.costs("llama3.1-405b", ["groq-lpu-v1", "h100-sxm"]).set_index("chip")
    assert (
        found.loc["groq-lpu-v1", "chips"]
        > serving_costs.COUNTS[-1]
        >= found.loc["h100-sxm", "chips"]
    )
    assert found.loc["groq-lpu-v1", "tokens_per_s_per_user"] > 100
