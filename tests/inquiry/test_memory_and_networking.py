"""Verdicts for every chip, collectives against measurements, and the networking chapter's numbers."""

from __future__ import annotations

import pytest

from training_moat.calibrate import fit_collectives
from training_moat.catalog import chips
from training_moat.inquiry import holding, networking


@pytest.fixture(scope="module")
def verdicts():
    return holding.verdicts("llama3.1-70b")


def test_every_chip_has_both_verdicts_and_a_reason(verdicts) -> None:
    assert set(verdicts["chip"]) == set(chips.all_chips())
    for job in ("training", "serving"):
        assert set(verdicts[job]) <= {"holds", "no", "unknown"}
        unknown = verdicts[verdicts[job] == "unknown"]
        assert unknown[f"{job}_why"].str.contains("Missing datum").all()
        failed = verdicts[verdicts[job] == "no"]
        assert failed[f"{job}_why"].str.contains("fails").all()


def test_a_chip_that_holds_training_takes_at_least_the_bytes(verdicts) -> None:
    """Sixteen bytes and more a weight (Rajbhandari et al. 2020, section 3.1), spread over the chips."""
    held = verdicts[verdicts["training"] == "holds"]
    assert (held["training_chips"] * held["tier_gb"] > 70.55 * 16).all()


@pytest.mark.parametrize("model", ["llama3.1-8b", "deepseek-v3", "gpt-oss-120b"])
def test_nothing_breaks_on_other_models(model: str) -> None:
    assert len(holding.verdicts(model, optimizer="sgd", seq_len=2048, precision="fp8")) == len(
        chips.all_chips()
    )


def test_smaller_optimizers_need_no_more_chips() -> None:
    from training_moat.catalog import models

    shape = models.model("llama3.1-70b")
    full, lean = (
        holding.training_need(shape, optimizer=name).bytes_per_chip
        for name in ("adamw", "adam8bit")
    )
    assert (lean <= full).all()


def test_collectives_meet_their_target_by_kind() -> None:
    found = fit_collectives.errors()
    by_kind = fit_collectives.by_kind(found[found["large"]])
    assert {"all_reduce", "all_gather", "all_to_all"} <= set(by_kind.index) and by_kind.max() < 0.15
    assert len(fit_collectives.held_out_errors()) > 5


def test_neighbour_links_cost_a_pipeline_nothing_and_experts_much() -> None:
    lost = networking.neighbours_only(
        "llama3.1-70b", "deepseek-v3", "h200", sizes=(8, 64)
    ).set_index(["layout", "chips"])["lost"]
    assert lost["dense, pipeline", 64] == pytest.approx(0, abs=0.02)
    assert lost["experts over the group", 64] > 2 * lost["experts over the group", 8] > 0


def test_slower_steps_cost_tensor_parallel_serving_more() -> None:
    rates = [
        networking.neighbours_only(
            "llama3.1-70b", "deepseek-v3", "h200", sizes=(8,), latency_us=latency
        ).set_index("layout")
        for latency in (0.5, 20)
    ]
    assert (
        rates[1].loc["dense, tensor parallel", "neighbour"]
        < 0.8 * rates[0].loc["dense, tensor parallel", "neighbour"]
    )


def test_traffic_counts_what_the_plan_exchanges() -> None:
    answer = {
        "plan": {"tp": 1, "pp": 1, "dp": 8, "cp": 1, "ep": 1, "global_batch": 8, "seq_len": 128}
    }
    sent = networking.traffic("llama3.1-8b", answer).set_index("kind")["gb"]
    assert sent["tensor"] == sent["pipeline"] == sent["expert"] == 0
    assert sent["data"] == pytest.approx(8.03 * 4 * 2 * 7 / 8, rel=0.01)


def test_the_natural_experiment_pairs_identical_jobs() -> None:
    pairs = networking.natural_experiment()
    assert len(pairs) % 2 == 0 and set(pairs["chip"]) == {"inferentia2", "trainium1"}
