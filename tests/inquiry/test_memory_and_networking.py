"""Collectives against measurements, and the networking chapter's numbers."""

from __future__ import annotations

import pandas as pd
import pytest

from training_moat.calibrate import fit_collectives, serving_errors
from training_moat.catalog import chips, scenario, tables
from training_moat.inquiry import neighbours, networking


def test_collectives_meet_their_target_by_kind() -> None:
    found = fit_collectives.errors()
    by_kind = fit_collectives.by_kind(found[found["large"]])
    assert {"all_reduce", "all_gather", "all_to_all"} <= set(by_kind.index) and by_kind.max() < 0.15
    assert len(fit_collectives.held_out_errors()) > 5


def test_neighbour_links_cost_a_pipeline_nothing_and_experts_much() -> None:
    lost = neighbours.neighbours_only(
        "llama3.1-70b", "deepseek-v3", "h200", sizes=(8, 64)
    ).set_index(["layout", "chips"])["lost"]
    assert lost["dense, pipeline", 64] == pytest.approx(0, abs=0.02)
    assert lost["experts over the group", 64] > 2 * lost["experts over the group", 8] > 0


def test_slower_steps_cost_tensor_parallel_serving_more() -> None:
    rates = [
        neighbours.neighbours_only(
            "llama3.1-70b", "deepseek-v3", "h200", sizes=(8,), latency_us=latency
        ).set_index("layout")
        for latency in (0.5, 20)
    ]
    assert (
        rates[1].loc["dense, tensor parallel", "neighbour"]
        < 0.8 * rates[0].loc["dense, tensor parallel", "neighbour"]
    )


def test_traffic_is_what_the_model_times() -> None:
    """One derivation of bytes: virtual stages, wire formats and layers on the fullest stage are those of `core.messages`."""
    sizes = {"tp": 8, "pp": 4, "dp": 2, "cp": 1, "micro_batch": 1, "virtual_stages": 4}
    run = networking.case("llama3.1-70b", "h100-sxm", 64, 8192, 64, **sizes, software="megatron")
    sent = networking.traffic(run).set_index("kind")["gb"]
    hidden, tokens = 8192, 32 * 8192
    assert sent["pipeline"] == pytest.approx(2 * 4 * tokens * hidden * 2 / 8 / 1e9)
    # Four sums a layer, and the inputs of two products gathered again in the backward pass: half a sum each.
    sums = 4 + 2 / 2
    assert sent["tensor_parallel"] == pytest.approx(
        sums * 20 * tokens * hidden * 2 * 2 * 7 / 8 / 1e9
    )
    assert sent["expert_parallel"] == 0 < sent["data_parallel"]
    alone = networking.traffic(networking.case("llama3.1-8b", "h100-sxm", 1, 8192, 8))
    assert (alone["gb"] == 0).all()


def test_the_natural_experiment_pairs_identical_jobs() -> None:
    pairs = neighbours.natural_experiment()
    assert len(pairs) % 2 == 0 and set(pairs["chip"]) == {"inferentia2", "trainium1"}


def test_a_published_speed_is_asked_on_the_same_machine_in_every_chapter() -> None:
    """The networking chapter's ceilings stand over the machines of the memory chapter's table."""
    makers = serving_errors.makers()
    alone = makers[makers["users"] == 1]
    found = neighbours.single_user_speeds()
    assert len(found) == len(alone)
    keys = ["chip", "model", "measured", "source"]
    theirs = alone.rename(columns={"published": "measured"}).set_index(keys)["chips"].sort_index()
    assert found.set_index(keys)["chips"].sort_index().equals(theirs)
    assert found["gaps"].str.contains("format|users at once|prompt").any(), (
        "gaps are shown, in words"
    )
    assert not found["gaps"].str.contains("_|precision|batch").any()
    # 16 SN40L read 1.6 TB/s each; Llama 3.1 405B in sixteen bits is 811 GB: 31.6 tokens a second at most.
    own = found[(found["chip"] == "sn40l") & (found["model"] == "llama3.1-405b")]
    assert own["ceiling"].iloc[0] == pytest.approx(16 * 1.6e12 / 811.7e9, rel=0.01)


def test_the_comparison_of_links_has_every_chip_that_publishes_link_and_peak() -> None:
    """It had 18 chosen ones, the chapter's own chip not among them, and said that of others a rate is missing."""
    table = tables.load("chips")
    known = table.dropna(subset="scaleup_gb_per_s_per_direction")
    known = known[known[["bf16_tflops", "fp16_tflops"]].notna().any(axis=1)]
    assert set(networking.compared_chips()) == set(known["id"])
    assert {"h200", "tpu-v4", "mi325x", "bow-ipu"} <= set(known["id"])


def test_a_need_for_bandwidth_far_beyond_the_links_is_still_a_number(monkeypatch, tmp_path):
    """At short sequences gradients weigh most: thin links fall short of their need by more than ten times."""
    few = ("thin", "h100-sxm")
    monkeypatch.setattr(networking, "compared_chips", lambda: few)
    path = tmp_path / "thin.yaml"
    path.write_text("chips:\n  thin: {base: bow-ipu, scaleup_gb_per_s_per_direction: 50}\n")
    with scenario.laid_over(path):
        found = networking.bandwidth_needs("gpt3-175b", 128, 1536, 1024)
    assert len(found) == len(few) and (found["needs"] > 0).all()
    assert found["surplus"].min() < 1 / max(networking.FACTORS)


def test_a_mesh_of_a_thousand_chips_is_no_full_mesh(tmp_path) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text("chips:\n  wide: {base: ascend-950dt, scaleup_topology: mesh}\n")
    with scenario.laid_over(path):
        assert "wide" not in networking.compared_chips()


@pytest.mark.parametrize("network", networking.RATES)
def test_every_chip_may_be_asked_with_an_endless_network(network) -> None:
    """The bound of the table's column, which keeps typing errors out, holds the largest multiple that is tried."""
    column, unit = networking.RATES[network]
    links = [getattr(chip, network) for chip in chips.all_chips().values()]
    most = max(link.bytes_per_s for link in links if link is not None) / unit
    assert most * networking.ENDLESS <= networking._largest(column)


def test_a_readers_own_rate_beyond_all_bounds_is_asked_with_the_largest() -> None:
    run = networking.case("llama3.1-8b", "h100-sxm", 64, 8192, 64, scaleup_gb_per_s=1e9)
    assert networking.over_bandwidth(run, "scaleup", (1, 2))["speed"].min() > 0.999


def test_a_ceiling_far_above_the_published_speed_is_said_to_say_nothing() -> None:
    speeds = pd.DataFrame(
        {"chip": ["far", "near"], "measured": [10.0, 10.0], "ceiling": [2e4, 40.0]}
    )
    assert neighbours.unread_words(speeds).startswith("For far, which keep")
    assert neighbours.unread_words(speeds[speeds["chip"] == "near"]) == ""
