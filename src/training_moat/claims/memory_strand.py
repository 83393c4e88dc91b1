"""The memory argument: what training and serving must hold, and which chips hold it (C14 to C19, C26, C27)."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog.cited import cited
from training_moat.claims.base import Evidence, Measured, counted, keys, measures, share
from training_moat.claims.history_strand import startup_vendors
from training_moat.core.memory import (
    FP32_GRADIENT_BYTES,
    OPTIMIZER_BYTES,
    WEIGHT_BYTES,
    activation_bytes,
)
from training_moat.core.plan import Plan
from training_moat.core.units import GB
from training_moat.core.workload import kv_values_per_token, params

REFERENCE_MODEL = "llama3.1-70b"
REFERENCE_CHIP = "h100-sxm"
SERVING_BYTES = {"fp8": 1.0, "bf16": 2.0}
"""Bytes of a served weight: what most models of 2025 ship, and the classic."""
TROUBLE = r"fail|bug|segfault|behind|mismatch|impossible|no successful|regret|revert"
"""Words in a case's outcome or quality that mean it did not go smoothly."""


def chip(evidence: Evidence, name: str) -> pd.Series:
    """One row of the chips table."""
    return evidence.row("chips", name, "id")


def _of_chips(evidence: Evidence, value: float | None, *names: str) -> Measured:
    frame = evidence.table("chips")
    frame = frame[frame["id"].isin(names)]
    return Measured(value, rows=keys(frame, "chips"), sources=cited(frame, column="source_memory"))


def _of_model(
    evidence: Evidence, value: float, low: float | None = None, high: float | None = None
) -> Measured:
    frame = evidence.table("models")
    frame = frame[frame["id"] == REFERENCE_MODEL]
    return Measured(
        value, low, high, rows=keys(frame, "models"), sources=cited(frame) + ("korthikanti2022",)
    )


def state_ratio(evidence: Evidence) -> Measured:
    """Bytes of weights, gradients and optimizer per weight in training over bytes per served weight: AdamW
    against BF16; the range runs over all optimizers of the model and over BF16 and FP8 serving."""
    optimizers = evidence.hook("optimizer_bytes", OPTIMIZER_BYTES)
    held = {name: WEIGHT_BYTES + FP32_GRADIENT_BYTES + extra for name, extra in optimizers.items()}
    return Measured(
        held["adamw"] / SERVING_BYTES["bf16"],
        min(held.values()) / SERVING_BYTES["bf16"],
        max(held.values()) / SERVING_BYTES["fp8"],
        sources=("rajbhandari2020",),
    )


@measures("C07", "easier")
def easier(evidence: Evidence) -> Measured:
    return state_ratio(evidence)


@measures("C14", "memory_easier")
def memory_easier(evidence: Evidence) -> Measured:
    return state_ratio(evidence)


@measures("C15", "state")
def training_state(evidence: Evidence) -> Measured:
    return state_ratio(evidence)


@measures("C19", "state")
def serving_state(evidence: Evidence) -> Measured:
    found = state_ratio(evidence)
    return Measured(1 / found.value, 1 / found.high, 1 / found.low, sources=found.sources)


def moves(evidence: Evidence, kind: str) -> pd.DataFrame:
    """Documented moves of one kind of work between hardware of different vendors."""
    frame = evidence.table("switching_cases")
    return frame[frame["workload_kind"] == kind]


def troubled(frame: pd.DataFrame) -> pd.Series:
    """Whether a case's outcome or quality speaks of trouble."""
    words = frame["outcome"].fillna("") + " " + frame["quality"].fillna("")
    return words.str.contains(TROUBLE, case=False)


@measures("C14", "moving_easier")
def moving_easier(evidence: Evidence) -> Measured:
    training, inference = (
        moves(evidence, kind).dropna(subset="months") for kind in ("training", "inference")
    )
    frame = pd.concat([training, inference])
    known = len(training) and len(inference)
    value = float(training["months"].median() / inference["months"].median()) if known else None
    return counted(frame, "switching_cases", value) if known else Measured(None)


@measures("C14", "no_trouble")
def moves_without_trouble(evidence: Evidence) -> Measured:
    frame = moves(evidence, "inference")
    return share(frame, ~troubled(frame), "switching_cases", sampled=True)


@measures("C15", "activations")
def activations(evidence: Evidence) -> Measured:
    model = evidence.model(REFERENCE_MODEL)
    plan = Plan(seq_len=8192, global_batch=1)
    return _of_model(evidence, activation_bytes(model, plan) / (WEIGHT_BYTES * params(model)))


def _runs_with_chips(evidence: Evidence) -> pd.DataFrame:
    runs = evidence.table("training_runs").dropna(subset="chip_id")
    return runs.join(evidence.table("chips").set_index("id")[["hbm_gb", "ddr_gb"]], on="chip_id")


@measures("C16", "hbm")
def runs_on_hbm(evidence: Evidence) -> Measured:
    frame = _runs_with_chips(evidence)
    return share(frame, frame["hbm_gb"] > 0, "training_runs", sampled=True)


@measures("C16", "ddr")
def runs_on_ddr(evidence: Evidence) -> Measured:
    frame = _runs_with_chips(evidence)
    return share(frame, frame["ddr_gb"] > 0, "training_runs", sampled=True)


def _without_hbm(evidence: Evidence, startups: bool) -> Measured:
    frame = evidence.table("chips").dropna(subset="hbm_gb")
    frame = frame[frame["vendor"].isin(startup_vendors(evidence)) == startups]
    found = share(frame.assign(source=frame["source_memory"]), frame["hbm_gb"] == 0, "chips")
    return found


@measures("C17", "without_hbm")
def startups_without_hbm(evidence: Evidence) -> Measured:
    return _without_hbm(evidence, True)


@measures("C17", "incumbents_without_hbm")
def others_without_hbm(evidence: Evidence) -> Measured:
    return _without_hbm(evidence, False)


@measures("C17", "supply_reports")
def supply_reports(evidence: Evidence) -> Measured:
    frame = evidence.table("startup_events")
    words = frame["event"] + " " + frame["notes"].fillna("")
    frame = frame[
        words.str.contains("HBM")
        & words.str.contains("shortage|refus|unable|could not|allocation", case=False)
    ]
    # No report in the table is no evidence, not evidence of none.
    return counted(frame, "startup_events") if len(frame) else Measured(None)


@measures("C18", "groq")
def groq_memory(evidence: Evidence) -> Measured:
    own, nvidia = chip(evidence, "groq-lpu-v1"), chip(evidence, REFERENCE_CHIP)
    dram = sum(float(own[column]) for column in ("hbm_gb", "ddr_gb") if pd.notna(own[column]))
    return _of_chips(evidence, dram / float(nvidia["hbm_gb"]), "groq-lpu-v1", REFERENCE_CHIP)


@measures("C18", "dmatrix")
def dmatrix_bandwidth(evidence: Evidence) -> Measured:
    own, nvidia = chip(evidence, "corsair"), chip(evidence, REFERENCE_CHIP)
    value = float(own["ddr_gb_per_s"]) / (float(nvidia["hbm_tb_per_s"]) * 1000)
    return _of_chips(evidence, value, "corsair", REFERENCE_CHIP)


@measures("C19", "kv_cache")
def kv_cache(evidence: Evidence) -> Measured:
    model = evidence.model(REFERENCE_MODEL)
    kept = kv_values_per_token(model) * WEIGHT_BYTES * 64 * 32768
    return _of_model(evidence, kept / (WEIGHT_BYTES * params(model)))


@measures("C19", "hierarchy")
def disk_cache(evidence: Evidence) -> Measured:
    frame = evidence.table("disclosed_service")
    value = float((frame["cached_input_tokens"] / frame["input_tokens"]).iloc[0])
    return Measured(value, rows=keys(frame, "disclosed_service", "service"), sources=cited(frame))


@measures("C26", "fits")
def state_fits(evidence: Evidence) -> Measured:
    state = params(evidence.model(REFERENCE_MODEL)) * (
        WEIGHT_BYTES + FP32_GRADIENT_BYTES + OPTIMIZER_BYTES["adamw"]
    )
    value = state / 64 / (float(chip(evidence, REFERENCE_CHIP)["hbm_gb"]) * GB)
    return _of_chips(evidence, value, REFERENCE_CHIP)


@measures("C26", "more_is_better")
def more_hbm_faster(evidence: Evidence) -> Measured:
    nvidia, amd = chip(evidence, REFERENCE_CHIP), chip(evidence, "mi300x")
    frame = moves(evidence, "training")
    frame = frame[
        frame["from_hardware"].str.contains("H100") & frame["to_hardware"].str.contains("MI300X")
    ]
    frame = frame.dropna(subset="per_chip_speed_high")
    if frame.empty or not float(amd["hbm_gb"]) > float(nvidia["hbm_gb"]):
        return Measured(None)
    return counted(frame, "switching_cases", float(frame["per_chip_speed_high"].max()))


@measures("C27", "training_chips")
def training_chips_with_hbm(evidence: Evidence) -> Measured:
    frame = evidence.table("chips")
    frame = frame[
        (frame["vendor"] == "SambaNova") & frame["supports_training"].isin(["yes", "withdrawn"])
    ]
    return share(frame.assign(source=frame["source_memory"]), frame["hbm_gb"] > 0, "chips")


@measures("C27", "current_chip")
def current_chip(evidence: Evidence) -> Measured:
    """HBM of the newest SambaNova chip on sale when the article appeared."""
    frame = evidence.table("chips")
    frame = (
        frame[(frame["vendor"] == "SambaNova") & (frame["available"] < "2025-05")]
        .sort_values("available")
        .tail(1)
    )
    return counted(
        frame.assign(source=frame["source_memory"]), "chips", float(frame["hbm_gb"].iloc[0])
    )


@measures("C27", "network")
def point_to_point(evidence: Evidence) -> Measured:
    frame = evidence.table("chips")
    frame = frame[
        (frame["vendor"] == "SambaNova") & frame["supports_training"].isin(["yes", "withdrawn"])
    ]
    words = frame["topology"].fillna("")
    linked = words.str.contains("point-to-point|P2P|peer-to-peer", case=False)
    return share(frame.assign(source=frame["source_network"]), linked, "chips")


def sn40l_bandwidth(evidence: Evidence) -> Measured:
    """HBM bandwidth of SambaNova's first chip with HBM over the H100's; the range is that of its sources."""
    own, nvidia = chip(evidence, "sn40l"), float(chip(evidence, REFERENCE_CHIP)["hbm_tb_per_s"])
    low, high = (
        own[column] if pd.notna(own[column]) else own["hbm_tb_per_s"]
        for column in ("hbm_tb_per_s_low", "hbm_tb_per_s_high")
    )
    found = _of_chips(evidence, float(own["hbm_tb_per_s"]) / nvidia, "sn40l", REFERENCE_CHIP)
    return Measured(
        found.value,
        float(low) / nvidia,
        float(high) / nvidia,
        rows=found.rows,
        sources=found.sources,
    )


@measures("C27", "bandwidth")
def matched_bandwidth(evidence: Evidence) -> Measured:
    return sn40l_bandwidth(evidence)


@measures("C32", "example_matched")
def example_matched(evidence: Evidence) -> Measured:
    return sn40l_bandwidth(evidence)
