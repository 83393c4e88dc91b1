"""Collective times: the limits of the formulas, topologies, two levels, arrays as numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core import collectives
from training_moat.core.errors import InputError
from training_moat.core.fabrics import (
    HOPS,
    SWITCHES,
    Fabric,
    diameter,
    from_link,
    group_bytes_per_s,
    mean_hops,
    of_slice,
    spanned_axes,
)
from training_moat.core.machine import Link

KINDS = (
    collectives.all_reduce,
    collectives.reduce_scatter,
    collectives.all_gather,
    collectives.all_to_all,
)
NVLINK = Fabric(
    450e9, 1e-6, efficiency=0.8, launch_s=6e-6, eager_efficiency=0.3, bulk_step_latency_s=3e-6
)
NETWORK = Fabric(50e9, 5e-6, bulk_step_latency_s=5e-6, domain_chips=1e9, topology="fat_tree")
PLAIN = Fabric(100e9, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_of_one_takes_no_time(kind) -> None:
    assert kind(2.0**30, 1, NVLINK) == 0.0


def test_large_messages_reach_the_bus_bandwidth_of_nccl_tests() -> None:
    """nccl-tests PERFORMANCE.md: all-reduce 2 (n-1)/n, the others (n-1)/n of the size over the link rate."""
    size, ranks = 1e12, 8
    assert collectives.all_reduce(size, ranks, PLAIN) == pytest.approx(2 * 7 / 8 * size / 100e9)
    for kind in KINDS[1:]:
        assert kind(size, ranks, PLAIN) == pytest.approx(7 / 8 * size / 100e9)


def test_a_switch_that_adds_up_carries_the_tensor_once() -> None:
    """NVLink SHARP: (n+1)/n of the tensor cross a link (Klenk et al. 2020)."""
    fused = Fabric(100e9, 0.0, in_network_efficiency=1.0)
    assert collectives.all_reduce(1e12, 8, fused) == pytest.approx(9 / 8 * 1e12 / 100e9)
    assert collectives.all_gather(1e12, 8, fused) == pytest.approx(
        collectives.all_gather(1e12, 8, PLAIN)
    )


@pytest.mark.parametrize("topology", sorted(HOPS))
def test_only_a_switch_adds_up_on_the_way(topology) -> None:
    """A family's constants come from its switched machines; its bridges, meshes and rings have no switch."""
    found = from_link(Link(100e9, 1e-6, topology=topology), in_network_efficiency=0.6)
    assert (found.in_network_efficiency > 0) == (topology in SWITCHES)


def test_the_latency_of_a_small_ring_is_its_steps() -> None:
    fabric = Fabric(1e15, 1e-6, bulk_step_latency_s=1e-6)
    assert collectives.all_gather(8, 4, fabric) == pytest.approx(3e-6, rel=1e-3)
    assert collectives.all_reduce(8, 4, fabric) == pytest.approx(6e-6, rel=1e-3)


def test_a_full_mesh_lends_only_the_links_that_lead_to_the_group() -> None:
    """MI300X: two of eight chips share one of seven links; measured 48 GB/s of the 64 GB/s link."""
    mesh = Fabric(448e9, 0.0, topology="mesh", domain_chips=8)
    assert group_bytes_per_s(mesh, 2) == pytest.approx(64e9)
    assert group_bytes_per_s(mesh, 8) == pytest.approx(448e9)


def test_a_torus_lends_the_axes_a_group_spans_and_lengthens_random_ways() -> None:
    torus = Fabric(600e9, 0.0, topology="torus3d", domain_chips=4096)
    assert (spanned_axes(torus, 16), spanned_axes(torus, 256), spanned_axes(torus, 4096)) == (
        1,
        2,
        3,
    )
    assert mean_hops(torus, 4096) == pytest.approx(3 * 16 / 4)
    assert diameter(Fabric(1e9, 0.0, topology="ring"), 64) == 32
    assert diameter(NVLINK, 64) == 1


def test_ring_all_to_all_suffers_where_all_reduce_does_not() -> None:
    ring = Fabric(100e9, 0.0, topology="ring", domain_chips=64)
    assert collectives.all_reduce(1e9, 64, ring) == pytest.approx(
        collectives.all_reduce(1e9, 64, PLAIN)
    )
    assert collectives.all_to_all(1e9, 64, ring) == pytest.approx(
        16 * collectives.all_to_all(1e9, 64, PLAIN)
    )


def test_one_domain_is_the_plain_collective_and_two_are_slower() -> None:
    for plain, staged in (
        (collectives.all_reduce, collectives.hierarchical_all_reduce),
        (collectives.all_gather, collectives.hierarchical_all_gather),
        (collectives.all_to_all, collectives.hierarchical_all_to_all),
    ):
        alone = plain(2.0**28, 8, NVLINK)
        assert staged(2.0**28, 8, 8, NVLINK, NETWORK) == pytest.approx(alone)
        assert staged(2.0**28, 16, 8, NVLINK, NETWORK) > alone


def test_a_ring_over_meshes_carries_the_whole_tensor_past_every_card() -> None:
    """Two domains of eight: 15/16 of the tensor leave each, not the half that a switch's shares come to."""
    mesh = Fabric(NVLINK.bytes_per_s, 0.0, topology="mesh", domain_chips=8)
    slow = Fabric(1e9, 0.0)
    for staged in (collectives.hierarchical_all_reduce, collectives.hierarchical_all_gather):
        through = staged(1e10, 16, 8, NVLINK, slow) / staged(1e10, 16, 8, mesh, slow)
        assert 1 / through == pytest.approx(15 / 8, rel=0.03)
        # Nothing of it inside one domain, and little over many.
        assert staged(1e10, 8, 8, mesh, slow) == staged(1e10, 8, 8, mesh, NVLINK)
    assert collectives.round_all_chips(8 * 64, 64, mesh) == pytest.approx(1, abs=0.02)


def test_a_token_is_sent_once_to_a_machine_that_holds_several_of_its_experts() -> None:
    """Two choices among two machines: the other one is hit with probability 3/4, not reached by one copy on average."""
    assert collectives.distinct_others(2, 1) == pytest.approx(0.5)
    assert collectives.distinct_others(2, 2) == pytest.approx(0.75)
    assert collectives.distinct_others(8, 1000) == pytest.approx(7)
    naive = collectives.hierarchical_all_to_all(1e9, 64, 8, NVLINK, NETWORK)
    assert collectives.hierarchical_all_to_all(1e9, 64, 8, NVLINK, NETWORK, copies=8) < naive
    assert collectives.hierarchical_all_to_all(
        1e9, 64, 8, NVLINK, NETWORK, copies=1
    ) == pytest.approx(naive)


def test_a_token_is_sent_once_to_a_chip_that_holds_several_of_its_experts() -> None:
    """Counted by drawing: which of 8 chips eight choices hit, one of them the sender's own."""
    drawn = np.random.default_rng(1).integers(0, 8, (20_000, 8))
    others = [len(set(row) - {0}) for row in drawn.tolist()]
    sent = (drawn != 0).sum(axis=1)
    assert collectives.first_copies(8, 8) == pytest.approx(
        np.mean(others) / np.mean(sent), rel=0.01
    )
    assert collectives.first_copies(8, 1) == collectives.first_copies(1, 8) == 1.0
    once = collectives.hierarchical_all_to_all(1e9, 8, 8, NVLINK, NETWORK, copies=8)
    every = collectives.hierarchical_all_to_all(1e9, 8, 8, NVLINK, NETWORK)
    assert once == pytest.approx(collectives.first_copies(8, 8) * every, rel=0.01)


def test_unknown_topology_is_one_sentence() -> None:
    with pytest.raises(InputError, match="did you mean 'torus3d'"):
        Fabric(1e9, 1e-6, topology="torus3")


sizes = st.floats(1.0, 1e12)
ranks = st.integers(1, 512)


@given(size=sizes, more=st.floats(1.0, 100.0), n=ranks, topology=st.sampled_from(sorted(HOPS)))
def test_more_bytes_never_take_less_time(size: float, more: float, n: int, topology: str) -> None:
    fabric = Fabric(
        100e9,
        1e-6,
        eager_efficiency=0.3,
        bulk_step_latency_s=4e-6,
        topology=topology,
        domain_chips=512,
    )
    for kind in (*KINDS, collectives.direct_all_reduce):
        assert kind(size * more, n, fabric) >= kind(size, n, fabric) * (1 - 1e-12)


@given(
    size=st.lists(sizes, min_size=2, max_size=5), n=ranks, topology=st.sampled_from(sorted(HOPS))
)
def test_arrays_answer_as_numbers_do(size: list[float], n: int, topology: str) -> None:
    fabric = Fabric(100e9, 1e-6, eager_efficiency=0.3, topology=topology, domain_chips=64)
    for kind in (*KINDS, collectives.direct_all_reduce):
        together = kind(np.array(size), np.full(len(size), float(n)), fabric)
        assert together == pytest.approx([float(kind(one, n, fabric)) for one in size])


def test_a_slice_of_whole_cubes_is_a_torus_of_its_own():
    """Jouppi et al. 2023, TPU v4: 4 x 4 x 4 chips have links around all three axes, of which 64 chips of a pod of 16 x 16 x 16
    span two. Where no switches join cubes, and below a cube, machines are what they are."""
    pod = Fabric(6.0, 0.0, domain_chips=4096, topology="torus3d", sliced=1)
    rates = [group_bytes_per_s(one, 64) for one in (pod, of_slice(pod, 64))]
    assert rates == [4.0, 6.0]
    assert of_slice(pod, 32) == pod and of_slice(pod, 8192) == pod
    fixed = replace(pod, sliced=0)
    assert of_slice(fixed, 64) is fixed
    many = of_slice(pod, np.array([32, 64, 512])).domain_chips
    assert many.tolist() == [4096, 64, 512]
