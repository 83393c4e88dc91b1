"""Errors of the step time on two published tables: ours, the peers', and what needs no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import training_moat
from training_moat.calibrate import fit_stage, fit_training, measured_training
from training_moat.calibrate.measured_training import Rows
from training_moat.catalog import chips as chip_catalog
from training_moat.core.training_step import hardware_flops_per_step
from training_moat.core.workload import params
from training_moat.predict import training_constants

from .peers import Peer
from .peers.environment import PeerFailed
from .speed import OURS

TABLES = {"T1": "narayanan2021_t1", "K5": "korthikanti2022_t5"}
"""Narayanan et al. 2021, table 1 (10 runs), and Korthikanti et al. 2022, table 5 (8 runs), both on A100."""
CONSTANT_SHARE = 0.5
PEER_SOURCES = {"llm-analysis": "llm_analysis", "mlsysim": "mlsysim"}
SETTINGS = {
    "llm-analysis": "flops_efficiency 0.5 and memory efficiency 0.9 as its README advises; a100-sxm-80gb; latency_per_iter",
    "mlsysim": "DistributedModel, defaults (efficiency 0.5); DGX_A100 nodes, InfiniBand_HDR; step_latency_total",
}


def errors(peers: dict[str, Peer], date: str, with_left_out: bool = True) -> pd.DataFrame:
    """The rows of `data/peer_errors.csv`: one per system and table."""
    usable = measured_training.usable()
    records = []
    for label, source in TABLES.items():
        held = (usable.frame["source"] == source).to_numpy()
        rows = usable.take(held)
        for system, version, setting, seconds in _predictions(
            usable, rows, held, peers, with_left_out
        ):
            key = f"{source};{PEER_SOURCES[system]}" if system in PEER_SOURCES else source
            records.append(
                _record(system, version, setting, label, rows, seconds)
                | {"date": date, "source": key, "confirmed": "yes"}
            )
    return pd.DataFrame(records)


def _predictions(
    usable: Rows, rows: Rows, held: np.ndarray, peers: dict[str, Peer], with_left_out: bool
):
    """(system, version, setting, predicted seconds) of everything that is compared on `rows`."""
    ours = training_moat.__version__
    yield (
        OURS,
        ours,
        "stored constants, fitted on all sources",
        fit_stage.predict_rows(rows, training_constants.load()),
    )
    if with_left_out:
        blind = fit_training.fit(usable.take(~held)).constants
        yield (
            OURS,
            ours,
            "constants of a fit without this source",
            fit_stage.predict_rows(rows, blind),
        )
    for name, peer in peers.items():
        yield name, peer.version, SETTINGS[name], _peer_seconds(peer, rows)
    ideal = _ideal_seconds(rows)
    yield (
        "constant",
        "",
        "half of the 16-bit peak, recomputed FLOPs counted",
        ideal / CONSTANT_SHARE,
    )
    yield (
        "median",
        "",
        "median share of peak of the table's other rows, recomputed FLOPs counted",
        _left_out_median(rows, ideal),
    )


def cases(rows: Rows) -> list[dict[str, Any]]:
    """Published runs in the words of the peers' workers."""
    columns = {
        key: getattr(rows.model, key) for key in ("layers", "hidden", "heads", "ffn", "vocab")
    }
    columns |= {key: getattr(rows.plan, key) for key in rows.plan.__dataclass_fields__} | {
        "chips": rows.frame["chips"].to_numpy()
    }
    whole = [
        {key: int(column[i]) for key, column in columns.items()} for i in range(len(rows.frame))
    ]
    return [
        case | {"params": float(count)}
        for case, count in zip(whole, params(rows.model), strict=True)
    ]


def _peer_seconds(peer: Peer, rows: Rows) -> np.ndarray:
    outcomes = peer.ask("predict", cases=cases(rows))["outcomes"]
    if None in outcomes:
        raise PeerFailed(
            f"{peer.name} refuses row {outcomes.index(None) + 1} of {rows.frame['source'].iloc[0]}"
        )
    return np.array([seconds for seconds, _ in outcomes])


def _ideal_seconds(rows: Rows) -> np.ndarray:
    """Step time at full peak, recomputation counted."""
    peak = (
        rows.frame["chip_id"]
        .map(lambda chip: chip_catalog.chip(chip).peak_flops["fp16"])
        .to_numpy(float)
    )
    return hardware_flops_per_step(rows.model, rows.plan) / (
        rows.frame["chips"].to_numpy(float) * peak
    )


def _left_out_median(rows: Rows, ideal: np.ndarray) -> np.ndarray:
    """Step times at the median share of peak that the table's other rows reach."""
    share = ideal / rows.measured_seconds
    return ideal / [np.median(np.delete(share, i)) for i in range(len(share))]


def _record(
    system: str, version: str, setting: str, label: str, rows: Rows, seconds: np.ndarray
) -> dict[str, Any]:
    error = seconds / rows.measured_seconds - 1
    return {
        "system": system,
        "version": version,
        "setting": setting,
        "rows": label,
        "n": len(error),
        "mape": round(float(np.abs(error).mean()), 4),
        "max_error": round(float(np.abs(error).max()), 4),
        "mean_error": round(float(error.mean()), 4),
    }
