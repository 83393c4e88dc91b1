"""Measured serving rows, cleaned into one shape; what cannot be used is counted with the reason.

A row measures seconds per output token in one of two ways: `tpot`, time between a client's tokens, prefill of
others included; or `request`, the whole request (or the batch's throughput) divided by its output tokens, its
own prefill included.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_makers, reasons
from training_moat.calibrate.reasons import Reason
from training_moat.catalog import tables
from training_moat.predict import serving_software
from training_moat.predict.serving_constants import KV_PRECISION

COLUMNS = (
    *("source", "model", "chip", "software", "precision", "batch", "input_len", "output_len"),
    *("tp", "pp", "dp", "ep", "expert_tp", "drafted", "kind", "seconds_per_token", "ttft_s"),
    "unusable",
)
"""Columns of the cleaned rows; `unusable` is blank or the reason. `all_rows` adds `kv_precision` and `attention`, the formats
of the cache and, where it is not that of the maker's checkpoint, of the attention's weights, and `copies`, one where a
batch is made of copies of one prompt."""

FORMAT_COLUMNS = {"kv_precision": "kv_precision", "attention_precision": "attention"}
"""Columns of serving_conditions with formats, and what they are called here."""

FORMATS = {"fp4": "nvfp4"}
"""Formats of the tables that the model has another name for."""

CHIPS = {"Nvidia A100 GPU": "a100-40", "Nvidia H100 GPU": "h100-sxm", "AMD MI250 GPU": "mi250x"}
"""Chips of LLM-Inference-Bench (Chitty-Venkata et al. 2024, table 2) by the nearest row of the chips table: 40 GB
A100, H100 SXM; the MI250 differs from the MI250X in its clock by a few percent."""


def cluster_runs() -> pd.DataFrame:
    """Rows of the InferenceX table (served models, closed loop of clients) in the common shape."""
    frame = tables.load("serving_inferencex")
    by_name = frame["model_path"].str.contains("FP8").map({True: "fp8", False: "bf16"})
    versions = zip(frame["backend"], frame["backend_version"].fillna(""), strict=True)
    rows = frame.assign(
        model=frame["model_id"],
        chip=frame["chip_id"],
        software=[
            serving_software.of_release(_engine(name), release) for name, release in versions
        ],
        precision=frame["precision"].replace(FORMATS).fillna(by_name),
        batch=frame["stated_concurrency"].fillna(frame["concurrency"]),
        **_cluster_sizes(frame),
        drafted=frame["row_id"].map(_drafted()).fillna(0.0),
        kind="tpot",
        seconds_per_token=frame["tpot_ms"] / 1e3,
        ttft_s=frame["ttft_ms"] / 1e3,
    )
    waits = reasons.waiting(rows["model"], frame["model_path"])
    rows["unusable"] = _first_reason(rows, [*_cluster_reasons(frame, rows), waits])
    rows = _without_copies(rows)
    rows.loc[_falls_with_load(rows), "unusable"] = "tokens take less time the more are served"
    return rows


def _cluster_sizes(frame: pd.DataFrame) -> dict[str, pd.Series | float]:
    """The layouts of the InferenceX table, some of which it writes as products: where the expert sizes repeat each other
    (4 x 4, 8 x 8 on a node of eight) chips are counted twice."""
    tp, ep = frame["tp_size"].astype(float), frame["moe_ep_size"].clip(lower=1).astype(float)
    dp = frame["attention_dp_size"].fillna(1).clip(lower=1)
    expert_tp = frame["moe_tp_size"].clip(lower=1).astype(float)
    squared = (expert_tp == ep) & (ep > 2)
    twice = squared | ((dp > 1) & (dp == tp) & (ep == tp * dp))
    side = ep.where(squared, dp)
    split = twice & (dp > 1)
    ep, expert_tp = ep.where(~twice, side), expert_tp.where(~twice, 1)
    tp = tp.where(~twice, side).where(~split, 1)
    dp = dp.where(~split, side)
    tp = tp.where(dp > 1, np.maximum(tp, expert_tp * ep))
    return {"tp": tp, "pp": 1.0, "dp": dp, "ep": ep, "expert_tp": expert_tp}


def _cluster_reasons(frame: pd.DataFrame, rows: pd.DataFrame) -> list[Reason]:
    apart = (frame["tp_size"] > 8) & (frame["moe_tp_size"] == frame["tp_size"])
    alone = frame["attention_dp_size"].fillna(1).clip(lower=1) == 1
    queued = rows["ttft_s"] > rows["seconds_per_token"] * rows["output_len"]
    return [
        (apart, "prefill and decode on separate chips, split not stated"),
        (frame["attention_dp_size"] == 0, "layout written as zero"),
        ((rows["batch"] != frame["concurrency"]) & alone, "two different client counts"),
        (queued, "requests queued longer than they decoded: sequences running not known"),
        (rows["tp"] * rows["dp"] > 8, "layout spans more chips than the node"),
    ]


def _drafted() -> dict[str, float]:
    """Tokens that were drafted before each pass, by row of the InferenceX table (table serving_drafting)."""
    told = tables.load("serving_drafting")
    return dict(zip(told["measurement"], told["drafted"].astype(float), strict=True))


def bench_runs() -> pd.DataFrame:
    """Rows of the other serving sources in the common shape: one per measured configuration.

    What LLM-Inference-Bench calls the batch of llama.cpp is the chunk in which llama-bench reads the prompt: its
    times do not grow with it and double at one, where the prompt is read token by token. One sequence runs at a
    time, and several chips hold successive layers.
    """
    frame = tables.load("serving_measurements")
    times = ["latency", "tpot_p50", "decode_latency", "user_output_speed"]
    own = frame[frame["metric"].isin(times)]
    own = own[~measured_makers.is_makers(own)]
    metric, value = own["metric"], own["value"]
    seconds = (value / own["output_len"]).where(metric == "latency", value / 1e3)
    seconds = seconds.where(metric != "user_output_speed", 1 / value)
    single_user = own["load"].fillna("").str.startswith("API, 1 user")
    alone = single_user | (own["framework"] == "llama.cpp")
    layered = own["framework"].fillna("").map(_engine).isin(serving_software.cut_by_layers())
    side_by_side = own["n_chips"].where(~layered, 1)
    rows = own.assign(
        model=own["model_id"],
        chip=own["chip_id"].fillna(own["chip"].map(CHIPS)),
        software=_of_its_time(own["framework"], own["date"]),
        precision=own["format"].replace(FORMATS),
        batch=own["batch_or_concurrency"].where(~alone, 1),
        **{"tp": side_by_side, "pp": own["n_chips"].where(layered, 1), "dp": 1.0, "ep": 1.0},
        expert_tp=side_by_side,
        drafted=0.0,
        kind=np.where(metric == "latency", "request", "tpot"),
        seconds_per_token=seconds,
        ttft_s=np.nan,
    )
    waits = reasons.waiting(rows["model"], own["model"])
    rows["unusable"] = _first_reason(rows, [*_bench_reasons(own, rows), waits])
    rows.loc[_does_not_scale(rows), "unusable"] = "several chips take twice as long as one or more"
    return _without_copies(rows)


def _bench_reasons(own: pd.DataFrame, rows: pd.DataFrame) -> list[Reason]:
    apart = own["parallelism"].fillna("").str.contains("EP")
    by_token = (own["framework"] == "llama.cpp") & (own["metric"] == "latency")
    by_token &= own["batch_or_concurrency"] == 1
    no_length = rows["input_len"].isna() | rows["output_len"].isna()
    return [
        (apart, "prefill and decode on separate chips, batch not stated"),
        (by_token, "prompt read token by token"),
        (own["n_chips"].isna(), "number of chips not stated"),
        (rows["batch"].isna(), "sequences at once not stated"),
        (no_length, "prompt or answer length not stated"),
    ]


BROKEN_SCALING = 2.0
"""How many times as long as on one chip a run on several may take before its exchange counts as not working."""


def _does_not_scale(rows: pd.DataFrame) -> pd.Series:
    """Runs over several chips in a row that take a multiple of the time of one chip: they time a defect of the port."""
    key = ["model", "chip", "software", "precision", "batch", "input_len", "output_len"]
    alone = (rows["tp"] * rows["pp"] == 1) & (rows["unusable"] == "")
    single = rows[alone].groupby(key)["seconds_per_token"].min().rename("single_s")
    compared = rows[key].merge(single, left_on=key, right_index=True, how="left")["single_s"]
    slower = rows["seconds_per_token"] > BROKEN_SCALING * compared
    return slower & (rows["pp"] > 1) & (rows["unusable"] == "")


OLD_ENGINE_UNTIL = "2024-12"
"""Month of the last measurements of the oldest versions, where a source states none."""


FALLING = -0.05
"""Slope of the time per token over the sequences at once, both in logarithms, below which a deployment times a defect."""


def _falls_with_load(rows: pd.DataFrame) -> pd.Series:
    """Runs of a deployment whose tokens take less time the more sequences it serves, in the middle of all neighbouring
    loads: serving more can only take longer, so that something else decides its times."""
    deployment = ["source", "model", "chip", "software"]
    layout = ["precision", "input_len", "output_len", "tp", "pp", "dp", "ep", "drafted", "kind"]
    usable = rows[rows["unusable"] == ""]
    usable = usable.sort_values([*deployment, *layout, "batch"], kind="stable")
    logs = np.log(usable[["batch", "seconds_per_token"]])
    steps = logs - logs.groupby([usable[name] for name in (*deployment, *layout)]).shift()
    steps = steps[steps["batch"] > 0]
    own = [usable.loc[steps.index, name] for name in deployment]
    slope = (steps["seconds_per_token"] / steps["batch"]).groupby(own)
    middle = slope.median()[slope.size() >= 5].rename("slope")
    found = rows[deployment].merge(middle, left_on=deployment, right_index=True, how="left")
    return (found["slope"] < FALLING) & (rows["unusable"] == "")


WARMING = 1.2
"""How many times as long as with more sequences at once a token may take before a run counts as disturbed."""


def _slower_than_more(rows: pd.DataFrame) -> pd.Series:
    """Runs that take longer for a token than the same deployment with more sequences at once, which can only take longer:
    a first start was timed with them, as series that fall from their first run on show, or something else disturbed them."""
    usable = rows[rows["unusable"] == ""].sort_values("batch", kind="stable")
    same = rows.columns.difference(["batch", "seconds_per_token", "ttft_s", "unusable"], sort=False)
    key = [*same, "batch"]
    least = usable.groupby(key)["seconds_per_token"].min().rename("seconds")
    fewer = least.groupby(level=list(same)).shift(-1)
    fewer = fewer.iloc[::-1].groupby(level=list(same)).cummin().iloc[::-1]
    more = usable[key].merge(fewer, left_on=key, right_index=True, how="left")
    return (usable["seconds_per_token"] > WARMING * more["seconds"]).reindex(
        rows.index, fill_value=False
    )


def _of_its_time(framework: pd.Series, date: pd.Series) -> list[str]:
    """The calibrated engine of each row: by its version where it is stated, else by the date of the measurement."""
    found = []
    for written, when in zip(framework.fillna(""), date.astype(str).str.slice(0, 7)):
        base = _engine(written)
        old = when <= OLD_ENGINE_UNTIL and "2024" in serving_software.first_after().get(base, {})
        version = written.partition(" ")[2]
        found.append(f"{base}-2024" if old else serving_software.of_release(base, version))
    return found


def _engine(written: str) -> str:
    """The measured engine that a source's words name, else its own words."""
    word = serving_software.spelled(written)
    return serving_software.spellings()[word] if word else written


def _first_reason(rows: pd.DataFrame, own: list[Reason]) -> pd.Series:
    """The first of the reasons of its source, or of those that any source can have, for each row."""
    common = [
        (rows["model"].isna(), "architecture not in the models table"),
        (rows["chip"].isna(), "chip not in the chips table"),
        (rows["precision"].isna(), "number format not stated"),
    ]
    return reasons.first(rows.index, [*own, *common])


def _without_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark repeats of one measurement (the same run exported twice) unusable."""
    other = ("ttft_s", "unusable", "seconds_per_token", "source")
    key = [name for name in COLUMNS if name not in other]
    shown = rows.assign(rounded=(rows["seconds_per_token"] * 1e5).round())
    copies = shown.duplicated([*key, "rounded"], keep="first") & (rows["unusable"] == "")
    rows.loc[copies, "unusable"] = "the same run exported twice"
    return rows[list(COLUMNS)].reset_index(drop=True)


@tables.kept(copied=True, lasting=True)
def all_rows() -> pd.DataFrame:
    """Every measured serving row of the data tables in the common shape."""
    makers = measured_makers.rows()[list(COLUMNS)]
    rows = pd.concat([cluster_runs(), bench_runs(), makers], ignore_index=True)
    usual = {"kv_precision": KV_PRECISION, "attention": "", "copies": 0.0}
    found = _under_their_conditions(rows.assign(**usual))
    found.loc[_slower_than_more(found), "unusable"] = "longer than with more sequences at once"
    return found


def _under_their_conditions(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the formats and the mean lengths that their sources tell (table serving_conditions)."""
    base = rows["software"].fillna("").map(lambda name: serving_software.lineage(name)[0])
    named = {"backend": base, "model_id": rows["model"], "chip_id": rows["chip"]}
    for told in tables.load("serving_conditions").to_dict("records"):
        holds = rows["source"] == told["source"]
        for column, values in named.items():
            if pd.notna(told[column]):
                holds &= values == told[column]
        for column, field in FORMAT_COLUMNS.items():
            if pd.notna(told[column]):
                rows.loc[holds, field] = told[column]
        if pd.notna(told["mean_length_share"]):
            rows.loc[holds, ["input_len", "output_len"]] *= told["mean_length_share"]
        if told["copied_prompts"] == "yes":
            rows.loc[holds, "copies"] = 1.0
    return rows


def usable_rows() -> pd.DataFrame:
    """The rows a prediction can be compared with."""
    return reasons.usable(all_rows())
