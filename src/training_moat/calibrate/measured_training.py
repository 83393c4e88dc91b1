"""The measured training runs as the model's objects, and why some rows cannot be used.

One configuration of the measurement table becomes one row with a measured step time. Throughputs per chip
are turned into step times with the run's own batch; printed FLOP rates only where the source's own FLOP
formula is known. Percentages of peak are never used: their definitions differ by source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training_moat.calibrate import open_settings, priors, told_plans, unusable_training
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import dates, tables
from training_moat.catalog import models as model_catalog
from training_moat.core.adapters import ALL_ADAPTED
from training_moat.core.memory import least_recompute_share, training_memory
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.plan import Plan
from training_moat.core.training_step import hardware_flops_per_step, model_flops_per_step
from training_moat.core.units import TERA
from training_moat.core.workload import Transformer, attention_score_flops_per_token, derived_params
from training_moat.predict import attainable, software
from training_moat.predict.records import mapped

SHAPE = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "experts", "experts_per_token")
OF_THE_RUN = (
    *("recompute", "lora_rank", "lora_targets", "inputs_kept", "adapter_bytes", "base_bytes"),
    *("streamed", "orthogonal", "factored"),
)
"""Parts of a plan that are no column of a measured run."""
COLUMNS = {
    "moe_experts": "experts",
    "moe_topk": "experts_per_token",
    "n_chips": "chips",
    "vp_stages": "virtual_stages",
    "zero_fsdp": "sharding",
}
"""Columns of the measurement table that go by other names in the model."""
OF_THE_SOURCE = [
    *("software", "flash_attention", "zero_stage", "sequence_parallel", "tied_embeddings"),
    *("accumulates", "rate_counts", "autocast", "kept_kv", "activation_offload", "loss_chunks"),
    "master_weights",
]
"""What `training_stacks` says of all runs of a source, or of some of them, beside what they recompute."""
BLOOM_BF16_SINCE = "2022-02-28"
"""BLOOM's trials ran in FP16 until its BF16 optimizer was written (chronicles-prequel, "Rebalancing layers")."""


@dataclass(frozen=True)
class Rows:
    """Usable runs as arrays: one model and one plan per row, aligned with `frame`."""

    frame: pd.DataFrame
    model: Transformer
    plan: Plan

    @property
    def measured_seconds(self) -> np.ndarray:
        """Measured step times in seconds."""
        return self.frame["step_seconds"].to_numpy(float)

    def take(self, mask: np.ndarray) -> Rows:
        """The rows where `mask` holds."""
        model, plan = (mapped(one, lambda column: column[mask]) for one in (self.model, self.plan))
        return Rows(self.frame[mask].reset_index(drop=True), model, plan)


def _wide() -> pd.DataFrame:
    table = tables.load("training_measurements").rename(columns=COLUMNS)
    first = table.groupby("config_id", sort=False).first()
    values = table.assign(
        value=np.where(table["unit"] == "ms", table["value"] / 1000, table["value"])
    )
    wide = values.pivot_table(index="config_id", columns="metric", values="value", aggfunc="first")
    return first.drop(columns=["metric", "value", "unit"]).join(wide).reset_index()


@tables.kept(copied=True, lasting=True)
def configurations() -> pd.DataFrame:
    """One row per measured configuration with its metrics as columns and a `reason` where it cannot be used."""
    frame = _wide()
    trial = frame["precision"] == "bf16/fp16"
    sixteen = np.where(frame["date"] < BLOOM_BF16_SINCE, "fp16", "bf16")
    frame["format"] = frame["format"].where(~trial, sixteen)
    frame = _with_stack(frame)
    frame = _with_shape(frame)
    frame = told_plans.with_plan(frame)
    frame["step_seconds"] = _step_seconds(frame)
    frame["reason"] = unusable_training.why(frame, _models(frame), _plans(frame))
    return frame


def families(frame: pd.DataFrame) -> pd.Series:
    """Architecture family of every row's chip."""
    return chip_catalog.families(frame["chip_id"])


def capacity_bytes(frame: pd.DataFrame) -> np.ndarray:
    """Bytes that every row's chip holds."""
    known = chip_catalog.of_rows(frame["chip_id"])
    return known.map(lambda chip: chip.main_memory.capacity_bytes).to_numpy(float)


def gradient_bytes(frame: pd.DataFrame) -> np.ndarray:
    """Bytes of gradient held per weight of every row, by its format, software, sharding and copies of the weights."""
    known = software.all_software()
    kinds = frame[["label", "format", "zero_stage", "master_weights"]].itertuples(index=False)
    return np.array([software.gradient_bytes(known[name], *rest) for name, *rest in kinds])


def lock_box() -> frozenset[str]:
    """Sources that no fit sees: put aside by lot before anything was fitted, or found since the last fit, which they judge."""
    return frozenset(tables.load("lock_box")["source"])


@tables.kept(lasting=True)
def usable() -> Rows:
    """The configurations the model can be compared with and fitted to, as arrays; not those of the lock-box."""
    frame = configurations()
    return rows_of(frame[~frame["source"].isin(lock_box())])


@tables.kept()
def put_aside() -> Rows:
    """The comparable configurations of the lock-box."""
    frame = configurations()
    return rows_of(frame[frame["source"].isin(lock_box())])


def rows_of(frame: pd.DataFrame) -> Rows:
    """Those of some configurations that can be used as arrays, settled where their sources leave settings open."""
    frame = open_settings.settle(frame[frame["reason"] == ""].reset_index(drop=True))
    rows = Rows(frame, _models(frame), _plans(frame))
    return Rows(frame, rows.model, _settle_recomputation(rows))


def words(frame: pd.DataFrame) -> pd.Series:
    """What a line of `training_stacks` on some rows of a source (`row_contains`) is looked for in: a run's model, its place
    in the source and its chip."""
    chip = frame["chip_id"].fillna(frame["chip"]).fillna("")
    return frame["model"].fillna("") + " " + frame["table_ref"].fillna("") + " " + chip


def _with_stack(frame: pd.DataFrame) -> pd.DataFrame:
    """What the sources' software did, where their tables do not say it row by row (table training_stacks)."""
    stacks = tables.load("training_stacks")
    special = stacks["row_contains"].notna()
    general = stacks[~special].reset_index().set_index("training_source")["index"]
    place = frame["source"].map(general)
    text = words(frame)
    for row in stacks[special].itertuples():
        own = text[frame["source"] == row.training_source]
        place[own.index[own.str.contains(row.row_contains, regex=False)]] = row.Index
    told = stacks.reindex(place).set_axis(frame.index)
    joined = frame.join(told[OF_THE_SOURCE])
    joined["recompute"] = joined["recompute"].fillna(told["recompute"])
    joined["released"] = joined["date"].map(dates.middle).fillna(priors.MIDDLE_RELEASE)
    asked = zip(joined["software"], joined["flash_attention"], joined["released"], strict=True)
    found = [
        software.find(name, bool(flash), released) if isinstance(name, str) else None
        for name, flash, released in asked
    ]
    joined["stack"] = [one.stack if one else None for one in found]
    joined["label"] = [one.name if one else None for one in found]
    timed = attainable.machines()
    places = zip(joined["source"], joined["chip_id"], joined["format"], strict=True)
    joined["matmul_flops"] = [timed.get(place, 0.0) for place in places]
    joined["network_bytes_per_s"] = joined["source"].map(_networks()).fillna(0.0)
    return joined


def _networks() -> dict[str, float]:
    """Bytes per second and chip of the network of a source's own machines: of the sources that state it."""
    table = tables.load("training_networks")
    shares = table["gbit_per_s"] * chip_catalog.GBIT / table["chips"]
    return dict(zip(table["training_source"], shares, strict=True))


def _with_shape(frame: pd.DataFrame) -> pd.DataFrame:
    """The row's own sizes; the models table fills the rest (head width, experts, latent attention) where the row names its
    model by `model_id`: a name in words alone may come to mean a model that no fit has met."""
    architectures = model_catalog.all_models()
    identity = frame["model_id"]
    place = pd.Index(list(architectures)).get_indexer(identity)
    fields = [name for name in Transformer.__dataclass_fields__ if name not in ("name", *SHAPE)]
    stated_tie = frame["tied_embeddings"]
    has_experts = frame["experts"].fillna(0).gt(0).to_numpy()
    for name in (*SHAPE, *fields):
        own = frame[name].astype(float) if name in SHAPE else pd.Series(np.nan, index=frame.index)
        sizes = [getattr(known, name) for known in architectures.values()]
        table = pd.Series(np.array([*sizes, None], float)[place], index=frame.index)
        trusted = (
            has_experts & table.notna()
            if name in ("ffn", "experts", "experts_per_token")
            else own.isna()
        )
        frame[name] = own.where(~np.asarray(trusted, bool), table)
    frame["tied_embeddings"] = _tied(stated_tie, frame["tied_embeddings"])
    frame["kv_heads"] = frame["kv_heads"].fillna(frame["heads"])
    frame["head_dim"] = frame["head_dim"].fillna(frame["hidden"] / frame["heads"])
    frame["ffn"] = frame["ffn"].fillna(4 * frame["hidden"])
    frame["dense_layers"] = np.minimum(frame["dense_layers"].fillna(0), frame["layers"].fillna(0))
    for name in (*fields, "experts", "experts_per_token"):
        frame[name] = frame[name].fillna(0).astype(float)
    notes = frame["notes"].fillna("").str
    frame["parallel_norms"] = frame["parallel_norms"].mask(notes.contains("parallel block"), 1.0)
    unknown = identity.isna() & (_off_count(frame, 1.0) < _off_count(frame, 0.0))
    frame["gated_ffn"] = frame["gated_ffn"].mask(unknown, 1.0)
    # A truncated proxy of a published model is not that model's size.
    frame[["params_given", "active_params_given"]] = 0.0
    return frame


def _off_count(frame: pd.DataFrame, gated: float) -> pd.Series:
    """How far the count of a model's weights is from the stated one, its feed-forward blocks `gated` or not."""
    counted = derived_params(_models(frame.assign(gated_ffn=gated)))
    return pd.Series(np.abs(np.log(counted / (frame["params_b"] * 1e9))), index=frame.index)


def _tied(stated: pd.Series, table: pd.Series) -> pd.Series:
    """Whether the output head is the embedding: as the row says, else as the models table does."""
    said = pd.to_numeric(stated, errors="coerce")
    return table.where(said.isna(), said).fillna(0).astype(float)


def _models(frame: pd.DataFrame) -> Transformer:
    names = [name for name in Transformer.__dataclass_fields__ if name != "name"]
    return Transformer(name="rows", **{name: frame[name].to_numpy(float) for name in names})


def _plans(frame: pd.DataFrame) -> Plan:
    own = [name for name in Plan.__dataclass_fields__ if name not in OF_THE_RUN]
    columns = {name: frame[name].to_numpy(float) for name in own}
    columns["lora_rank"] = columns["adapter_bytes"] = np.zeros(len(frame))
    columns["lora_targets"] = columns["inputs_kept"] = np.full(len(frame), float(ALL_ADAPTED))
    columns["orthogonal"] = columns["factored"] = np.zeros(len(frame))
    columns["base_bytes"] = np.full(len(frame), WEIGHT_BYTES)
    streamed = [
        name for name, chip in chip_catalog.all_chips().items() if "training" in chip.streamed
    ]
    columns["streamed"] = frame["chip_id"].isin(streamed).to_numpy(float)
    return Plan(**columns, recompute=frame["recompute_level"].fillna(0).to_numpy(float))


def _settle_recomputation(rows: Rows) -> Plan:
    """Where a source does not state it: none if the run fits its chip without, else as many layers as it must."""
    room, gradient = capacity_bytes(rows.frame), gradient_bytes(rows.frame)
    weigh = lambda plan: training_memory(rows.model, plan, gradient_bytes=gradient).total  # noqa: E731
    redone = rows.frame["recompute_level"].isna().to_numpy() & (weigh(rows.plan) > room)
    share = np.where(
        redone, least_recompute_share(rows.model, rows.plan, weigh, room), rows.plan.recompute_share
    )
    return replace(
        rows.plan, recompute=np.where(redone, 2.0, rows.plan.recompute), recompute_share=share
    )


def _step_seconds(frame: pd.DataFrame) -> pd.Series:
    tokens = frame["global_batch"] * frame["seq_len"]
    seconds = frame["step_time"].copy()
    seconds = seconds.fillna(tokens / (frame["chips"] * frame["tokens_per_s_per_chip"]))
    # MLPerf logs count tokens a second for GPT-3 and sequences a second elsewhere; a token rate is above any of those.
    logged = frame["throughput_log"]
    per_second = logged.where(logged > 5000, logged * frame["seq_len"])
    seconds = seconds.fillna(tokens / per_second)
    model, plan = _models(frame), _plans(frame)
    whole = model_flops_per_step(model, plan)
    # Half of the attention scores, forward and twice backward.
    masked = 1.5 * plan.tokens_per_step * attention_score_flops_per_token(model, plan.seq_len)
    for counts, metric, flops in (
        ("hardware", "hw_tflops_per_gpu", hardware_flops_per_step(model, plan)),
        ("model", "model_tflops_per_gpu", whole),
        ("causal", "model_tflops_per_gpu", whole - masked),
    ):
        rate = frame[metric].where(frame["rate_counts"] == counts)
        seconds = seconds.fillna(flops / (frame["chips"] * rate * TERA))
    return seconds
