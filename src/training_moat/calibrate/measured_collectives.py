"""Measured collectives, cleaned: one row per timed message, with the fabric it ran on."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import reasons
from training_moat.catalog import tables
from training_moat.core.units import MIB
from training_moat.predict.interconnect import FABRICS

KINDS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "all_to_all": "all_to_all",
    "moe_dispatch_low_latency": "all_to_all",
    "moe_combine_low_latency": "all_to_all",
}
"""Collectives the model has a formula for, as tables write them."""

COLUMNS = {
    "n_ranks": "ranks",
    "n_nodes": "nodes",
    "msg_bytes": "message_bytes",
    "busbw_gb_per_s": "bus_gb_per_s",
}
"""Columns of the measurement table that go by other names here."""

LARGE_BYTES = MIB
"""Messages from here on are judged; smaller ones are reported apart."""


def all_rows() -> pd.DataFrame:
    """Every row: source, kind, scaleup, scaleout, ranks, nodes, message_bytes, seconds, large, unusable.

    Where a source gives bus bandwidth only, the time follows from its definition (nccl-tests,
    PERFORMANCE.md): the bytes a link carries, over the time. Exchanges of experts print all bytes sent over the time instead.
    """
    raw = tables.load("collective_measurements").rename(columns=COLUMNS)
    by_chip = tables.listed(FABRICS, "chips")
    kind = raw["collective"].map(KINDS)
    ranks = raw["ranks"].astype(float)
    passes = np.where(kind == "all_reduce", 2.0, 1.0)
    from_bandwidth = (
        passes * (ranks - 1) / ranks * raw["message_bytes"] / (raw["bus_gb_per_s"] * 1e9)
    )
    nodes = raw["nodes"].fillna(1).astype(float)
    experts = raw["collective"].str.startswith("moe_")
    sent = raw["bus_gb_per_s"] * 1e9 * raw["time_us"] * 1e-6
    sizes = raw["message_bytes"].astype(float).where(~experts, sent)
    rows = raw[["source"]].assign(
        kind=kind,
        scaleup=raw["chip"].str.extract(f"({'|'.join(by_chip)})")[0].map(by_chip),
        scaleout=raw["fabric"].map(tables.listed(FABRICS, "networks")),
        ranks=ranks,
        nodes=nodes,
        message_bytes=sizes,
        seconds=(raw["time_us"] * 1e-6).fillna(from_bandwidth),
        large=sizes >= LARGE_BYTES,
    )
    why = [
        (kind.isna(), "expert exchange: bytes and layout of a library of its own"),
        (rows["message_bytes"].isna() | rows["seconds"].isna(), "size or time not stated"),
        (rows["scaleup"].isna(), "fabric not stated"),
        ((nodes > 1) & rows["scaleout"].isna(), "network between the nodes not stated"),
        (
            experts & (nodes == 1),
            "expert exchange inside a server: links not told from the network",
        ),
    ]
    return rows.assign(unusable=reasons.first(rows.index, why))


def usable_rows() -> pd.DataFrame:
    """The rows a prediction can be compared with."""
    return reasons.usable(all_rows())
