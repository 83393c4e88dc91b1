"""A chip with some of its qualities taken from another: what the counterfactual asks the model about.

Eight qualities make a chip's cost of a job. Six are the machine's and are mixed here into one `Chip`, so that the model
answers for it as for any other; price and power are multiplied in afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip, Tier

FACTORS = (
    "compute",
    "memory capacity",
    "memory bandwidth",
    "network",
    "precision",
    "software",
    "price",
    "power",
)
"""The qualities a gap is split into, in the order of a coalition's bits."""

MACHINE_FACTORS = FACTORS[:6]
"""Those that change what the machine does; the others change what it costs."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "compute": ("compute",),
    "memory": ("memory capacity", "memory bandwidth"),
    "network": ("network",),
    "precision": ("precision",),
    "software": ("software",),
    "price and power": ("price", "power"),
}
"""The article's arguments and what else could decide, as sets of factors."""

WIDE = ("bf16", "fp16")
"""Formats of 16 bits that training multiplies in, best first."""

NARROW = {"fp8": ("fp8", "mxfp8")}
"""Narrower formats tried for training, and the words that claim them."""


def wide_format(chip: Chip) -> str | None:
    """The 16-bit format a chip trains in, or None."""
    return next((name for name in WIDE if chip.peak_flops.get(name)), None)


@lru_cache(maxsize=16)
def _narrow_ratio(name: str, state: tuple) -> float:
    ratios = sorted(
        chip.peak_flops[name] / chip.peak_flops[wide_format(chip)]
        for chip in chip_catalog.all_chips().values()
        if chip.peak_flops.get(name) and wide_format(chip)
    )
    return ratios[len(ratios) // 2]


def wide_peak(chip: Chip) -> float:
    """Dense FLOP/s of the 16-bit format; where only a narrower one is published, that peak over the ratio usual in the
    chips table. InputError where no peak is published."""
    own = wide_format(chip)
    if own is not None:
        return chip.peak_flops[own]
    state = tables.state("chips")
    for name in ("fp8", "int8", "fp4"):
        if chip.peak_flops.get(name):
            return chip.peak_flops[name] / _narrow_ratio(name, state)
    raise InputError(f"chip {chip.id}: no peak published in any format that a matmul could use")


def training_formats(chip: Chip) -> tuple[str, ...]:
    """Formats in which a chip can train: its 16-bit one, and FP8 where the table or the scenario says it trains in it."""
    own = wide_format(chip)
    if own is None:
        return ()
    claimed = _claimed(chip)
    words = (
        "" if claimed is None else claimed.lower().replace("no bf16/fp8", "").replace("no fp8", "")
    )
    narrow = chip.peak_flops.get("fp8") and (claimed is None or "fp8" in words)
    return (own, "fp8") if narrow else (own,)


def _claimed(chip: Chip) -> str | None:
    """The table's words on low-precision training; None for a chip that the table does not describe."""
    frame = chip_catalog.frame().set_index("id")
    if chip.id not in frame.index:
        return None
    words = frame.loc[chip.id, "lowprec_training_formats"]
    return str(words) if isinstance(words, str) else None


def _narrow_gain(chip: Chip) -> dict[str, float]:
    """Peak of each narrower training format over the 16-bit one."""
    return {
        name: chip.peak_flops[name] / chip.peak_flops[training_formats(chip)[0]]
        for name in training_formats(chip)[1:]
    }


def mixed_peaks(compute: Chip, precision: Chip) -> dict[str, float]:
    """Peaks of a chip with one's multipliers and the other's number formats."""
    formats = training_formats(precision)
    if not formats:
        return {}
    wide = wide_peak(compute)
    return {formats[0]: wide} | {
        name: wide * gain for name, gain in _narrow_gain(precision).items()
    }


def mixed_tiers(capacity: Chip, bandwidth: Chip) -> tuple[Tier, ...]:
    """Memory as large as one's and as fast as the other's.

    The tier that holds a model counts as the memory; it keeps the large one's name. Caches in front of it belong to its
    speed, slower tiers behind it to its size.
    """
    if capacity is bandwidth:
        return capacity.tiers
    home, fast = capacity.main_memory, bandwidth.main_memory
    rate = fast.bytes_per_s or max((one.bytes_per_s or 0.0 for one in bandwidth.tiers), default=0.0)
    tiers = [Tier(home.name, home.capacity_bytes, rate or None)]
    behind = ("sram", "hbm", "ddr")
    tiers += [
        one
        for one in capacity.tiers
        if behind.index(one.name) > behind.index(home.name) and one.name != home.name
    ]
    if home.name != "sram" and fast.name != "sram":
        tiers += [one for one in bandwidth.tiers if one.name == "sram"]
    return tuple(tiers)


def mixed(own: Chip, other: Chip, taken: Collection[str]) -> Chip:
    """`own` with the qualities of `taken` brought to the level of `other`.

    Software goes with the identity: the calibrated constants and the default stack are looked up by id, family and
    vendor. With all six machine qualities taken the answer is that for `other`.
    """
    source = {name: other if name in taken else own for name in MACHINE_FACTORS}
    network, identity = source["network"], source["software"]
    return replace(
        identity,
        peak_flops=mixed_peaks(source["compute"], source["precision"]),
        tiers=mixed_tiers(source["memory capacity"], source["memory bandwidth"]),
        scaleup=network.scaleup,
        scaleout=network.scaleout,
    )
