"""What low precision is worth: cost of a trained model on each chip, in each format its units multiply."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from training_moat.catalog import tables
from training_moat.core.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from training_moat.predict import training

SEQUENCE = 8192
FORMATS = ("bf16", "fp8", "fp4")
COLUMNS = [
    *("chip", "format", "name", "vendor", "days", "days_p05", "days_p95", "musd", "calibration")
]


def cost_by_format(
    model: str, chips: Sequence[str], cluster_chips: int, tokens_t: float
) -> pd.DataFrame:
    """Time and cost of training `model` on `tokens_t` trillion tokens with the fastest plan of each chip and format.

    Columns: chip, name, vendor, format, days, days_p05, days_p95, musd (blank without a price), saving (of time, over the
    same chip's BF16), calibration. Formats that a chip does not multiply are left out, and so are chips that cannot hold
    the model or lack what a prediction needs; the frame may be empty. The price is a smaller cloud's cost of ownership per
    chip-hour.
    """
    table = tables.load("chips").set_index("id")
    pairs = [
        (chip, name)
        for chip in chips
        for name in FORMATS
        if name in str(table.loc[chip, "formats_supported"]).split(";")
    ]
    common = {"model": model, "chips": cluster_chips, "seq_len": SEQUENCE}
    requests = [
        common | {"chip": chip, "precision": _precision(name, table.loc[chip, "vendor"])}
        for chip, name in pairs
    ]
    records = []
    for (chip, name), reply in zip(pairs, training.predict(requests), strict=True):
        if reply["ok"] and reply["fits"]:
            priced = _priced(reply, table.loc[chip], cluster_chips, tokens_t)
            records.append({"chip": chip, "format": name} | priced)
    frame = pd.DataFrame(records, columns=COLUMNS)
    base = frame[frame["format"] == "bf16"].set_index("chip")["days"]
    return frame.assign(saving=1 - frame["days"] / frame["chip"].map(base))


def _precision(name: str, vendor: str) -> str:
    """A chip's four-bit format is its vendor's."""
    return name if name != "fp4" else "nvfp4" if vendor == "NVIDIA" else "mxfp4"


def _priced(reply: dict, chip: pd.Series, cluster_chips: int, tokens_t: float) -> dict:
    days = tokens_t * 1e12 / reply["tokens_per_s"] / SECONDS_PER_DAY
    hours = days * SECONDS_PER_DAY / SECONDS_PER_HOUR * cluster_chips
    return {
        "name": chip["name"], "vendor": chip["vendor"], "days": days,
        "days_p05": days * reply["step_time_s_p05"] / reply["step_time_s"],
        "days_p95": days * reply["step_time_s_p95"] / reply["step_time_s"],
        "musd": hours * chip["tco_neocloud_usd_per_h"] / 1e6, "calibration": reply["calibration"],
    }  # fmt: skip


def at_best(costs: pd.DataFrame, formats: Sequence[str]) -> pd.Series:
    """Cost in million dollars of each priced chip (by name) with the cheapest of the given formats it has."""
    chosen = costs[costs["format"].isin(formats) & costs["musd"].notna()]
    return chosen.groupby("name")["musd"].min().sort_values(kind="stable")


def distance(prices: pd.Series, vendors: pd.Series) -> float | None:
    """Cost of Nvidia's cheapest chip over that of the cheapest other one; None where either is missing.

    prices: as `at_best`; vendors: vendor by name of chip.
    """
    own = vendors.reindex(prices.index) == "NVIDIA"
    if not own.any() or own.all():
        return None
    return float(prices[own].min() / prices[~own].min())
