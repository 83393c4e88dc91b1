"""The asker's own runs as evidence: how far the model is off on their machine, and how much that says about the next run.

Runs of one cluster share an error (clocks, power limits, tuning), runs whose settings are alike share more (the same
kernels, the same exchanges), and each has one of its own. The log errors of own runs are draws of three random effects,
with the scatters of clusters about the model, `between`, of settings within a cluster, `setting`, and of a run, `run`:

    cov(e_i, e_j) = between^2 + setting^2 exp(-d_ij^2 / 2) + run^2 [i = j]

where d is the distance of two settings (`settings`: sizes, layout, and into which parts the step's time goes; a Gaussian
process: Rasmussen and Williams 2006, section 2.2). The shift of the next run is its mean given the own runs' errors, and
what is left of its variance follows. An error beyond `FAR` scatters counts as far as the settings are alike: a run that went
wrong for reasons of its own says little of others. Runs that differ among themselves by more than that scatter by far
(`disagreement`) contradict each other, and leave an interval that is as many times wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_moat.core.elementwise import Number
from training_moat.core.errors import InputError
from training_moat.core.plan import Plan
from training_moat.core.training_step import StepTime
from training_moat.core.workload import Transformer
from training_moat.predict import requests
from training_moat.predict.training_constants import Scatter
from training_moat.predict.training_plans import FIELDS, TrainingCase, parse

MOST_ANCHORS = 64
OWN_FIELDS = tuple(
    name
    for name in FIELDS
    if name not in ("id", "anchors", "price_usd_per_chip_hour", "tokens_b", "goodput")
)
"""Fields that an anchor may carry; those it leaves out are the case's."""


FAR = 1.5
"""Scatters beyond which the error of a run counts no further for another (the bound that Huber 1964 gives robust
means)."""
ALLOWED = 5.0
"""How many times their scatter runs may differ: as many as physics asks of a discovery. Of two published runs of one machine
one pair in seventy differs by more."""
SLIP = 50.0
"""How many times the predicted seconds, or what part of them, no run takes: it is told in another unit."""
DOUBLINGS = 3.0
"""How many doublings of one of a setting's sizes set two runs one unit of distance apart: about where the errors of runs on
one machine are likeliest; from two to four they hardly say."""
SHARES = 4.0
"""Units of distance between a step that is all of one part and one without it: runs whose time goes into the same parts err
alike. The errors of runs on one machine are likeliest at four to seven."""


def settings(model: Transformer, plan: Plan, value_bytes: Number, step: StepTime) -> np.ndarray:
    """What may make two runs on one machine err differently, a line for each: coordinates between which distances count.
    Recomputing all layers lies one unit from recomputing none. `step`: the predicted seconds by part."""
    sizes = (
        model.layers * model.hidden**2,
        plan.seq_len,
        plan.micro_tokens,
        plan.tp,
        plan.pp,
        plan.ep,
        plan.chips,
        plan.micro_batches,
        value_bytes,
    )
    lines = [np.log2(np.asarray(size, float)) / DOUBLINGS for size in sizes]
    lines.append(np.asarray(plan.recomputed_layers, float))
    whole = np.asarray(step.total, float)
    lines += [SHARES * np.asarray(seconds, float) / whole for seconds in vars(step).values()]
    return np.array(np.broadcast_arrays(*lines)).reshape(len(lines), -1)


def alike(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """By pair of settings, the share of the errors of settings that both have: one where they are the same."""
    apart = some[:, :, None] - others[:, None, :]
    return np.exp(-0.5 * (apart**2).sum(axis=0))


@dataclass(frozen=True)
class Shift:
    """What own runs say: the factor on the predicted seconds, the share of the interval's width (in logarithms) left, and how
    many times more than they should the runs differ (`disagreement`; one where they agree)."""

    factor: float = 1.0
    width: float = 1.0
    apart: float = 1.0


def anchors(request: Mapping[str, Any], case: TrainingCase) -> list[tuple[TrainingCase, float]]:
    """The case's own runs, each parsed, with its measured seconds. Raises `InputError` in one sentence."""
    given = request.get("anchors")
    if given is None:
        return []
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise InputError(f"anchors is {requests.shown(given)}; expected a list of own runs")
    if len(given) > MOST_ANCHORS:
        raise InputError(f"anchors holds {len(given)} runs; expected at most {MOST_ANCHORS}")
    return [_anchor(request, case, run, number) for number, run in enumerate(given, 1)]


def _anchor(
    request: Mapping[str, Any], case: TrainingCase, run: Any, number: int
) -> tuple[TrainingCase, float]:
    where = f"anchor {number}"
    if not isinstance(run, Mapping):
        raise InputError(f"{where} is {requests.shown(run)}; expected an object")
    try:
        requests.reject_unknown_fields(run, (*OWN_FIELDS, "measured_step_s"))
        seconds = requests.number(run, "measured_step_s", above=True)
        if seconds is None:
            raise InputError("measured_step_s is missing; expected the seconds of its step")
        shared = {name: request.get(name) for name in ("model", "chip", "precision", "software")}
        shared |= {name: request.get(name) for name in ("released", "matmul_tflops", "seq_len")}
        own = {key: value for key, value in run.items() if key != "measured_step_s"}
        # A run that names no layout of its own ran the case's.
        layout = {} if own else {k: v for k, v in request.items() if k in OWN_FIELDS}
        parsed = parse({**shared, **layout, **own})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if parsed.chip.id != case.chip.id:
        raise InputError(f"{where} ran on {parsed.chip.id}; expected a run on {case.chip.id}")
    return parsed, seconds


def errors(measured: Sequence[float], predicted: Sequence[float]) -> list[float]:
    """Logarithms of measured over predicted seconds. Raises `InputError` for a run so far off that its seconds are no
    seconds of a step."""
    found = []
    for number, (seconds, expected) in enumerate(zip(measured, predicted, strict=True), 1):
        off = seconds / expected
        if not 1 / SLIP <= off <= SLIP:
            raise InputError(
                f"anchor {number}: measured_step_s is {seconds:g}, where {expected:.3g} s are predicted; "
                "expected the seconds of one step, not milliseconds or hours"
            )
        found.append(math.log(off))
    return found


def disagreement(errors: np.ndarray, among: np.ndarray) -> float:
    """How many times further than `ALLOWED` runs with that covariance scatter about their own mean; one where they do not.

    The scatter is Birge's ratio (1932): the root of chi squared over its degrees of freedom.
    """
    if len(errors) < 2:
        return 1.0
    weights = np.linalg.solve(among, np.ones(len(errors)))
    about = errors - float(weights @ errors) / float(weights.sum())
    ratio = math.sqrt(float(about @ np.linalg.solve(among, about)) / (len(errors) - 1))
    return max(1.0, ratio / ALLOWED)


def shift(errors: Sequence[float], told: np.ndarray, asked: np.ndarray, scatter: Scatter) -> Shift:
    """What own runs with these `settings`, and these logarithms of measured over predicted seconds, say of another. Errors
    and the shift are told as for models of one width (`training_constants.relative_scatter`)."""
    if not len(errors):
        return Shift()
    between, setting, run = (part**2 for part in scatter)
    whole = between + setting + run
    reach = FAR * math.sqrt(whole)
    close = alike(told, asked)[:, 0]
    shared = between + setting * close
    among = between + setting * alike(told, told) + run * np.eye(len(errors))
    weights = np.linalg.solve(among, shared)
    left = whole - float(weights @ shared)
    believed = np.clip(errors, -reach, reach)
    believed = believed + close * (errors - believed)
    apart = disagreement(np.asarray(errors, float), among)
    return Shift(math.exp(float(weights @ believed)), math.sqrt(left / whole) * apart, apart)
