"""The networking argument: what must be exchanged, and who can exchange it (C20 to C22, C25, C36)."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from training_moat.catalog.cited import cited
from training_moat.claims.base import Evidence, Measured, counted, keys, measures, share
from training_moat.claims.history_strand import confirmed, startup_vendors, startups
from training_moat.claims.memory_strand import REFERENCE_CHIP, REFERENCE_MODEL, chip
from training_moat.core.errors import InputError
from training_moat.core.units import BITS_PER_BYTE
from training_moat.predict import training

NVIDIA_THEN, NVIDIA_NOW = "v100", "b200"
SMALL, LARGE = 64, 4096
"""Data-parallel replicas between which the growth of traffic is measured."""
RATES = ("mfu", "tokens_per_s_per_chip")


def ring_traffic(replicas: float) -> float:
    """Bytes each chip sends per byte of gradients in a ring or tree all-reduce: 2 (n-1)/n
    (Thakur, Rabenseifner and Gropp 2005, section 4.4)."""
    return 2.0 * (replicas - 1) / replicas


@measures("C20", "every_chip")
def every_chip(evidence: Evidence) -> Measured:
    traffic = evidence.hook("gradient_traffic", ring_traffic)
    return Measured(traffic(LARGE), sources=("thakur2005",))


@measures("C20", "grows_with_scale")
def grows_with_scale(evidence: Evidence) -> Measured:
    traffic = evidence.hook("gradient_traffic", ring_traffic)
    return Measured(traffic(LARGE) / traffic(SMALL), sources=("thakur2005",))


@measures("C21", "dense_pipeline")
def dense_pipeline(evidence: Evidence) -> Measured:
    """Eight chips as a pipeline hand over one activation at seven borders; as a tensor-parallel group they
    sum two activations per layer (Shoeybi et al. 2019), 2 (n-1)/n of each over every link."""
    model = evidence.model(REFERENCE_MODEL)
    chips = 8
    handed, summed = chips - 1, 2 * float(model.layers) * ring_traffic(chips)
    frame = evidence.table("models")
    frame = frame[frame["id"] == REFERENCE_MODEL]
    return Measured(
        handed / summed, rows=keys(frame, "models"), sources=cited(frame) + ("shoeybi2019",)
    )


def serving_set_ups(evidence: Evidence) -> pd.DataFrame:
    """Distinct measured ways to serve a model on several chips whose layout is known, with whether each
    is free of tensor and expert parallelism."""
    told = evidence.table("serving_measurements")
    told = told[(told["n_chips"] > 1) & told["parallelism"].notna()]
    told = told.assign(
        set_up=told["parallelism"], pure=~told["parallelism"].str.contains(r"TP(?!1\b)|EP")
    )
    found = evidence.table("serving_inferencex")
    found = found.assign(
        set_up="TP"
        + found["tp_size"].astype(str)
        + " PP"
        + found["pp_size"].astype(str)
        + " EP"
        + found["moe_ep_size"].astype(str),
        pure=(found["tp_size"] <= 1) & (found["moe_ep_size"] <= 1),
    )
    found = found[(found["tp_size"] > 1) | (found["moe_ep_size"] > 1) | (found["pp_size"] > 1)]
    columns = ["row_id", "model_id", "chip_id", "set_up", "pure", "source", "table"]
    both = pd.concat(
        [
            told.assign(table="serving_measurements")[columns],
            found.assign(table="serving_inferencex")[columns],
        ]
    )
    return both.drop_duplicates(["model_id", "chip_id", "set_up"], ignore_index=True)


@measures("C21", "measured_serving")
def measured_serving(evidence: Evidence) -> Measured:
    frame = serving_set_ups(evidence)
    found = share(frame, frame["pure"], "", sampled=True)
    return replace(found, rows=tuple(frame["table"] + ":" + frame["row_id"]))


@measures("C21", "expert_group")
def expert_group(evidence: Evidence) -> Measured:
    frame = evidence.table("disclosed_service")
    return Measured(
        float(frame["decode_expert_group_chips"].iloc[0]),
        rows=keys(frame, "disclosed_service", "service"),
        sources=cited(frame),
    )


def link_per_flop(frame: pd.DataFrame) -> pd.Series:
    """Published link bandwidth (scale-up where given, else scale-out) per 16-bit peak, in bytes per
    thousand FLOP; blank where either is unknown."""
    scaleout = frame["scaleout_gbit_per_s_per_chip"] / BITS_PER_BYTE
    link = frame["scaleup_gb_per_s_per_direction"].fillna(scaleout)
    return link / frame["bf16_tflops"].fillna(frame["fp16_tflops"])


@measures("C22", "limited")
def limited_networks(evidence: Evidence) -> Measured:
    frame = evidence.table("chips")
    own = frame[frame["vendor"].isin(startup_vendors(evidence))]
    own = own.assign(link=link_per_flop(own), source=own["source_network"]).dropna(subset="link")
    nvidia = link_per_flop(frame[frame["id"] == REFERENCE_CHIP]).iloc[0]
    return counted(own, "chips", float(own["link"].median() / nvidia) if len(own) else None)


@measures("C22", "serving")
def startups_that_serve(evidence: Evidence) -> Measured:
    frame = confirmed(startups(evidence))
    frame = frame[
        (frame["direction"] == "inference") & frame["event_type"].isin(["launch", "pivot", "deal"])
    ]
    frame = frame[frame["company"].isin(startup_vendors(evidence))]
    return counted(frame, "startup_events", float(frame["company"].nunique()))


def years_between(first: str, last: str) -> float:
    """Years between two dates of the tables, of which months count."""
    year, month = zip(
        *(map(int, re.match(r"(\d{4})-(\d{2})", date).groups()) for date in (first, last)),
        strict=True,
    )
    return year[1] - year[0] + (month[1] - month[0]) / 12


def _growth(evidence: Evidence, column: str) -> Measured:
    then, now = chip(evidence, NVIDIA_THEN), chip(evidence, NVIDIA_NOW)
    years = years_between(str(then["announced"]), str(now["announced"]))
    frame = pd.DataFrame([then, now])
    found = counted(frame, "chips", float((now[column] / then[column]) ** (1 / years)))
    return found


@measures("C25", "hbm_growth")
def hbm_growth(evidence: Evidence) -> Measured:
    return _growth(evidence, "hbm_tb_per_s")


@measures("C25", "link_growth")
def link_growth(evidence: Evidence) -> Measured:
    return _growth(evidence, "scaleup_gb_per_s_per_direction")


@measures("C36", "scaling")
def measured_scaling(evidence: Evidence) -> Measured:
    """Throughput per chip at the largest scale over that at the smallest, in every weak-scaling family
    measured on Nvidia chips; the range runs over the families."""
    vendor = evidence.table("chips").set_index("id")["vendor"]
    frame = evidence.table("scaling_measurements")
    frame = frame[(frame["scaling"] == "weak") & frame["metric"].isin(RATES)]
    frame = frame[frame["chip_id"].map(vendor) == "NVIDIA"]
    last = frame.sort_values("n_chips", kind="stable").groupby("family_id").tail(1)
    kept = last["efficiency_vs_smallest"]
    low, middle, high = (
        (float(np.percentile(kept, q)) for q in (5, 50, 95)) if len(kept) else (None,) * 3
    )
    return Measured(middle, low, high, rows=keys(last, "scaling_measurements"), sources=cited(last))


@measures("C36", "exchange")
def waiting_for_gradients(evidence: Evidence) -> Measured:
    """Share of a modelled step in which chips wait for the exchange of gradients and weights between
    replicas, for the published run of Llama 3 405B (Dubey et al. 2024, table 4)."""
    predict = evidence.hook("predict_training", training.predict)
    answer = predict(
        [
            {
                "id": "llama3",
                "model": "llama3.1-405b",
                "chip": REFERENCE_CHIP,
                "chips": 8192,
                "tp": 8,
                "pp": 16,
                "dp": 64,
                "seq_len": 8192,
                "global_batch": 2048,
                "precision": "bf16",
            }
        ]
    )[0]
    if not answer["ok"]:
        raise InputError(f"claims: {answer['error']}")
    frame = evidence.table("chips")
    frame = frame[frame["id"] == REFERENCE_CHIP]
    return Measured(
        answer["seconds"]["data_parallel"] / answer["step_time_s"],
        rows=keys(frame, "chips"),
        sources=cited(frame, column="source_network") + ("llama3_2024",),
    )
