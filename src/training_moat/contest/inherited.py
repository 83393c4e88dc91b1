"""What a chip of a scenario has from the chip it starts from, in words: nobody has said it of the chip itself."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import scenario
from training_moat.inquiry.wording import listed

TOLD = {
    "maker": ("vendor", "family"),
    "date": ("available", "announced"),
    "price": ("price_usd", "cloud_usd_per_h"),
    "power": ("tdp_w",),
    "networks": ("scaleup_gb_per_s_per_direction", "scaleout_gbit_per_s_per_chip"),
    "training software": ("training_software",),
}
"""What a report rests on beside rates and sizes, and the columns of the chips table that tell it."""


def told(chip_id: str) -> list[str]:
    """What a scenario's chip has from its base, as one sentence; nothing of a chip of the tables, or where all is its own."""
    *own, base = scenario.line_of(chip_id, scenario.bases("chips"))
    active = scenario.active()
    if active is None or not own:
        return []
    bodies, row = active.bodies("chips"), chip_catalog.row(base)
    said = {column for name in own for column in bodies[name]}
    left = [
        word
        for word, columns in TOLD.items()
        if not said.intersection(columns) and any(pd.notna(row.get(one)) for one in columns)
    ]
    name = chip_catalog.chip(base).name
    return [f"what the scenario leaves out is {name}'s: its {listed(left)}"] if left else []
