"""What must be exchanged, and who can exchange it: traffic by kind, speed against bandwidth and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_stage, measured_makers, measured_training, serving_errors
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core import serving_step as serving_model
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip, Link
from training_moat.core.units import BITS_PER_BYTE, BYTES_PER_VALUE, GB
from training_moat.core.workload import active_params, expert_params_total, params
from training_moat.inquiry.wording import digits
from training_moat.predict import (
    engines,
    serving_batch,
    serving_constants,
    training,
    training_constants,
)

VALUE_BYTES = 2.0
"""Activations and their gradients travel in 16 bit."""
GRADIENT_BYTES = 4.0
"""Gradients are summed in 32 bit."""
FACTORS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""Multiples of a chip's own bandwidth that are tried."""
TARGET = 0.9
"""Share of the speed with an endless network that counts as enough."""
ENDLESS = 1e6
"""Multiple of the bandwidth that stands for an endless network."""

KIND_WORDS = {
    "tensor": "tensor parallel: partial sums within a layer's group",
    "pipeline": "pipeline: activations to the next stage",
    "data": "data parallel: gradients summed over all copies",
    "expert": "expert parallel: tokens to their own experts",
}


def case(
    model: str,
    chip: str,
    chips: int,
    sequence: int,
    global_batch: int,
    *,
    tp: int | None = None,
    pp: int | None = None,
    scaleup_gb_per_s: float | None = None,
    scaleout_gbit_per_s: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A training request, with the chip's links overridden where given."""
    wanted: Any = chip
    override = {
        "scaleup_gb_per_s_per_direction": scaleup_gb_per_s,
        "scaleout_gbit_per_s_per_chip": scaleout_gbit_per_s,
    }
    override = {key: value for key, value in override.items() if value is not None}
    if override:
        wanted = {"base": chip, "id": f"{chip}-varied", **override}
    return {
        "model": model,
        "chip": wanted,
        "chips": chips,
        "seq_len": sequence,
        "global_batch": global_batch,
        "tp": tp,
        "pp": pp,
        **more,
    }


def answers(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Training answers; raises the first error as it would read on the command line."""
    found = training.predict(requests)
    for one in found:
        if not one["ok"]:
            raise InputError(one["error"])
    return found


def traffic(model: str, answer: Mapping[str, Any]) -> pd.DataFrame:
    """Bytes one chip sends per training step, by kind. Columns: kind, what, gb.

    Tensor parallelism: four sums of the activations a layer, forward and backward (Shoeybi et al. 2019), each
    2 (n-1)/n of the tensor. Pipeline: the activations of each micro-batch, forth and back. Data parallelism:
    the chip's gradients, 2 (n-1)/n of them. Experts: each token to its experts and back, forward and backward.
    """
    shape, plan = model_catalog.model(model), answer["plan"]
    tokens = plan["global_batch"] * plan["seq_len"] / plan["dp"] / plan["cp"]
    layers = shape.layers / plan["pp"]
    tensor = 4 * layers * tokens * shape.hidden * VALUE_BYTES * 2 * (plan["tp"] - 1) / plan["tp"]
    crossing = 2 * tokens * shape.hidden * VALUE_BYTES * (1 if plan["pp"] > 1 else 0) / plan["tp"]
    own = (params(shape) - expert_params_total(shape)) / (plan["tp"] * plan["pp"])
    gradients = own * GRADIENT_BYTES * 2 * (plan["dp"] - 1) / plan["dp"]
    routed = (
        shape.moe_layers / plan["pp"] * tokens / plan["tp"] * shape.experts_per_token * shape.hidden
    )
    exchanged = 4 * routed * VALUE_BYTES * (plan["ep"] - 1) / plan["ep"]
    values = {"tensor": tensor, "pipeline": crossing, "data": gradients, "expert": exchanged}
    return pd.DataFrame(
        [(kind, KIND_WORDS[kind], float(value) / GB) for kind, value in values.items()],
        columns=["kind", "what", "gb"],
    )


def over_bandwidth(request: Mapping[str, Any], which: str) -> pd.DataFrame:
    """Training speed against bandwidth of one network (`scaleup` or `scaleout`), the plan chosen anew each time.

    Columns: factor, rate (in the chip table's unit), speed (share of the speed with an endless one). Empty for a
    chip without a published scale-out network; one without a scale-up bandwidth borrows its family's slowest.
    """
    chip = chip_catalog.chip(
        request["chip"] if isinstance(request["chip"], str) else request["chip"]["base"]
    )
    link = chip.scaleup if which == "scaleup" else chip.scaleout
    column = (
        "scaleup_gb_per_s_per_direction" if which == "scaleup" else "scaleout_gbit_per_s_per_chip"
    )
    given = (
        request["chip"]
        if isinstance(request["chip"], Mapping)
        else {"base": chip.id, "id": f"{chip.id}-varied"}
    )
    if link is None and column not in given:
        if which == "scaleout":
            return pd.DataFrame({"factor": [], "rate": [], "speed": []}, dtype=float)
        link = serving_batch.borrowed_link(chip)
    published = 0.0 if link is None else link.bytes_per_s
    own = given.get(
        column, published / GB if which == "scaleup" else published * BITS_PER_BYTE / 1e9
    )
    requests = [
        {**request, "chip": {**given, column: own * factor}} for factor in (*FACTORS, ENDLESS)
    ]
    found = answers(requests)
    best = found[-1]["tokens_per_s"]
    rows = [
        (factor, own * factor, one["tokens_per_s"] / best) for factor, one in zip(FACTORS, found)
    ]
    return pd.DataFrame(rows, columns=["factor", "rate", "speed"])


STAND_IN = "h200"
"""The chip that is shown where the tables lack what the model needs of the chip that was asked for."""


def modelled(model: str, expert_model: str, chip: str) -> tuple[str, str]:
    """(chip to show, why another one): the chip itself, or `STAND_IN` with the reason in words where the model
    can neither train nor serve on it."""
    (answer,) = training.predict([case(model, chip, 1024, 8192, 1024)])
    if not answer["ok"]:
        return STAND_IN, answer["error"]
    try:
        neighbours_only(model, expert_model, chip, sizes=(8,))
    except InputError as error:
        return STAND_IN, str(error)
    return chip, ""


def reach(kinds: pd.DataFrame, plan: Mapping[str, Any]) -> pd.DataFrame:
    """The traffic of a step by kind of exchange, reach and volume.

    kinds: as `traffic`. Adds exchange ("whole group" or "next chip") and beyond (share of the bytes that must
    go further than the next chip: none where a ring adds up and hands on, as in a sum over a group; all but
    the two neighbours' part where every token goes to its own experts).
    """
    group = plan["ep"]
    far = {"expert": max(group - 3, 0) / max(group - 1, 1)}
    exchange = kinds["kind"].map({"pipeline": "next chip"}).fillna("whole group")
    return kinds.assign(exchange=exchange, beyond=kinds["kind"].map(far).fillna(0.0))


def amount_needed(needed: float, curve: pd.DataFrame, unit: str) -> str:
    """A bandwidth that is needed beside what the chip has, in words."""
    if curve.empty:
        return "an unknown amount, since it publishes none"
    own = float(curve.loc[curve["factor"] == 1, "rate"].iloc[0])
    if np.isnan(needed):
        return f"more than {digits(max(FACTORS))} times the {digits(own)} {unit} it has"
    return f"{digits(needed)} {unit} (it has {digits(own)})"


def largest(families: pd.DataFrame) -> pd.DataFrame:
    """The largest run of every family of `scaling`, with growth: how many times its smallest in chips."""
    last = families.sort_values(["family", "chips"], kind="stable").groupby("family").tail(1)
    growth = families.groupby("family")["chips"].agg(lambda sizes: sizes.max() / sizes.min())
    return last.assign(growth=last["family"].map(growth))


def against_constant(last: pd.DataFrame) -> tuple[float, float]:
    """Median error of the predicted speed per chip at scale, and that of a constant: the median of the other
    families. A check that a constant beats is no evidence for the model."""
    measured = last["measured"].to_numpy()
    others = [np.median(np.delete(measured, place)) for place in range(len(measured))]
    model = float((last["predicted"] - last["measured"]).abs().median())
    return model, float(np.median(np.abs(measured - np.array(others))))


def both_curves(scaleup: pd.DataFrame, scaleout: pd.DataFrame) -> pd.DataFrame:
    """The two curves below one another, with the network in a column."""
    return pd.concat(
        [scaleup.assign(network="scale-up"), scaleout.assign(network="scale-out")],
        ignore_index=True,
    )


def needed_for(curve: pd.DataFrame, target: float = TARGET) -> float:
    """Bandwidth at which the curve reaches `target`, interpolated in the logarithm; NaN where it never does."""
    reached = curve["speed"].to_numpy()
    above = np.flatnonzero(reached >= target)
    if not len(above):
        return float("nan")
    first = above[0]
    if first == 0:
        return float(curve["rate"].iloc[0])
    low, high = reached[first - 1], reached[first]
    share = (target - low) / max(high - low, 1e-12)
    rates = np.log(curve["rate"].to_numpy())
    return float(np.exp(rates[first - 1] + share * (rates[first] - rates[first - 1])))


LARGE_CHIPS = (
    "a100-80",
    "h100-sxm",
    "h800",
    "b200",
    "gb200",
    "mi300x",
    "mi355x",
    "tpu-v5p",
    "tpu-v7",
    "trainium1",
    "trainium2",
    "gaudi2",
    "gaudi3",
    "ascend-910b",
    "ascend-910c",
    "blackhole",
    "wormhole",
    "bow-ipu",
)
"""Chips with a published peak and scale-up link whose need for bandwidth is compared."""


SIMPLE = {"micro_batch": 1, "virtual_stages": 1, "zero_stage": 1}
"""Settings that are the same for all chips in the comparison."""


def bandwidth_needs(
    model: str, sequence: int, global_batch: int, chips: int, wanted: Sequence[str] = LARGE_CHIPS
) -> pd.DataFrame:
    """Scale-up bandwidth each chip needs for 90% of its speed with an endless one, beside what it has.

    Columns: name, vendor, has, needs (GB/s per direction), surplus (has over needs). The layout is the fastest
    on the chip's own links and stays the same. Chips on which the model does not fit are left out.
    """
    rows = []
    for name in wanted:
        chip = chip_catalog.chip(name)
        (best,) = training.predict([case(model, name, chips, sequence, global_batch, **SIMPLE)])
        if not best["ok"] or not best["fits"]:
            continue
        fixed = SIMPLE | {
            key: best["plan"][key] for key in ("tp", "pp", "dp", "cp", "ep", "recompute")
        }
        curve = over_bandwidth(case(model, name, chips, sequence, global_batch, **fixed), "scaleup")
        has, needs = chip.scaleup.bytes_per_s / GB, needed_for(curve)
        rows.append((chip.name, chip.vendor, has, needs, has / needs))
    return pd.DataFrame(rows, columns=["name", "vendor", "has", "needs", "surplus"])


def scaling(min_points: int = 3) -> pd.DataFrame:
    """Measured scaling families beside the model: speed per chip relative to the family's smallest run.

    Columns: family, chip, model, chips, measured, predicted, source. Families of the scaling table whose
    configurations the training model can predict, with at least `min_points` sizes.
    """
    families = tables.load("scaling_measurements")
    usable = measured_training.usable()
    seconds = fit_stage.predict_rows(usable, training_constants.load())
    frame = usable.frame.assign(predicted_s=seconds)[
        ["config_id", "predicted_s", "step_seconds", "global_batch", "seq_len"]
    ]
    joined = families.dropna(subset=["efficiency_vs_smallest"]).merge(frame, on="config_id")
    joined = joined.drop_duplicates(["family_id", "n_chips"])
    joined["work"] = joined["global_batch"] * joined["seq_len"] / joined["n_chips"]
    rows = []
    for family, group in joined.groupby("family_id"):
        group = group.sort_values("n_chips", kind="stable")
        if len(group) < min_points:
            continue
        measured = group["work"] / group["step_seconds"]
        predicted = group["work"] / group["predicted_s"]
        rows.append(
            pd.DataFrame(
                {
                    "family": family,
                    "chip": group["chip_id"],
                    "model": group["model"],
                    "chips": group["n_chips"],
                    "measured": measured / measured.iloc[0],
                    "predicted": predicted / predicted.iloc[0],
                    "source": group["source"],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


NEIGHBOUR, SWITCHED = "ring", "switched"
"""A chip that talks to the next one only, and one behind a switch."""


def _with_network(chip: Chip, topology: str) -> Chip:
    link = chip.scaleup
    return replace(
        chip,
        scaleup=Link(link.bytes_per_s, link.latency_s, max(link.domain_chips or 0, 64), topology),
    )


LAYOUTS = {
    "dense, pipeline": ("dense", lambda n: serving_model.ServingPlan(1, n, 1, 1, 1)),
    "dense, tensor parallel": ("dense", lambda n: serving_model.ServingPlan(n, 1, 1, 1, n)),
    "experts over the group": ("experts", lambda n: serving_model.ServingPlan(1, 1, n, n, 1)),
}
"""Ways to serve on n chips, and which of the two models they serve."""


def neighbours_only(
    dense: str,
    experts: str,
    chip: str,
    sizes: Sequence[int] = (8, 16, 32, 64),
    per_chip: int = 16,
    sequence: int = 1024,
    latency_us: float | None = None,
) -> pd.DataFrame:
    """Serving with links to the next chip only, against the same links behind a switch, at several group sizes.

    Columns: layout, chips, kb_per_token (sent by all chips for an output token), reach (share of those bytes
    that go further than the next chip), switched and neighbour (tokens/s), lost (share of the tokens/s). Links
    are equally fast; a ring passes a byte on until it arrives. `per_chip` sequences a chip are served. Sizes at
    which the model does not fit are left out.
    """
    base = chip_catalog.chip(chip)
    base = (
        base
        if base.scaleup is not None
        else replace(base, scaleup=serving_batch.borrowed_link(base))
    )
    latency_s = None if latency_us is None else latency_us * 1e-6
    rows = []
    for layout, (which, plan_of) in LAYOUTS.items():
        model = model_catalog.model(dense if which == "dense" else experts)
        for size in sizes:
            plan = plan_of(size)
            if model.heads % plan.tp or (model.experts and model.experts % plan.ep):
                continue
            load = (per_chip * size, sequence, latency_s)
            switched = _tokens_per_s(model, _with_network(base, SWITCHED), plan, *load)
            ring = _tokens_per_s(model, _with_network(base, NEIGHBOUR), plan, *load)
            if switched is not None:
                sent, reach = _sent_per_token(model, plan, layout, size)
                rows.append((layout, size, sent / 1e3, reach, switched, ring, 1 - ring / switched))
    columns = ["layout", "chips", "kb_per_token", "reach", "switched", "neighbour", "lost"]
    return pd.DataFrame(rows, columns=columns)


def _tokens_per_s(
    model: Any,
    chip: Chip,
    plan: serving_model.ServingPlan,
    batch: int,
    sequence: int,
    latency_s: float | None,
) -> float | None:
    """Output tokens per second in 8 bit, or None where the caches of the batch find no room. `latency_s`
    replaces the measured time of a step without payload."""
    known = serving_constants.stored()
    engine = engines.usual_engine(chip, known)
    question = serving_batch.Question(
        model, chip, engine, "fp8", "bf16", batch, sequence, sequence, plan
    )
    (prepared,) = serving_batch.batches([question])
    if latency_s is not None:
        links = replace(prepared.scaleup, step_latency_s=latency_s, bulk_step_latency_s=latency_s)
        prepared = replace(prepared, scaleup=links)
    told = serving_batch.evaluate(prepared, known.resolve(prepared.families, prepared.engines))
    return float(told.tokens_per_s[0]) if told.running[0] >= batch else None


def _sent_per_token(
    model: Any, plan: serving_model.ServingPlan, layout: str, chips: int
) -> tuple[float, float]:
    """(bytes all chips send per output token, share that must reach beyond the next chip)."""
    width = model.hidden * VALUE_BYTES
    if layout == "dense, pipeline":
        return float((plan.pp - 1) * width), 0.0
    if layout == "dense, tensor parallel":
        return float(2 * model.layers * 2 * (chips - 1) * width), 0.0  # a ring adds up and hands on
    away = (chips - 1) / chips
    return float(model.moe_layers * 2 * model.experts_per_token * away * width), (chips - 3) / (
        chips - 1
    )


def natural_experiment() -> pd.DataFrame:
    """Inferentia2 and Trainium1, the same models and loads: measured and predicted milliseconds per token.

    Columns: job (in words), model, precision, input_len, output_len, batch, chip, chips, measured_ms, predicted_ms, chip_ms (measured times
    chips: the chip-time one token takes).
    """
    from training_moat.calibrate import serving_errors

    rows = serving_errors.rows()
    rows = rows[rows["chip"].isin(["inferentia2", "trainium1"])]
    keys = ["model", "precision", "input_len", "output_len", "batch"]
    both = rows.groupby(keys)["chip"].transform("nunique") == 2
    shown = rows[both].assign(chips=rows["tp"], chip_ms=rows["measured_ms"] * rows["tp"])
    whole = shown[["batch", "input_len", "output_len"]].astype(int).astype(str)
    shown["job"] = (
        shown["model"]
        + ", "
        + whole["batch"]
        + " users, "
        + whole["input_len"]
        + " in, "
        + whole["output_len"]
        + " out"
    )
    columns = ["job", *keys, "chip", "chips", "measured_ms", "predicted_ms", "chip_ms", "source"]
    return shown.sort_values([*keys, "chip"], kind="stable")[columns]


def single_user_speeds() -> pd.DataFrame:
    """The challengers' published speeds for one user at a time beside the model on the same machine, and the
    ceiling of its memory. Chips and formats that a source leaves open are filled as in `measured_makers`.

    Columns: chip, model, measured, predicted, ceiling (tokens/s if the weights are read once per token at the
    published bandwidth and nothing else takes time), chips, source.
    """
    told = serving_errors.makers()
    told = told[told["users"] == 1]
    formats = measured_makers.rows().rename(columns={"tokens_per_s_user": "published"})
    keys = ["chip", "model", "published", "source"]
    frame = told.merge(formats[[*keys, "precision"]].drop_duplicates(keys), on=keys)
    rates = frame["chip"].map(lambda name: _fast_rate(chip_catalog.chip(name)))
    read = [_read_per_token(row.model, row.precision) for row in frame.itertuples()]
    frame = frame.assign(ceiling=frame["chips"] * rates / read)
    frame = frame.rename(columns={"published": "measured"})
    return frame[["chip", "model", "measured", "predicted", "ceiling", "chips", "source"]]


def _fast_rate(chip: Chip) -> float:
    """Bandwidth of the memory that holds weights when there is room: HBM, else on-chip."""
    known = {tier.name: tier.bytes_per_s for tier in chip.tiers if tier.bytes_per_s}
    return known.get("hbm") or known.get("sram") or known["ddr"]


def _read_per_token(model: str, precision: str) -> float:
    """Bytes of weights one token touches."""
    return float(active_params(model_catalog.model(model))) * BYTES_PER_VALUE[precision]
