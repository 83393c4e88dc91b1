"""Serving over links that reach the next chip only: what it costs, and what published runs say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from training_moat.calibrate import measured_makers, serving_errors
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import relatives
from training_moat.core import serving_step as serving_model
from training_moat.core.machine import Chip
from training_moat.core.plan import STREAM_BYTES
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.core.workload import Transformer, active_params
from training_moat.inquiry import naming
from training_moat.inquiry.wording import listed
from training_moat.predict import engines, serving_batch, serving_constants

SEQUENCES_PER_CHIP, SEQUENCE = 16, 1024
"""Sequences that every chip serves at once, and tokens of prompt and of answer of each."""
NEIGHBOUR, SWITCHED = "ring", "switched"
"""A chip that talks to the next one only, and one behind a switch."""


def _with_network(chip: Chip, topology: str) -> Chip:
    link = relatives.link(chip, "scaleup")
    return replace(
        chip, scaleup=replace(link, domain_chips=max(link.domain_chips or 0, 64), topology=topology)
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
    latency_us: float | None = None,
) -> pd.DataFrame:
    """Serving with links to the next chip only, against the same links behind a switch, at several group sizes.

    Columns: layout, chips, kb_per_token (sent by all chips for an output token), reach (share of those bytes
    that go further than the next chip), switched and neighbour (tokens/s), lost (share of the tokens/s). Links
    are equally fast; a ring passes a byte on until it arrives. `SEQUENCES_PER_CHIP` are served at once. Sizes at
    which the model does not fit are left out.
    """
    base = relatives.joined(chip_catalog.chip(chip))
    latency_s = None if latency_us is None else latency_us * 1e-6
    rows = []
    for layout, (which, plan_of) in LAYOUTS.items():
        model = model_catalog.model(dense if which == "dense" else experts)
        for size in sizes:
            plan = plan_of(size)
            if model.heads % plan.tp or (model.experts and model.experts % plan.ep):
                continue
            load = (SEQUENCES_PER_CHIP * size, SEQUENCE, latency_s)
            switched = _tokens_per_s(model, _with_network(base, SWITCHED), plan, *load)
            ring = _tokens_per_s(model, _with_network(base, NEIGHBOUR), plan, *load)
            if switched is not None and ring is not None:
                sent, reach = _sent_per_token(model, plan, layout, size)
                rows.append((layout, size, sent / 1e3, reach, switched, ring, 1 - ring / switched))
    columns = ["layout", "chips", "kb_per_token", "reach", "switched", "neighbour", "lost"]
    return pd.DataFrame(rows, columns=columns)


def _tokens_per_s(
    model: Transformer,
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
    model: Transformer, plan: serving_model.ServingPlan, layout: str, chips: int
) -> tuple[float, float]:
    """(bytes all chips send per output token, share that must reach beyond the next chip)."""
    width = model.hidden * STREAM_BYTES
    if layout == "dense, pipeline":
        return float((plan.pp - 1) * width), 0.0
    if layout == "dense, tensor parallel":
        return float(2 * model.layers * 2 * (chips - 1) * width), 0.0  # a ring adds up and hands on
    sent = model.moe_layers * 2 * model.experts_per_token * (chips - 1) / chips * width
    return float(sent), (chips - 3) / (chips - 1)


def natural_experiment() -> pd.DataFrame:
    """Inferentia2 and Trainium1, the same models and loads: measured and predicted milliseconds per token.

    Columns: job (in words), model, precision, input_len, output_len, batch, chip, name, chips, measured_ms, predicted_ms,
    chip_ms (measured times chips: the chip-time one token takes).
    """
    rows = serving_errors.rows()
    rows = rows[rows["chip"].isin(["inferentia2", "trainium1"])]
    keys = ["model", "precision", "input_len", "output_len", "batch"]
    both = rows.groupby(keys)["chip"].transform("nunique") == 2
    shown = rows[both].assign(chips=rows["tp"], chip_ms=rows["measured_ms"] * rows["tp"])
    whole = shown[["batch", "input_len", "output_len"]].astype(int).astype(str)
    load = whole["input_len"] + " in, " + whole["output_len"] + " out"
    users = shown["model"].map(naming.name_of) + ", " + whole["batch"] + " users, "
    shown["job"] = users + load
    shown["name"] = shown["chip"].map(naming.name_of)
    columns = [
        "job",
        *keys,
        "chip",
        "name",
        "chips",
        "measured_ms",
        "predicted_ms",
        "chip_ms",
        "source",
    ]
    return shown.sort_values([*keys, "chip"], kind="stable")[columns]


FAR_ABOVE = 100
"""A ceiling so many times the published speed says that reading the weights is not what takes the time."""


def unread_words(speeds: pd.DataFrame) -> str:
    """Whose ceiling (`single_user_speeds`) lies so far above the published speed that it says nothing, in a sentence."""
    far = speeds[speeds["ceiling"] > FAR_ABOVE * speeds["measured"]]
    if far.empty:
        return ""
    return (
        f"For {listed(sorted(set(far['chip'])))}, which keep the weights on the chip, the ceiling lies more than {FAR_ABOVE} times "
        "above what they publish. Reading weights is not what takes their time."
    )


def single_user_speeds() -> pd.DataFrame:
    """The challengers' published speeds for one user at a time beside the model on the same machine, and the
    ceiling of its memory. Chips and formats that a source leaves open are filled as in `measured_makers`.

    Columns: chip, model, measured, predicted, ceiling (tokens/s if the weights are read once per token at the
    published bandwidth and nothing else takes time), chips, gaps (what the source does not state), source.
    """
    told = serving_errors.makers()
    told = told[told["users"] == 1]
    formats = measured_makers.rows().rename(columns={"tokens_per_s_user": "published"})
    keys = ["chip", "model", "published", "source"]
    frame = told.merge(formats[[*keys, "precision"]].drop_duplicates(keys), on=keys)
    rates = chip_catalog.of_rows(frame["chip"]).map(_fast_rate)
    read = [_read_per_token(row.model, row.precision) for row in frame.itertuples()]
    frame = frame.assign(ceiling=frame["chips"] * rates / read)
    frame = frame.rename(columns={"published": "measured"})
    return frame[["chip", "model", "measured", "predicted", "ceiling", "chips", "gaps", "source"]]


def _fast_rate(chip: Chip) -> float:
    """Bandwidth of the memory that holds weights when there is room: HBM, else on-chip."""
    known = {tier.name: tier.bytes_per_s for tier in chip.tiers if tier.bytes_per_s}
    return known.get("hbm") or known.get("sram") or known["ddr"]


def _read_per_token(model: str, precision: str) -> float:
    """Bytes of weights one token touches."""
    return float(active_params(model_catalog.model(model))) * BYTES_PER_VALUE[precision]
