"""The networking argument: what must be exchanged, and who can exchange it."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from training_moat.catalog import dates, models, tables
from training_moat.catalog.cited import cited
from training_moat.claims import ranges
from training_moat.claims.base import NOTHING, Measured, counted, keys, measure, share
from training_moat.claims.history_strand import events, startup_vendors
from training_moat.claims.memory_strand import REFERENCE_CHIP, chip, of_model
from training_moat.contest import reference_jobs
from training_moat.core.collectives import all_reduce_wire_s
from training_moat.core.errors import InputError
from training_moat.core.fabrics import Fabric
from training_moat.core.units import BITS_PER_BYTE
from training_moat.inquiry import layouts, naming, networking
from training_moat.inquiry.uncertainty import percentiles
from training_moat.predict import training

PLAIN = Fabric(bytes_per_s=1.0, step_latency_s=0.0)
"""A link of one byte a second without latency: seconds over it are bytes."""
RATES = ("mfu", "tokens_per_s_per_chip")


def sent_in_ring(replicas: float) -> float:
    """Bytes each chip sends per byte of gradients in a ring all-reduce, all of them to the next chip."""
    return float(all_reduce_wire_s(1.0, replicas, PLAIN))


@measure
def gradient_traffic(replicas: str) -> Measured:
    """Kind of exchange: bytes of gradients each chip must send per byte of gradients it holds."""
    note = "every chip that trains by data parallelism"
    return Measured(sent_in_ring(float(replicas)), sources=("thakur2005",), note=note)


@measure
def traffic_growth(small: str, large: str) -> Measured:
    """Volume of exchange: bytes each chip sends in a large cluster over those in a small one."""
    few, many = (gradient_traffic(count) for count in (small, large))
    return replace(few, value=many.number / few.number)


@measure
def beyond_the_next() -> Measured:
    """Reach of exchange: share of the gradient bytes that a ring sends further than the next chip. None: each
    chip adds what it got and passes it on."""
    return Measured(0.0, sources=("thakur2005",), note="a ring of any size")


@measure
def lost_without_switch(job: str, chips: str) -> Measured:
    """Share of its speed that a reference job loses on the reference chip where links reach the next chips alone, against
    the same links behind one switch; the range runs down to an eighth of its links."""
    asked = reference_jobs.job(job)
    found = networking.without_switch(asked.request(REFERENCE_CHIP, int(chips)))
    if found.empty:
        return NOTHING
    frame = tables.load("chips")
    frame = frame[frame["id"] == REFERENCE_CHIP]
    lost = found["lost"]
    note = f"{asked.title} on {int(chips):,} {frame['name'].iloc[0]}, by the model"
    return Measured(
        float(lost.iloc[0]), float(lost.min()), float(lost.max()), kind=ranges.OF_CASES, note=note,
        rows=keys(frame, "chips"), sources=(*cited(frame, column="source_network"), *asked.source),
    )  # fmt: skip


@measure
def pipeline_bytes(chips: str) -> Measured:
    """Bytes that some chips hand on as a pipeline over those they exchange as a tensor-parallel group: one
    activation at each border, against two sums of it per layer over every link (Shoeybi et al. 2019)."""
    model, count = models.model("llama3.1-70b"), int(chips)
    handed, summed = count - 1, 2 * float(model.layers) * sent_in_ring(count)
    found = of_model(handed / summed)
    return replace(found, sources=(*found.sources, "shoeybi2019"))


@measure
def gpu_layouts() -> Measured:
    """Share of measured ways to serve on several chips that are pure pipelines. Nearly all rows are graphics
    chips and Trainium in benchmarks."""
    frame = layouts.measured(*map(tables.load, ("serving_measurements", "serving_inferencex")))
    found = share(frame, frame["pure"], sampled=True)
    return replace(found, note="graphics chips and Trainium in benchmarks")


@measure
def startup_layouts() -> Measured:
    """Share of startups with a published way to serve a large model over several chips whose chips hand their
    results to the next one only."""
    frame = tables.load("serving_layouts").dropna(subset="layout")
    pure = frame.groupby("vendor", sort=True)["layout"].agg(
        lambda kinds: (kinds == "pipeline").all()
    )
    first = frame.drop_duplicates("vendor").set_index("vendor").loc[pure.index].reset_index()
    found = share(first, pd.Series(pure.to_numpy(), first.index), "serving_layouts", sampled=True)
    note = f"{', '.join(pure.index[pure])} passes on; not {', '.join(pure.index[~pure])}"
    return replace(found, rows=keys(frame, "serving_layouts"), sources=cited(frame), note=note)


@measure
def expert_group() -> Measured:
    """Chips that exchange with one another when DeepSeek decodes."""
    frame = tables.load("disclosed_service")
    value = float(frame["decode_expert_group_chips"].iloc[0])
    return counted(frame, "disclosed_service", value, key="service")


def link_per_flop(frame: pd.DataFrame) -> pd.Series:
    """Published link bandwidth (scale-up where given, else scale-out) per 16-bit peak, in bytes per thousand
    FLOP; blank where either is unknown."""
    scaleout = frame["scaleout_gbit_per_s_per_chip"] / BITS_PER_BYTE
    link = frame["scaleup_gb_per_s_per_direction"].fillna(scaleout)
    return link / frame["bf16_tflops"].fillna(frame["fp16_tflops"])


@measure
def startup_links() -> Measured:
    """Link bandwidth per 16-bit FLOP of startups' chips over the H100's: the median and the whole range."""
    frame = tables.load("chips")
    own = frame[frame["vendor"].isin(startup_vendors())]
    own = own.assign(link=link_per_flop(own), source=own["source_network"]).dropna(subset="link")
    if own.empty:
        return NOTHING
    ratio = own["link"] / link_per_flop(frame[frame["id"] == REFERENCE_CHIP]).iloc[0]
    low, middle, high = float(ratio.min()), float(ratio.median()), float(ratio.max())
    names = ", ".join(own["name"])
    return counted(own, "chips", middle, names, low=low, high=high, kind=ranges.OF_CASES)


@measure
def startups_that_serve() -> Measured:
    """Startups with a confirmed inference service or deal."""
    frame = events("startups")
    frame = frame[frame["event_type"].isin(["launch", "pivot", "deal"])]
    frame = frame[frame["direction"] == "inference"]
    frame = frame[frame["company"].isin(startup_vendors())]
    return counted(frame, value=float(frame["company"].nunique()))


@measure
def growth_a_year(column: str, then: str, now: str) -> Measured:
    """Yearly growth of a column of the chips table between two chips."""
    first, last = chip(then), chip(now)
    years = dates.middle(last["announced"]) - dates.middle(first["announced"])
    value = float((last[column] / first[column]) ** (1 / years))
    return counted(pd.DataFrame([first, last]), "chips", value)


@measure
def measured_scaling(vendor: str) -> Measured:
    """Throughput per chip at the largest scale over that at the smallest, in every weak-scaling family measured
    on a vendor's chips."""
    frame = tables.load("scaling_measurements")
    frame = frame[(frame["scaling"] == "weak") & frame["metric"].isin(RATES)]
    frame = frame[naming.makers(frame["chip_id"]) == vendor]
    last = frame.sort_values(["n_chips", "row_id"], kind="stable").groupby("family_id").tail(1)
    if last.empty:
        return NOTHING
    low, middle, high = percentiles(last["efficiency_vs_smallest"])
    note = f"{vendor} clusters that published scaling"
    return counted(
        last, "scaling_measurements", middle, note, low=low, high=high, kind=ranges.MOST_CASES
    )


@measure
def gradient_wait() -> Measured:
    """Share of a modelled step in which chips wait for the exchange of gradients and weights between replicas,
    for the published run of Llama 3 405B (Dubey et al. 2024, table 4)."""
    answer = training.predict([{
        "id": "llama3", "model": "llama3.1-405b", "chip": REFERENCE_CHIP, "chips": 8192, "tp": 8, "pp": 16,
        "dp": 64, "seq_len": 8192, "global_batch": 2048, "precision": "bf16",
    }])[0]  # fmt: skip
    if not answer["ok"]:
        raise InputError(f"claims: {answer['error']}")
    frame = tables.load("chips")
    frame = frame[frame["id"] == REFERENCE_CHIP]
    return Measured(
        answer["seconds"]["data_parallel"] / answer["step_time_s"], rows=keys(frame, "chips"),
        sources=(*cited(frame, column="source_network"), "llama3_2024"), note="Llama 3 405B on 8,192 H100",
    )  # fmt: skip
