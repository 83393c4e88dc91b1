"""Kind, reach and volume of exchange, startups' layouts, and the constant that a check must beat."""

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.inquiry import layouts, neighbours, networking


def kinds(**plan):
    frame = pd.DataFrame({"kind": list(networking.KIND_WORDS), "gb": [1.0, 2.0, 3.0, 4.0]})
    return networking.reach(frame, {"ep": 1} | plan).set_index("kind")


def test_a_sum_over_a_group_needs_no_link_beyond_the_next_chip():
    table = kinds(ep=64)
    assert table.loc["pipeline", "exchange"] == "next chip"
    assert (table.drop("pipeline")["exchange"] == "whole group").all()
    assert (table.drop("expert_parallel")["beyond"] == 0).all()
    assert table.loc["expert_parallel", "beyond"] == pytest.approx(61 / 63)


def test_training_without_a_switch_costs_experts_more_and_more_with_thin_links():
    dense = networking.without_switch(networking.case("llama3.1-70b", "h200", 256, 4096, 512))
    experts = networking.without_switch(networking.case("deepseek-v3", "h200", 256, 4096, 2048))
    assert dense["rate"].tolist() == [450, 225, 112.5, 56.25]
    for found in (dense, experts):
        assert found["lost"].is_monotonic_increasing and found["lost"].between(0, 1).all()
    assert (experts["lost"] > dense["lost"]).all()
    assert (dense["waits_near"] >= dense["waits_switched"]).all()


def test_a_run_that_does_not_fit_is_compared_on_no_network():
    assert networking.without_switch(networking.case("deepseek-v3", "h200", 2, 4096, 8)).empty


@pytest.mark.parametrize("group", [1, 2, 3])
def test_in_a_group_of_three_everybody_is_a_neighbour(group):
    assert kinds(ep=group)["beyond"].eq(0).all()


def test_a_constant_wins_where_the_prediction_is_noise():
    rng = np.random.default_rng(0)
    measured = pd.Series(0.95 + 0.02 * rng.standard_normal(200))
    noise = pd.DataFrame(
        {"measured": measured, "predicted": measured.sample(frac=1, random_state=1).to_numpy()}
    )
    found = networking.against_constant(noise)
    assert found.constant < found.model and not found.speaks
    knowing = pd.DataFrame({"measured": measured, "predicted": measured + 0.001})
    found = networking.against_constant(knowing)
    assert found.model == pytest.approx(0.001) and found.model < found.constant and found.speaks


def test_a_tie_with_a_constant_does_not_speak_for_the_model():
    """Errors that are equal to two digits, and nearer for fewer than half of the families, had been told as evidence."""
    measured = pd.Series(np.linspace(0.9, 1.0, 40))
    away = measured - measured.median()
    off = away * np.where(
        np.arange(40) % 5 < 2, 0.5, 1.5
    )  # nearer for two of five, farther for three
    level = networking.against_constant(
        pd.DataFrame({"measured": measured, "predicted": measured - off})
    )
    assert level.nearer == 17 and not level.speaks
    closer = networking.against_constant(
        pd.DataFrame({"measured": measured, "predicted": measured - 0.5 * away})
    )
    assert closer.nearer == 40 and closer.speaks


def test_an_amount_needed_is_said_in_every_case():
    curve = pd.DataFrame({"factor": [0.5, 1.0], "rate": [50.0, 100.0], "speed": [0.5, 0.6]})
    assert networking.amount_needed(70.0, curve, "GB/s") == "70 GB/s (it has 100)"
    wide = curve.assign(speed=[0.95, 1.0])
    least = networking.needed_for(wide)
    assert networking.amount_needed(least, wide, "GB/s") == "at most 50 GB/s (it has 100)"
    assert (
        networking.amount_needed(float("nan"), curve, "GB/s")
        == "more than 8 times the 100 GB/s it has"
    )
    assert "publishes none" in networking.amount_needed(float("nan"), curve.head(0), "GB/s")


def test_layouts_are_pure_only_without_tensor_and_expert_parallelism():
    told = pd.DataFrame({
        "row_id": ["I1", "I2", "I3"], "n_chips": [8, 8, 1], "parallelism": ["PP8", "TP2 PP4", "TP1"],
        "model_id": "m", "chip_id": "c", "source": "s",
    })  # fmt: skip
    swept = pd.DataFrame({
        "row_id": ["J1", "J2"], "tp_size": [1, 8], "pp_size": [4, 1], "moe_ep_size": [1, 1],
        "model_id": "m", "chip_id": "d", "source": "s",
    })  # fmt: skip
    found = layouts.measured(told, swept).set_index("row_id")["pure"]
    assert found.to_dict() == {"I1": True, "I2": False, "J1": True, "J2": False}


def test_startups_stand_among_the_layouts():
    table = tables.load("serving_layouts")
    assert (table.loc[table["vendor"] == "Cerebras", "layout"] == "pipeline").all()
    assert table.loc[table["vendor"] == "Groq", "layout"].isna().all()


def test_families_that_the_model_cannot_predict_are_counted_too():
    """Sixteen of eighteen jobs that were split ever finer had fallen out with the prediction, the steepest among them."""
    kept, shown = networking.kept_at_scale(), networking.largest(networking.scaling())
    runs = tables.load("scaling_measurements")
    assert len(kept) > len(shown) and set(kept["family"]) <= set(runs["family_id"])
    strong = kept[kept["scaling"] == "strong"]["measured"]
    assert len(strong) == 16 and strong.min() == pytest.approx(0.6186)
    assert not kept.duplicated(["chip", "model", "chips", "measured"]).any()


def test_jobs_on_two_networks_are_not_told_by_their_median_alone():
    """Five of nine take less chip-time on Inferentia2 and four more; the median alone had read as a finding."""
    pairs = neighbours.natural_experiment()
    wide = pairs.pivot_table(index="job", columns="chip", values="chip_ms")
    less = (wide["inferentia2"] < wide["trainium1"]).sum()
    assert 0 < less < len(wide)
