"""Exchanges of experts shared by many copies: bytes each way, halves in turns, and when these do not pay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3

from training_moat.core import serving_step
from training_moat.core.fabrics import Fabric
from training_moat.core.machine import Tier
from training_moat.core.serving_exchange import Exchange, exchange_s, exposed_s, sums_s
from training_moat.core.serving_memory import ServingMachine, ServingPlan

WIRE = Fabric(50e9, 0.0, domain_chips=8)
NETWORK = replace(WIRE, domain_chips=1e9, topology="fat_tree")
INSIDE = replace(WIRE, bytes_per_s=450e9)
HBM = (Tier("hbm", 80e9, 3.35e12),)
MACHINE = ServingMachine(2e15, 1e15, 1e15, HBM, INSIDE, INSIDE, NETWORK, 0.8, 0.5)
WIDE = ServingPlan(dp=128, ep=128)
FEW = serving_step.Software(layer_s=1e-5, expert_layer_s=2e-5, step_s=5e-4)


def step(per_chip: float, exchange: Exchange | None, m: ServingMachine = MACHINE):
    job = serving_step.Job(per_chip * 128, 4096, 2, 1.0, 1.0)
    where = serving_step.placement(serving_step.memory(DEEPSEEK_V3, job, WIDE), m)
    software = replace(FEW, exchange=exchange)
    asked = serving_step.Service(DEEPSEEK_V3, job, WIDE, m, software)
    return serving_step.decode_step(asked, job.batch, where)


def test_a_token_takes_its_bytes_to_each_expert_and_back() -> None:
    """128 tokens of 7,168 values to eight experts each, fifteen sixteenths of them on other machines: 6.9 MB in one byte and
    13.8 MB in two, over 50 GB/s, in 58 layers (DeepEP, low-latency kernels)."""
    there = 128 * 7168 * 8 * 15 / 16 / 50e9
    sent = Exchange(sent_bytes=1.0)
    assert exchange_s(DEEPSEEK_V3, WIDE, MACHINE, 128, sent) == pytest.approx(58 * 3 * there)
    assert exchange_s(DEEPSEEK_V3, WIDE, MACHINE, 128) == pytest.approx(58 * 4 * there)
    alone = ServingPlan(tp=8, expert_tp=8)
    assert exchange_s(DEEPSEEK_V3, alone, MACHINE, 128, sent) == 0
    assert sums_s(DEEPSEEK_V3, WIDE, MACHINE, 128) == 0


def test_kernels_of_the_engine_use_the_network_their_own_way() -> None:
    slow = replace(MACHINE, scaleout=replace(NETWORK, launch_s=1e-4))
    own = Exchange(between=NETWORK)
    assert exchange_s(DEEPSEEK_V3, WIDE, slow, 128, own) == exchange_s(
        DEEPSEEK_V3, WIDE, MACHINE, 128
    )
    assert exchange_s(DEEPSEEK_V3, WIDE, slow, 128, Exchange()) > exchange_s(
        DEEPSEEK_V3, WIDE, slow, 128, own
    )


@given(exchange=st.floats(0, 1), beside=st.floats(0, 1))
def test_what_is_hidden_is_no_more_than_what_it_hides_behind(exchange, beside) -> None:
    left = exposed_s(exchange, beside, 2.0)
    assert max(exchange - beside, 0) == pytest.approx(left)
    assert exposed_s(exchange, beside, 1.0) == exchange


@given(per_chip=st.integers(1, 512), slower=st.floats(0.2, 20))
def test_halves_in_turns_never_cost_and_save_the_exchange_at_most(per_chip, slower) -> None:
    m = replace(MACHINE, scaleout=replace(NETWORK, bytes_per_s=50e9 / slower))
    once, turns = step(per_chip, Exchange(), m), step(per_chip, Exchange(micro_batches=2.0), m)
    assert once.total - once.communication <= turns.total * (1 + 1e-9)
    assert turns.total <= once.total * (1 + 1e-9)
    assert step(per_chip, None, m).total == pytest.approx(once.total)


def test_halves_in_turns_pay_for_large_batches_alone() -> None:
    """Two-batch overlap slows decoding at 32 tokens a chip, and hides most of the exchange at 256 (SGLang on 96 H100)."""
    few, many = (
        step(n, Exchange(micro_batches=2.0)).total / step(n, Exchange()).total for n in (2, 256)
    )
    assert few == 1.0
    assert 0.5 < many < 0.9


def test_arrays_are_answered_as_numbers_are() -> None:
    both = step(np.array([4.0, 256.0]), Exchange(1.0, 2.0, np.array([1.0, 2.0])))
    for place, (per_chip, parts) in enumerate(((4.0, 1.0), (256.0, 2.0))):
        alone = step(per_chip, Exchange(1.0, 2.0, parts))
        assert both.total[place] == pytest.approx(alone.total)
        assert both.communication[place] == pytest.approx(alone.communication)


def test_prompts_are_read_beside_their_exchange_too() -> None:
    job = serving_step.Job(128, 4096, 2, 1.0, 1.0)
    where = serving_step.placement(serving_step.memory(DEEPSEEK_V3, job, WIDE), MACHINE)

    def seconds(exchange: Exchange | None) -> float:
        software = replace(FEW, exchange=exchange)
        asked = serving_step.Service(DEEPSEEK_V3, job, WIDE, MACHINE, software)
        return serving_step.prefill_s(asked, where)

    waits = exchange_s(DEEPSEEK_V3, WIDE, MACHINE, 4096)
    assert seconds(None) == pytest.approx(seconds(Exchange()))
    assert seconds(None) - waits <= seconds(Exchange(micro_batches=2.0)) < seconds(None)
