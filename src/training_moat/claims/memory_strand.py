"""The memory argument: what training and serving must hold, and which chips hold it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from training_moat.calibrate import measured_training
from training_moat.catalog import models, tables
from training_moat.catalog.cited import cited
from training_moat.claims import ranges
from training_moat.claims.base import NOTHING, Measured, counted, keys, measure, row_of, share
from training_moat.claims.history_strand import events, startup_vendors
from training_moat.core.activations import activation_bytes
from training_moat.core.memory import FP32_GRADIENT_BYTES
from training_moat.core.optimizer_states import OPTIMIZER_BYTES, WEIGHT_BYTES
from training_moat.core.plan import Plan
from training_moat.core.units import GB
from training_moat.core.workload import kv_values_per_token, params
from training_moat.inquiry import chronicle, races
from training_moat.inquiry.chip_stock import REFERENCE_CHIP

REFERENCE_MODEL = "llama3.1-70b"
SERVING_BYTES = {"fp8": 1.0, "bf16": 2.0}
"""Bytes of a served weight: what most models of 2025 ship, and the classic."""


def chip(name: str) -> pd.Series:
    """One row of the chips table."""
    return row_of("chips", name, "id")


def of_chips(value: float, *names: str, **more: Any) -> Measured:
    """A quantity computed from the memory columns of some chips."""
    frame = tables.load("chips")
    frame = frame[frame["id"].isin(names)].assign(source=frame["source_memory"])
    return counted(frame, "chips", value, **more)


def of_model(value: float) -> Measured:
    """A quantity computed from the reference model's shape."""
    frame = tables.load("models")
    frame = frame[frame["id"] == REFERENCE_MODEL]
    sources = (*cited(frame), "korthikanti2022")
    note = f"{frame['name'].iloc[0]} on any chip"
    return Measured(value, rows=keys(frame, "models"), sources=sources, note=note)


@measure
def state_ratio() -> Measured:
    """Bytes of weights, gradients and optimizer per weight in training over bytes per served weight: AdamW
    against BF16; the range runs over all optimizers of the model and over BF16 and FP8 serving."""
    held = {
        name: WEIGHT_BYTES + FP32_GRADIENT_BYTES + more for name, more in OPTIMIZER_BYTES.items()
    }
    low, high = (
        min(held.values()) / SERVING_BYTES["bf16"],
        max(held.values()) / SERVING_BYTES["fp8"],
    )
    note = "any model on any chip, before memory is shared out over copies"
    return Measured(
        held["adamw"] / SERVING_BYTES["bf16"], low, high,
        sources=("rajbhandari2020",), note=note, kind=ranges.OF_CASES,
    )  # fmt: skip


@measure
def serving_state() -> Measured:
    """Bytes of model state in serving for each byte in training."""
    found = state_ratio()
    low, high = sorted(1 / end for end in (found.low, found.high) if end)
    return replace(found, value=1 / found.number, low=low, high=high)


@measure
def activations() -> Measured:
    """Activations kept for one sequence of 8,192 tokens over the weights."""
    model = models.model(REFERENCE_MODEL)
    kept = activation_bytes(model, Plan(seq_len=8192, global_batch=1))
    return of_model(kept / (WEIGHT_BYTES * params(model)))


COMMON_TEST = 0.1
"""Share of the rows of InferenceX that a pair of lengths has at least to count as one of its tests."""


def _tested_lengths() -> pd.Series:
    """Mean tokens that a conversation keeps in the common tests of InferenceX: its prompt and half of its answer."""
    frame = tables.load("serving_inferencex")
    common = frame.groupby(["input_len", "output_len"]).filter(
        lambda rows: len(rows) >= COMMON_TEST * len(frame)
    )
    return common["input_len"] + common["output_len"] / 2


@measure
def kv_cache(users: str) -> Measured:
    """KV cache of some users' conversations over the weights: at the mean length that a service disclosed, and over the
    lengths that the public benchmark tests."""
    model = models.model(REFERENCE_MODEL)
    each = kv_values_per_token(model) * float(users) / params(model)
    served, tested = tables.load("disclosed_service"), each * _tested_lengths()
    middle = each * float(served["mean_kv_tokens"].iloc[0])
    found = of_model(float(middle))
    return replace(
        found, low=float(tested.min()), high=float(tested.max()), kind=ranges.OF_CASES,
        rows=(*found.rows, *keys(served, "disclosed_service", "service")),
        sources=(*found.sources, *cited(served), "inferencex"),
    )  # fmt: skip


@measure
def serving_footprint(users: str) -> Measured:
    """Bytes that serving holds, weights and the KV cache of some users' conversations (`kv_cache`), for each byte of model
    state that training holds, all in BF16 and with AdamW."""
    cache, state = kv_cache(users), serving_state()
    held = {end: state.number * (1 + getattr(cache, end)) for end in ("value", "low", "high")}
    return replace(cache, **held, sources=(*cache.sources, *state.sources))


@measure
def runs_with_memory(column: str) -> Measured:
    """Share of the notable training runs with named chips whose chips have a kind of memory, of those whose very chip is
    told. Runs that were searched for on other chips than Nvidia's are left out: they are no sample of training."""
    chips = tables.load("chips").set_index("id")
    notable = chronicle.runs().query("table == 'training_runs'")
    runs = notable.dropna(subset="chip_id")
    has = runs["chip_id"].map(chips[column]) > 0
    note = f"{has.sum()} of {len(runs)} runs; of {len(notable)} with named chips the others tell a family alone"
    return replace(share(runs, has, sampled=True), note=note)


@measure
def runs_with_host_memory() -> Measured:
    """Share of the measured training runs that keep a part of their state or of their activations in the host's memory, which
    is the DDR that every server has; each source has the same weight, however many runs it reports."""
    runs = measured_training.usable().frame
    away = (runs["offload"] > 0) | (runs["activation_offload"] > 0)
    weights = 1.0 / runs.groupby("source")["source"].transform("size")
    found = share(runs, away, "training_measurements", sampled=True, weights=weights)
    note = f"{away.sum()} of {len(runs):,} runs, of {runs['source'].nunique()} sources"
    return replace(
        found, note=note, rows=keys(runs[away], "training_measurements"), sources=cited(runs[away])
    )


@measure
def without_hbm(who: str) -> Measured:
    """Share of the chips of startups (or of the others) that have no HBM."""
    frame = tables.load("chips").dropna(subset="hbm_gb")
    frame = frame[frame["vendor"].isin(startup_vendors()) == (who == "startups")]
    return share(frame.assign(source=frame["source_memory"]), frame["hbm_gb"] == 0, "chips")


@measure
def supply_reports() -> Measured:
    """Reports of a startup that was refused HBM or could not integrate it. No report in the table is no
    evidence, not evidence of none."""
    frame = events("startups")
    words = frame["event"] + " " + frame["notes"].fillna("")
    pattern = "shortage|refus|unable|could not|allocation"
    frame = frame[words.str.contains("HBM") & words.str.contains(pattern, case=False)]
    return counted(frame) if len(frame) else NOTHING


@measure
def dram_over(own: str) -> Measured:
    """A chip's HBM and DDR over the HBM of an H100."""
    row, nvidia = chip(own), chip(REFERENCE_CHIP)
    dram = row[["hbm_gb", "ddr_gb"]].astype(float).sum()
    return of_chips(dram / float(nvidia["hbm_gb"]), own, REFERENCE_CHIP, note=row["name"])


@measure
def ddr_bandwidth_over(own: str) -> Measured:
    """A chip's DDR bandwidth over the HBM bandwidth of an H100."""
    row, nvidia = chip(own), chip(REFERENCE_CHIP)
    value = float(row["ddr_gb_per_s"]) / (float(nvidia["hbm_tb_per_s"]) * 1000)
    return of_chips(value, own, REFERENCE_CHIP, note=row["name"])


@measure
def disk_cache() -> Measured:
    """Share of the input tokens of the disclosed service that came from a disk cache."""
    frame = tables.load("disclosed_service")
    value = float((frame["cached_input_tokens"] / frame["input_tokens"]).iloc[0])
    return counted(frame, "disclosed_service", value, key="service")


@measure
def state_fits(chips: str) -> Measured:
    """Training state of the reference model shared over some H100 chips, over the HBM of one."""
    held = WEIGHT_BYTES + FP32_GRADIENT_BYTES + OPTIMIZER_BYTES["adamw"]
    state = params(models.model(REFERENCE_MODEL)) * held / int(chips)
    hbm_bytes = float(chip(REFERENCE_CHIP)["hbm_gb"]) * GB
    return of_chips(state / hbm_bytes, REFERENCE_CHIP, note=f"{chips} H100")


@measure
def more_hbm_races() -> Measured:
    """Speed of the chip with more HBM over Nvidia's chip of its day, in every audited MLPerf race of the two
    over the same task with as many chips."""
    frame = races.pairs()
    frame = frame[frame["hbm_gb"] > frame["rival_hbm_gb"]]
    if frame.empty:
        return NOTHING
    speed = frame.groupby("chip_id")["speed"].median()
    run = [*frame["row_id"], *frame["rival_row_id"]]
    rows = (f"training_measurements:{row}" for row in run)
    return Measured(
        float(speed.median()), float(frame["speed"].min()), float(frame["speed"].max()),
        rows=tuple(dict.fromkeys(rows)), sources=cited(frame),
        note=", ".join(sorted(set(frame["chip"]))), kind=ranges.OF_CASES,
    )  # fmt: skip


def _for_training(vendor: str) -> pd.DataFrame:
    frame = tables.load("chips")
    sold = frame["supports_training"].isin(["yes", "withdrawn"])
    return frame[(frame["vendor"] == vendor) & sold]


@measure
def training_chips_with_hbm(vendor: str) -> Measured:
    """Share of the chips a vendor sold for training that have HBM."""
    frame = _for_training(vendor)
    return share(frame.assign(source=frame["source_memory"]), frame["hbm_gb"] > 0, "chips")


@measure
def newest_hbm(vendor: str, before: str) -> Measured:
    """HBM of a vendor's newest chip on sale at a date."""
    frame = tables.load("chips")
    frame = frame[(frame["vendor"] == vendor) & (frame["available"] < before)]
    frame = frame.sort_values("available", kind="stable").tail(1)
    return of_chips(float(frame["hbm_gb"].iloc[0]), *frame["id"])


@measure
def point_to_point(vendor: str) -> Measured:
    """Share of a vendor's training chips described with a point-to-point network."""
    frame = _for_training(vendor)
    linked = (
        frame["topology"].fillna("").str.contains("point-to-point|P2P|peer-to-peer", case=False)
    )
    return share(frame.assign(source=frame["source_network"]), linked, "chips")


@measure
def hbm_bandwidth_over(own: str) -> Measured:
    """A chip's HBM bandwidth over the H100's; the range is that of its sources."""
    row, nvidia = chip(own), float(chip(REFERENCE_CHIP)["hbm_tb_per_s"])
    ends = [row[name] for name in ("hbm_tb_per_s_low", "hbm_tb_per_s_high")]
    middle = float(row["hbm_tb_per_s"])
    low, high = (float(end if pd.notna(end) else middle) / nvidia for end in ends)
    more = {"note": row["name"], "low": low, "high": high, "kind": ranges.OF_SOURCES}
    return of_chips(middle / nvidia, own, REFERENCE_CHIP, **more)


@measure
def matched_startups(share_of_h100: str) -> Measured:
    """Startups that sold a training chip with both the HBM bandwidth and the link bandwidth of an H100, or
    nearly, and trained no frontier model on it. None that matched is no evidence."""
    frame, nvidia = tables.load("chips"), chip(REFERENCE_CHIP)
    frame = frame[frame["vendor"].isin(startup_vendors())]
    for name in ("hbm_tb_per_s", "scaleup_gb_per_s_per_direction"):
        frame = frame[frame[name] >= float(share_of_h100) * float(nvidia[name])]
    frame = frame[frame["supports_training"].isin(["yes", "withdrawn"])]
    if frame.empty:
        return NOTHING
    found = frame.assign(source=frame["source_memory"])
    return counted(found, "chips", float(frame["vendor"].nunique()))
