"""What serving a model costs on a chip at a stated speed: the cheapest number of chips and batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.contest import chip_hours
from training_moat.core.units import SECONDS_PER_HOUR
from training_moat.predict import serving

COUNTS = tuple(2**power for power in range(10))
"""Numbers of chips tried."""

BATCHES = (1, 4, 16, 64, 256)
"""Sequences served at once that are tried first."""

BETWEEN = (1.5, 2.0, 3.0)
"""Multiples of the largest of those that keeps the speed, which are tried next: the price falls with every user more."""

SPEED = 20.0
"""Tokens a second that every user gets where nothing else is asked: somewhat faster than people read."""

COLUMNS = ["chip", "name", "vendor", "chips", "batch", "tokens_per_s_per_user", "usd_per_mtok", "usd_low", "usd_high",
           "chip_hours_per_mtok", "engine", "knowledge"]  # fmt: skip

_RATE = "tokens_per_s_per_chip"


def costs(
    model: str,
    chips: Sequence[str] | None = None,
    speed: float = SPEED,
    input_len: int = 1024,
    output_len: int = 1024,
    when: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """The cheapest way to give every user at least `speed` tokens a second, one row per chip that can.

    Columns: chip, name, vendor, chips, batch, tokens_per_s_per_user, usd_per_mtok with its 90% range (blank without a
    price), chip_hours_per_mtok, engine (software assumed), knowledge. Million tokens are output tokens; the price is
    that of `when`, or of the launch.
    """
    known = chip_catalog.all_chips()
    names = [chip_catalog.resolve(name) for name in chips] if chips else list(known)
    common = {"model": model, "input_len": input_len, "output_len": output_len}
    rows = _keeping(
        [(name, count, batch) for name in names for count in COUNTS for batch in BATCHES],
        speed,
        common,
    )
    largest: dict[tuple[str, int], int] = {}
    for name, batch, told in rows:
        key = (name, told["plan"]["chips"])
        largest[key] = max(batch, largest.get(key, 0))
    finer = [
        (name, count, int(batch * more))
        for (name, count), batch in largest.items()
        for more in BETWEEN
        if batch < BATCHES[-1] and batch * more == int(batch * more)
    ]
    rows += _keeping(finer, speed, common)
    best: dict[str, tuple[int, dict]] = {}
    for name, batch, told in rows:
        if name not in best or told[_RATE] > best[name][1][_RATE]:
            best[name] = (batch, told)
    found = [_row(name, *best[name], when) for name in names if name in best]
    order = ["usd_per_mtok", "chip_hours_per_mtok", "chip"]
    return pd.DataFrame(found, columns=COLUMNS).sort_values(order, kind="stable", ignore_index=True)


def _keeping(
    tried: Sequence[tuple[str, int, int]], speed: float, common: dict
) -> list[tuple[str, int, dict]]:
    """(chip, batch, answer) of those (chip, count, batch) that hold the model and give every user the speed."""
    asked = [
        common | {"chip": name, "chips": count, "batch": batch} for name, count, batch in tried
    ]
    return [
        (name, batch, told)
        for (name, _, batch), told in zip(tried, serving.predict(asked), strict=True)
        if told["ok"] and told["fits"] and 1 / told["tpot_s"] >= speed
    ]


def _row(name: str, batch: int, told: dict, when: pd.Timestamp | None) -> dict[str, object]:
    chip = chip_catalog.chip(name)
    hours = 1e6 / told[_RATE] / SECONDS_PER_HOUR
    price = chip_hours.hourly(chip, when)
    slow, fast = (told[end] / told["tpot_s"] for end in ("tpot_s_p95", "tpot_s_p05"))
    usd = np.nan if price is None else hours * price.usd
    low, high = (np.nan, np.nan) if price is None else (price.low, price.high)
    return {
        "chip": name,
        "name": chip.name,
        "vendor": chip.vendor,
        "chips": told["plan"]["chips"],
        "batch": batch,
        "tokens_per_s_per_user": 1 / told["tpot_s"],
        "usd_per_mtok": usd,
        "usd_low": usd * np.exp(-np.hypot(np.log(fast), np.log(low))),
        "usd_high": usd * np.exp(np.hypot(np.log(slow), np.log(high))),
        "chip_hours_per_mtok": hours,
        "engine": told["plan"]["software"],
        "knowledge": told["calibration"],
    }
