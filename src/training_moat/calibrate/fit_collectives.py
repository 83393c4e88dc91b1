"""Collectives against measurements: the fabrics' constants, how they are fitted, and how far they are off."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_collectives
from training_moat.catalog import chips, tables
from training_moat.core import collectives as model
from training_moat.core.errors import InputError
from training_moat.core.fabrics import Fabric
from training_moat.predict.interconnect import BETWEEN, CONSTANTS, TABLE, generic, measured, stored

START = (0.75, 1.0e-6, 8.0e-6, 0.25, 3.0e-6, 1.0e-5, 0.65)
"""Where the fit starts; typical of NCCL on any of the fabrics."""

HELD_OUT = ("held_out_mape", "held_out_mape_unseen_fabric")
"""Rows of the table that are no constants: the error on a source left out of the fit, its fabric measured
by another source or by none."""

SMALL_WEIGHT = 0.3
"""Weight of messages below one MiB in the fit."""


def line_rate(fabric: str) -> float:
    """Bytes per second and direction of one chip's links on a fabric."""
    row = measured().loc[fabric]
    if row["link_gb_per_s"] > 0:
        return row["link_gb_per_s"] * 1e9
    link = chips.chip(row["chip_id"]).scaleup
    if link is None:
        raise InputError(
            f"{row['chip_id']} has no scale-up link; expected one for the fabric {fabric}"
        )
    return link.bytes_per_s


def _fabric(name: str, constants: dict[str, float]) -> Fabric:
    topology = measured().loc[name, "topology"]
    domain = 1e9 if topology == BETWEEN else 8
    return Fabric(line_rate(name), domain_chips=domain, topology=topology, **constants)


def _predicted(rows: pd.DataFrame, inner: Fabric, outer: Fabric | None) -> np.ndarray:
    seconds = np.zeros(len(rows))
    for kind, group in rows.groupby("kind"):
        size, ranks = group["message_bytes"].to_numpy(), group["ranks"].to_numpy()
        if outer is None:
            found = getattr(model, kind)(size, ranks, inner)
        else:
            per_node = ranks / group["nodes"].to_numpy()
            found = getattr(model, f"hierarchical_{kind}")(size, ranks, per_node, inner, outer)
        seconds[rows.index.get_indexer(group.index)] = found
    return seconds


def _unpacked(logs: np.ndarray, name: str) -> dict[str, float]:
    values = dict(zip(CONSTANTS, np.exp(logs)))
    fabric = measured().loc[name]
    if not fabric["in_network"]:
        values["in_network_efficiency"] = 0.0
    if fabric["kernels"]:  # One way of moving data, timed with large messages.
        values["eager_efficiency"] = 0.0
    return values


def fit_fabric(rows: pd.DataFrame, name: str, inner: Fabric | None = None) -> dict[str, float]:
    """The constants of one fabric that fit its rows best, in relative error with outliers damped.

    Few rows cannot move constants they do not inform: each is held near its start by a weak prior.
    """
    start = np.log(START)
    weight = np.where(rows["large"], 1.0, SMALL_WEIGHT)
    measured = rows["seconds"].to_numpy()

    def residuals(logs: np.ndarray) -> np.ndarray:
        fabric = _fabric(name, _unpacked(logs, name))
        networks = (fabric, None) if inner is None else (inner, fabric)
        found = _predicted(rows, *networks)
        return np.append(weight * np.log(found / measured), 0.05 * (logs - start))

    from scipy.optimize import least_squares  # slow to import, and only fits need it

    return _unpacked(least_squares(residuals, start, loss="soft_l1", f_scale=0.1).x, name)


def fit(rows: pd.DataFrame | None = None) -> dict[str, dict[str, float]]:
    """Constants of every measured fabric: scale-up fabrics first, then the scale-out ones on top of them."""
    rows = measured_collectives.usable_rows() if rows is None else rows
    inside = rows[rows["nodes"] == 1]
    found = {name: fit_fabric(group, name) for name, group in inside.groupby("scaleup")}
    for name, group in rows[rows["nodes"] > 1].groupby("scaleout"):
        scaleup = group["scaleup"].iloc[0]
        if scaleup in found:
            found[name] = fit_fabric(group, name, _fabric(scaleup, found[scaleup]))
    return found


def predict_rows(rows: pd.DataFrame, constants: dict[str, dict[str, float]]) -> pd.DataFrame:
    """The rows with `predicted` seconds, the `error` in size as a share, and the `fabric` that they are about; fabrics without
    constants take the generic ones."""
    parts = []
    known = rows.fillna({"scaleout": ""})
    for names, group in known.groupby(["scaleup", "scaleout"]):
        usual = [constants.get(name) or generic(constants) for name in names]
        inner = _fabric(names[0], usual[0])
        outer = _fabric(names[1], usual[1]) if names[1] else None
        crossing = group["nodes"] > 1
        for mask, network in ((~crossing, None), (crossing, outer)):
            if mask.any():
                parts.append(group[mask].assign(predicted=_predicted(group[mask], inner, network)))
    found = pd.concat(parts).sort_index(kind="stable")
    found["error"] = (found["predicted"] / found["seconds"] - 1).abs()
    found["fabric"] = found["scaleout"].where(found["nodes"] > 1, found["scaleup"])
    return found


def errors(rows: pd.DataFrame | None = None, constants: dict | None = None) -> pd.DataFrame:
    """Mean absolute percentage error by fabric and collective, large and small messages apart."""
    rows = measured_collectives.usable_rows() if rows is None else rows
    judged = predict_rows(rows, stored() if constants is None else constants)
    keys = ["large", "fabric", "kind"]
    return judged.groupby(keys)["error"].agg(mape="mean", worst="max", rows="size").reset_index()


def by_kind(found: pd.DataFrame) -> pd.Series:
    """Mean error by collective, from the rows of `errors`."""
    total = (found["mape"] * found["rows"]).groupby(found["kind"]).sum()
    return total / found.groupby("kind")["rows"].sum()


def fit_without_each_source(rows: pd.DataFrame) -> pd.DataFrame:
    """Error on each source by constants fitted without it: a fabric no other source measured takes the
    generic constants. Columns: source, fabric, mape (at one MiB and above), rows, seen_elsewhere."""
    found = []
    for source, group in rows.groupby("source"):
        constants = fit(rows[rows["source"] != source])
        judged = predict_rows(group[group["large"]], constants)
        for fabric, part in judged.groupby("fabric"):
            found.append((source, fabric, part["error"].mean(), len(part), fabric in constants))
    return pd.DataFrame(found, columns=["source", "fabric", "mape", "rows", "seen_elsewhere"])


def held_out_errors() -> pd.DataFrame:
    """The stored result of `fit_without_each_source`, as of the last calibration."""
    frame = tables.load(TABLE)
    frame = frame[frame["constant"].isin(HELD_OUT)]
    frame = frame.assign(mape=frame["value"], seen_elsewhere=frame["constant"] == HELD_OUT[0])
    columns = ["source", "fabric", "mape", "rows", "seen_elsewhere"]
    return frame[columns].reset_index(drop=True)


def table(date: str) -> pd.DataFrame:
    """The constants as `data/calibration_collectives.csv` stores them, with origin, date and residual."""
    rows = measured_collectives.usable_rows()
    constants = fit(rows)
    residual = errors(rows, constants)
    records = []
    for name, values in constants.items():
        used = rows[((rows["scaleup"] == name) & (rows["nodes"] == 1)) | (rows["scaleout"] == name)]
        large = residual[(residual["fabric"] == name) & residual["large"]]
        mape = round(float(np.average(large["mape"], weights=large["rows"])), 4)
        sources = ";".join(sorted(used["source"].unique()))
        told = [(key, float(f"{values[key]:.4g}")) for key in CONSTANTS]
        records += [(name, key, value, len(used), mape, sources) for key, value in told]
    for row in fit_without_each_source(rows).itertuples():
        what, error = HELD_OUT[0 if row.seen_elsewhere else 1], round(row.mape, 4)
        records.append((row.fabric, what, error, row.rows, error, row.source))
    columns = ["fabric", "constant", "value", "rows", "mape_large", "source"]
    return pd.DataFrame(records, columns=columns).assign(date=date, confirmed="yes")
