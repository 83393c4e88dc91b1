"""A chip in its cluster as a step of training sees it: its rates, and its links at the share of line rate that training
sustains."""

from __future__ import annotations

from dataclasses import replace

from training_moat.catalog import relatives
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.fabrics import TORUS_AXES, Fabric
from training_moat.core.machine import Chip, Tier
from training_moat.core.node import Node
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.predict import interconnect
from training_moat.predict.training_constants import Constants, below, kept_format


def node(constants: Constants, chip: Chip, precision: str) -> Node:
    """The chip in its cluster, links at the share of line rate that training sustains.

    Raises `InputError` when the chip's table lacks a peak or a memory bandwidth.
    """
    return with_efficiencies(plain_node(chip, precision), constants)


def plain_node(chip: Chip, precision: str) -> Node:
    """The same with links at the rates that collectives alone were measured at."""
    used = chip.compute_format(precision)
    return Node(
        peak_flops=chip.peak_flops[used],
        # Attention keeps 16 bits, but no more than the peak of the run's own format counts for utilisation.
        wide_peak_flops=min(chip.peak_flops[kept_format(chip)], chip.peak_flops[used]),
        value_bytes=BYTES_PER_VALUE[precision],
        memory_bytes_per_s=memory_bandwidth(chip),
        weight_bytes_per_s=weight_bandwidth(chip),
        near_bytes=float(near_tier(chip).capacity_bytes),
        scaleup=scaleup(chip),
        scaleout=scaleout(chip),
        host_bytes_per_s=tiers.host_bytes_per_s(chip),
    )


def reject_silent_chip(chip: Chip, precision: str) -> None:
    """Raise InputError for a chip whose table lacks what a step time needs."""
    tiers.home(chip, "training")
    plain_node(chip, precision)


def with_efficiencies(plain: Node, constants: Constants) -> Node:
    """A `plain_node` with its fabrics' rates times the constants' factors."""
    shape = "scaleup_torus" if plain.scaleup.topology in TORUS_AXES else "scaleup"
    inner = _scaled(plain.scaleup, constants.generic(shape))
    outer = _scaled(plain.scaleout, constants.generic("scaleout"))
    return replace(plain, scaleup=inner, scaleout=outer)


def _scaled(fabric: Fabric, factor: float) -> Fabric:
    """The fabric with so many times its measured rate, bending smoothly towards the links' own, which it cannot exceed:
    inside a step the exchanges of many layers follow each other closely, which collectives timed one by one do not."""
    if factor == 1.0:
        return fabric
    return replace(fabric, efficiency=below(fabric.efficiency * factor, 1.0))


def near_tier(chip: Chip) -> Tier:
    """The tier that keeps activations: HBM, or the fastest where there is none or weights are streamed past it (wafers keep
    them in SRAM). Raises `InputError` where no bandwidth is published."""
    hbm = None if "training" in chip.streamed else chip.tier("hbm")
    if hbm is not None and hbm.bytes_per_s:
        return hbm
    if known := tiers.usable_tiers(chip):
        return known[0]
    raise InputError(
        f"chip {chip.id}: no published memory bandwidth, so no step time can be computed"
    )


def memory_bandwidth(chip: Chip) -> float:
    """Bytes per second of that tier."""
    return float(near_tier(chip).bytes_per_s or 0.0)


def weight_bandwidth(chip: Chip) -> float:
    """Bytes per second of the tier that weights stream from, where it is not the one that keeps activations; else zero."""
    store = "training" in chip.streamed and tiers.home(chip, "training")[-1]
    rate = (store or chip.main_memory).bytes_per_s
    return float(rate) if rate and rate < memory_bandwidth(chip) else 0.0


def scaleup(chip: Chip) -> Fabric:
    """The fabric that joins a chip's neighbours: of a rate nobody publishes, at that of its relatives; where there is no
    such link, its scale-out link does."""
    found = interconnect.scaleup_fabric(replace(chip, scaleup=relatives.scaleup(chip)))
    if found is not None:
        return found
    outer = scaleout(chip)
    return Fabric(outer.bytes_per_s, outer.step_latency_s, outer.efficiency, domain_chips=1)


def scaleout(chip: Chip) -> Fabric:
    """The network between scale-up domains; where none is published, what is taken for its relatives'."""
    return interconnect.scaleout_link(relatives.link(chip, "scaleout"))
