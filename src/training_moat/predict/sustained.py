"""What a chip's memory sustains of its data sheet, as streaming kernels measured it: a ceiling for every fit."""

from __future__ import annotations

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.machine import Chip
from training_moat.core.tiers import faster_tiers
from training_moat.core.units import GB

TABLE = "memory_bandwidth_measured"

UNMEASURED_SHARE = 0.75
"""Share of the data sheet's bandwidth that reading an off-chip memory is taken to sustain at most where nobody
measured it on the chip or its family."""


def bandwidth_share(chip: Chip) -> float:
    """The most of its data sheet's bandwidth that reading the memory which serves sustains: as measured on the chip,
    else on its family; all of it where that memory is on the chip."""
    if faster_tiers(chip)[0].name == "sram":
        return 1.0
    own, family = _shares()
    return own.get(chip.measured_as) or family.get(chip.family) or UNMEASURED_SHARE


@tables.kept()
def _shares() -> tuple[dict[str, float], dict[str, float]]:
    """Best measured share by chip and by family."""
    own: dict[str, float] = {}
    family: dict[str, float] = {}
    for row in tables.load(TABLE).itertuples():
        chip = chip_catalog.chip(row.chip_id)
        share = min(row.gb_per_s * GB / chip.main_memory.bytes_per_s, 1.0)
        own[chip.id] = max(own.get(chip.id, 0.0), share)
        family[chip.family] = max(family.get(chip.family, 0.0), share)
    return own, family
