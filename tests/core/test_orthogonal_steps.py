"""Muon's products: how many FLOPs, who shares them, and that a request with Muon is not faster than one with SGD."""

from dataclasses import replace

import pytest

from training_moat.catalog import models
from training_moat.core.orthogonal_steps import flops_per_stage, matrix_flops
from training_moat.core.plan import Plan
from training_moat.predict import training

QWEN = models.model("qwen3-0.6b")
CASE = {"model": "qwen3-0.6b", "chip": "h200", "chips": 1, "seq_len": 2048, "micro_batch": 4}
CASE |= {"global_batch": 4, "recompute": "none", "software": "transformers-autocast"}


def test_a_square_matrix_takes_thirty_cubes_of_its_side_and_a_wide_one_as_much_as_its_transpose():
    assert matrix_flops(1000, 1000) == pytest.approx(30 * 1000**3)
    assert matrix_flops(1024, 3072) == matrix_flops(3072, 1024) == 5 * 14 * 1024**3


def test_every_layers_matrices_are_counted_once():
    # Queries and output 2,048 by 1,024, keys and values 1,024 square, three of 3,072 by 1,024.
    one = (2 * (2 * 2 + 1) + 2 * (2 + 1) + 3 * (2 * 3 + 1)) * 2 * 5 * 1024**3
    plan = Plan(seq_len=2048, global_batch=8, dp=1)
    assert flops_per_stage(QWEN, plan) == (pytest.approx(28 * one), 0)
    assert flops_per_stage(QWEN, replace(plan, tp=2))[0] == pytest.approx(14 * one)
    assert flops_per_stage(QWEN, replace(plan, pp=4))[0] == pytest.approx(7 * one)


def test_experts_and_latent_attention_are_counted_too():
    plan = Plan(seq_len=4096, global_batch=64, dp=64)
    moonlight = models.model("moonlight-16b-a3b")
    dense, experts = flops_per_stage(moonlight, plan)
    # 26 layers of 64 experts, three matrices of 2,048 by 1,408 each.
    assert experts == pytest.approx(26 * 64 * 3 * matrix_flops(2048, 1408))
    assert 0 < dense < experts
    assert flops_per_stage(moonlight, replace(plan, ep=8))[1] == pytest.approx(experts / 8)


def seconds(**said):
    (answer,) = training.predict([CASE | said])
    assert answer["ok"], answer
    assert sum(answer["seconds"].values()) == pytest.approx(answer["step_time_s"])
    return answer["step_time_s"]


def test_a_step_with_muon_takes_longer_than_one_with_as_much_state():
    muon, sgd = seconds(optimizer="muon"), seconds(optimizer="sgd")
    assert muon - sgd > flops_per_stage(QWEN, Plan(seq_len=1, global_batch=1))[0] / 989e12
    # Replicas that share the states out share the products out as well.
    many = {"chips": 8, "dp": 8, "tp": 1, "pp": 1, "global_batch": 32}
    shared, whole = (
        seconds(**many, optimizer="muon", zero_stage=stage)
        - seconds(**many, optimizer="sgd", zero_stage=stage)
        for stage in (1, 0)
    )
    assert shared == pytest.approx(whole / 8, rel=0.02)


def test_adapters_and_what_the_host_steps_are_left_as_they_were():
    assert seconds(optimizer="muon", lora_rank=16) == seconds(optimizer="sgd", lora_rank=16)
    assert seconds(optimizer="muon", offload="optimizer") == pytest.approx(
        seconds(optimizer="sgd", offload="optimizer")
    )
