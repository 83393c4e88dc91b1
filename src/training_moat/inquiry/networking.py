"""What must be exchanged, and who can exchange it: traffic by kind, speed against bandwidth and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_stage, measured_training
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import descriptor, relatives, tables
from training_moat.core.errors import InputError
from training_moat.core.units import GB
from training_moat.inquiry import neighbours
from training_moat.inquiry.uncertainty import jeffreys
from training_moat.inquiry.wording import digits, percent
from training_moat.predict import training, training_constants

FACTORS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""Multiples of a chip's own bandwidth that are tried."""
FAR_FACTORS = tuple(2.0**power for power in range(-12, 13))
"""The same as far down and up as a chip can have too much or too little: where a need is sought, not drawn."""
TARGET = 0.9
"""Share of the speed with an endless network that counts as enough."""
ENDLESS = 1e4
"""Multiple of the bandwidth that stands for an endless network."""

KIND_WORDS = {
    "tensor_parallel": "tensor parallel: partial sums within a layer's group",
    "pipeline": "pipeline: activations to the next stage",
    "data_parallel": "data parallel: gradients summed over all copies",
    "expert_parallel": "expert parallel: tokens to their own experts",
}


RATES = {
    "scaleup": ("scaleup_gb_per_s_per_direction", GB),
    "scaleout": ("scaleout_gbit_per_s_per_chip", chip_catalog.GBIT),
}
"""Column of each network's bandwidth in the chips table, and its unit in bytes a second."""


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
    rates = {"scaleup": scaleup_gb_per_s, "scaleout": scaleout_gbit_per_s}
    override = {RATES[which][0]: value for which, value in rates.items() if value is not None}
    if override:
        wanted = {"base": chip, "id": f"{chip}-varied", **override}
    asked = {"model": model, "chip": wanted, "chips": chips, "seq_len": sequence}
    return asked | {"global_batch": global_batch, "tp": tp, "pp": pp} | more


def answers(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Training answers; raises the first error as it would read on the command line."""
    found = training.predict(requests)
    for one in found:
        if not one["ok"]:
            raise InputError(one["error"])
    return found


def traffic(request: Mapping[str, Any]) -> pd.DataFrame:
    """Bytes one chip sends per step of a request's best plan, by kind: those whose seconds the model counts
    (`core.messages`). Columns: kind, what, gb."""
    sent = training.sent_bytes(request)
    rows = [(kind, KIND_WORDS[kind], sent[kind] / GB) for kind in KIND_WORDS]
    return pd.DataFrame(rows, columns=["kind", "what", "gb"])


def over_bandwidth(
    request: Mapping[str, Any], which: str, factors: Sequence[float] = FACTORS
) -> pd.DataFrame:
    """Training speed against bandwidth of one network (`scaleup` or `scaleout`), the plan chosen anew each time.

    Columns: factor, rate (in the chip table's unit), speed (share of the speed with an endless one). Empty for a
    chip without a published scale-out network; one without a scale-up bandwidth borrows its family's slowest.
    """
    given = _varied(request)
    chip = chip_catalog.chip(given["base"])
    column, _ = RATES[which]
    if which == "scaleout" and chip.scaleout is None and column not in given:
        return pd.DataFrame({"factor": [], "rate": [], "speed": []}, dtype=float)
    own = _own_rate(given, which)
    tried = [min(own * factor, _largest(column)) for factor in (*factors, ENDLESS)]
    found = answers([{**request, "chip": {**given, column: rate}} for rate in tried])
    best = found[-1]["tokens_per_s"]
    rows = [
        (factor, own * factor, one["tokens_per_s"] / best) for factor, one in zip(factors, found)
    ]
    return pd.DataFrame(rows, columns=["factor", "rate", "speed"])


def _varied(request: Mapping[str, Any]) -> dict[str, Any]:
    """The chip of a request as columns over a chip of the table."""
    asked = request["chip"]
    return {"base": asked, "id": f"{asked}-varied"} if isinstance(asked, str) else dict(asked)


def _own_rate(given: Mapping[str, Any], which: str) -> float:
    """Rate of a chip's links in the chip table's unit: as its columns give it, else published, else the likely one."""
    column, unit = RATES[which]
    if column in given:
        return float(given[column])
    return relatives.link(chip_catalog.chip(given["base"]), which).bytes_per_s / unit


SHAPES = {"switched": "switched", "near": "torus3d"}
"""One network for all chips of a run: behind a switch, or with links to the next chips on three axes and none between
others, as Google joins the chips of a pod."""
THINNER = (1, 1 / 2, 1 / 4, 1 / 8)
"""Multiples of a chip's own links at which the two are compared; an eighth is about what leads out of a box of H100."""


def without_switch(request: Mapping[str, Any]) -> pd.DataFrame:
    """Training over links to the next chips alone against the same links behind a switch, the plan chosen anew for each.

    All chips of the run lie in one network, at several rates of its links. Columns: rate (GB/s a chip and direction),
    switched and near (seconds of a step), lost (share of the speed that is lost without the switch), waits_switched and
    waits_near (shares of the step spent waiting for gradients and weights). Empty where the run cannot be told on the chip;
    rates at which it does not fit are left out.
    """
    given = _varied(request)
    column, own = RATES["scaleup"][0], _own_rate(given, "scaleup")
    joined = {"scaleup_domain_chips": max(int(request["chips"]), 2)}
    rates = [own * factor for factor in THINNER]
    asked = [
        {**request, "chip": {**given, **joined, column: rate, "scaleup_topology": shape}}
        for rate in rates
        for shape in SHAPES.values()
    ]
    found = training.predict(asked)
    rows = [
        (rate, *(one["step_time_s"] for one in pair), *map(_waits, pair))
        for rate, pair in zip(rates, zip(found[::2], found[1::2], strict=True), strict=True)
        if all(one["ok"] and one["fits"] for one in pair)
    ]
    columns = ["rate", *SHAPES, *(f"waits_{name}" for name in SHAPES)]
    frame = pd.DataFrame(rows, columns=columns, dtype=float)
    return frame.assign(lost=1 - frame["switched"] / frame["near"])


def _waits(answer: Mapping[str, Any]) -> float:
    """Share of a step in which chips wait for gradients and weights of other copies."""
    return float(answer["seconds"]["data_parallel"] / answer["step_time_s"])


def _largest(column: str) -> float:
    """The largest rate that the chips table takes in a column, as good as endless."""
    (field,) = (one for one in descriptor.fields("chips") if one["name"] == column)
    return float(field["constraints"]["maximum"])


STAND_IN = "h200"
"""The chip that is shown where the tables lack what the model needs of the chip that was asked for."""


def modelled(model: str, expert_model: str, chip: str) -> tuple[str, str]:
    """(chip to show, why another one): the chip itself, or `STAND_IN` with the reason in words where the model
    can neither train nor serve on it."""
    (answer,) = training.predict([case(model, chip, 1024, 8192, 1024)])
    if not answer["ok"]:
        return STAND_IN, answer["error"]
    try:
        neighbours.neighbours_only(model, expert_model, chip, sizes=(8,))
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
    far = {"expert_parallel": max(group - 3, 0) / max(group - 1, 1)}
    exchange = kinds["kind"].map({"pipeline": "next chip"}).fillna("whole group")
    return kinds.assign(exchange=exchange, beyond=kinds["kind"].map(far).fillna(0.0))


def amount_needed(needed: float, curve: pd.DataFrame, unit: str) -> str:
    """A bandwidth that is needed beside what the chip has, in words."""
    if curve.empty:
        return "an unknown amount, since it publishes none"
    own = float(curve.loc[curve["factor"] == 1, "rate"].iloc[0])
    if np.isnan(needed):
        return f"more than {digits(max(FACTORS))} times the {digits(own)} {unit} it has"
    most = "at most " if needed <= curve["rate"].min() else ""  # no thinner network was tried
    return f"{most}{digits(needed)} {unit} (it has {digits(own)})"


KEPT = 0.1
"""Share of the speed from which on a plan has kept it when links were cut to a sixty-fourth: several times what is left to a
run that waits for its links alone."""


def adapts(speed: float) -> bool:
    """Whether a share of the speed that is left with a sixty-fourth of the links is the plan's doing."""
    return speed >= KEPT


def kept(speed: float) -> str:
    """The share of the speed that is left with a sixty-fourth of the links, in words."""
    if adapts(speed):
        return f"it still keeps {percent(speed)}, because the layout moves to what the network can carry"
    return f"it keeps {percent(speed)}, whatever the layout"


def largest(families: pd.DataFrame) -> pd.DataFrame:
    """The largest run of every family of `scaling`, with growth: how many times its smallest in chips."""
    last = families.sort_values(["family", "chips"], kind="stable").groupby("family").tail(1)
    growth = families.groupby("family")["chips"].agg(lambda sizes: sizes.max() / sizes.min())
    return last.assign(growth=last["family"].map(growth))


class AgainstConstant(NamedTuple):
    """How the predicted speed per chip at scale does beside a constant, the median of the other families.

    `model` and `constant` are median errors, `nearer` the families for which the prediction lies nearer than the constant,
    `speaks` whether more than half of all such families would be, by the low end of the interval of their share: a check
    that a constant does as well in is no evidence for the model.
    """

    model: float
    constant: float
    nearer: int
    speaks: bool


def against_constant(last: pd.DataFrame) -> AgainstConstant:
    """The predicted speed per chip of each family's largest run held against a constant."""
    measured = last["measured"].to_numpy()
    others = [np.median(np.delete(measured, place)) for place in range(len(measured))]
    model = (last["predicted"] - last["measured"]).abs().to_numpy()
    constant = np.abs(measured - np.array(others))
    nearer = int((model < constant).sum())
    speaks = bool(jeffreys(nearer, len(last)).p05 > 0.5)
    return AgainstConstant(float(np.median(model)), float(np.median(constant)), nearer, speaks)


def both_curves(scaleup: pd.DataFrame, scaleout: pd.DataFrame) -> pd.DataFrame:
    """The two curves below one another, with the network in a column."""
    return pd.concat(
        [scaleup.assign(network="scale-up"), scaleout.assign(network="scale-out")],
        ignore_index=True,
    )


def needed_for(curve: pd.DataFrame) -> float:
    """Bandwidth at which the curve reaches `TARGET`, interpolated in the logarithm; NaN where it never does."""
    reached = curve["speed"].to_numpy()
    above = np.flatnonzero(reached >= TARGET)
    if not len(above):
        return float("nan")
    first = above[0]
    if first == 0:
        return float(curve["rate"].iloc[0])
    low, high = reached[first - 1], reached[first]
    share = (TARGET - low) / max(high - low, 1e-12)
    rates = np.log(curve["rate"].to_numpy())
    return float(np.exp(rates[first - 1] + share * (rates[first] - rates[first - 1])))


LARGEST_MESH = 64
"""Chips that a mesh may join to be what the model takes a mesh for, a link between every two (those built join eight)."""


def compared_chips() -> list[str]:
    """Chips with a published scale-up link and 16-bit peak: those whose need for bandwidth is compared with what they have.
    Left out are those whose mesh joins more than `LARGEST_MESH`: it has switches or steps that the model does not know."""
    known = chip_catalog.all_chips().items()
    linked = [(name, chip.scaleup) for name, chip in known if relatives.wide_format(chip)]
    return [
        name
        for name, link in linked
        if link and (link.topology != "mesh" or (link.domain_chips or 0) <= LARGEST_MESH)
    ]


LEAST_SIZES = 3
"""Sizes of a cluster that make a family whose scaling can be told."""

SIMPLE = {"micro_batch": 1, "virtual_stages": 1, "zero_stage": 1}
"""Settings that are the same for all chips in the comparison."""


def bandwidth_needs(model: str, sequence: int, global_batch: int, chips: int) -> pd.DataFrame:
    """Scale-up bandwidth each of `compared_chips` needs for 90% of its speed with an endless one, beside what it has.

    Columns: name, vendor, has, needs (GB/s per direction), surplus (has over needs). The layout is the fastest
    on the chip's own links and stays the same. Chips on which the model does not fit are left out.
    """
    rows = []
    for name in compared_chips():
        chip = chip_catalog.chip(name)
        (best,) = training.predict([case(model, name, chips, sequence, global_batch, **SIMPLE)])
        if not best["ok"] or not best["fits"]:
            continue
        fixed = SIMPLE | {
            key: best["plan"][key] for key in ("tp", "pp", "dp", "cp", "ep", "recompute")
        }
        run = case(model, name, chips, sequence, global_batch, **fixed)
        needs = needed_for(over_bandwidth(run, "scaleup", FAR_FACTORS))
        has = chip.scaleup.bytes_per_s / GB if chip.scaleup else np.nan
        rows.append((chip.name, chip.vendor, has, needs, has / needs))
    return pd.DataFrame(rows, columns=["name", "vendor", "has", "needs", "surplus"])


def kept_at_scale() -> pd.DataFrame:
    """Measured speed per chip of every family's largest run over its smallest, whether the model can predict it or not. A
    largest run that several families share counts once, with the family that grew most.

    Columns: family, chip, model, chips, growth, scaling (weak: as much work for each chip at every size; strong: one job,
    split ever finer), measured, source.
    """
    runs = tables.load("scaling_measurements").rename(
        columns={"family_id": "family", "chip": "chip_name", "chip_id": "chip", "n_chips": "chips"}
    )
    last = largest(runs.dropna(subset="efficiency_vs_smallest"))
    last = last.rename(columns={"efficiency_vs_smallest": "measured"})
    last = last.sort_values(["growth", "family"], ascending=[False, True], kind="stable")
    last = last.drop_duplicates(["chip", "model", "chips", "metric", "value"])
    columns = ["family", "chip", "model", "chips", "growth", "scaling", "measured", "source"]
    return last[columns].sort_values("family", kind="stable", ignore_index=True)


def scaling() -> pd.DataFrame:
    """Measured scaling families beside the model: speed per chip relative to the family's smallest run.

    Columns: family, chip, model, chips, measured, predicted, source. Families of the scaling table whose
    configurations the training model can predict, with at least `LEAST_SIZES` sizes.
    """
    families = tables.load("scaling_measurements")
    usable = measured_training.usable()
    seconds = fit_stage.predict_rows(usable, training_constants.load())
    frame = usable.frame.assign(predicted_s=seconds)[
        ["config_id", "predicted_s", "step_seconds", "global_batch", "seq_len"]
    ]
    joined = families.dropna(subset=["efficiency_vs_smallest"]).merge(frame, on="config_id")
    joined = joined.drop_duplicates(["family_id", "n_chips"])
    joined = joined.sort_values(["family_id", "n_chips"], kind="stable")
    joined = joined[joined.groupby("family_id")["n_chips"].transform("size") >= LEAST_SIZES]
    work = joined["global_batch"] * joined["seq_len"] / joined["n_chips"]
    speeds = {name: work / joined[name] for name in ("step_seconds", "predicted_s")}
    first = {
        name: speed.groupby(joined["family_id"]).transform("first")
        for name, speed in speeds.items()
    }
    rises = {name: speed / first[name] for name, speed in speeds.items()}
    told = {"measured": rises["step_seconds"], "predicted": rises["predicted_s"]}
    names = {"family_id": "family", "chip_id": "chip", "n_chips": "chips"}
    columns = ["family", "chip", "model", "chips", "measured", "predicted", "source"]
    found = joined.drop(columns=["chip", "chips"], errors="ignore").rename(columns=names)
    return found.assign(**told)[columns].reset_index(drop=True)
