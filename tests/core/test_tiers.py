"""Homes and fits: each chip as its maker uses it, one answer for every page."""

from __future__ import annotations

import numpy as np
import pytest

from training_moat.catalog import chips, tables
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip, Tier


def names(chip: str, job: str) -> list[str]:
    return [tier.name for tier in tiers.home(chips.chip(chip), job)]


@pytest.mark.parametrize(
    ("chip", "training", "serving"),
    [
        ("h100-sxm", ["hbm"], ["hbm"]),
        ("gb200", ["hbm"], ["hbm"]),
        ("sn10", ["ddr"], ["ddr"]),
        ("sn40l", ["hbm", "ddr"], ["hbm", "ddr"]),
        ("wse-3", ["ddr"], ["sram"]),
        ("groq-lpu-v1", ["sram"], ["sram"]),
        ("corsair", ["ddr"], ["sram", "ddr"]),
        ("bow-ipu", ["sram", "ddr"], ["sram", "ddr"]),
        ("wormhole", ["ddr"], ["ddr"]),
    ],
)
def test_each_chip_keeps_a_job_where_its_maker_does(chip, training, serving) -> None:
    assert names(chip, "training") == training and names(chip, "serving") == serving


def test_a_missing_datum_is_named() -> None:
    with pytest.raises(InputError, match="bandwidth of its HBM not published"):
        tiers.home(chips.chip("sohu"), "serving")
    with pytest.raises(InputError, match=r"not published \(column hbm_tb_per_s\)$"):
        tiers.home(chips.chip("sohu"), "serving")
    with pytest.raises(InputError, match=r"memory size not published \(column hbm_gb, or "):
        tiers.home(chips.chip("mlu590"), "training")


def test_streamed_weights_share_one_store_and_leave_the_chip_to_the_activations() -> None:
    wafer = Chip(
        "w",
        "wafer",
        "maker",
        {},
        (Tier("sram", 40.0, 100.0), Tier("ddr", 1000.0, 1.0)),
        homes={"training": ("ddr",)},
        streamed=frozenset({"training"}),
    )
    share = tiers.USABLE_SHARE["training"]
    room = tiers.room_for(wafer, "training")
    assert room.holds(39.9 * share, 999.0 * share) and not room.holds(39.9 * share, 1001.0 * share)
    assert not room.holds(41.0 * share, 1.0)
    assert tiers.working(wafer, "training").name == "sram"
    assert room.holds(np.array([38.0, 41.0]), np.array([1.0, 1.0])).tolist() == [True, False]


def test_no_system_is_larger_than_the_largest_that_exists() -> None:
    clusters = tables.load("gpu_clusters")
    existing = clusters[(clusters["status"] == "existing") & (clusters["certainty"] == "confirmed")]
    assert existing["chips"].max() == tiers.LARGEST_SYSTEM
    assert tiers.system_limit(chips.chip("h100-sxm")) == tiers.LARGEST_SYSTEM
    assert tiers.system_limit(chips.chip("wse-2")) == 192
    assert tiers.is_joined(chips.chip("sn30"), 8) and not tiers.is_joined(chips.chip("sn30"), 9)
