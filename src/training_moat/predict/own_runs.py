"""The asker's own runs as evidence: how far the model is off on their machine, and how much that says about the next run.

Runs of one cluster share an error (clocks, power limits, tuning), runs of one model on it share more (its layout, its
kernels), and each has one of its own. The log errors of own runs are draws of three random effects, with the scatters of
clusters about the model, `between`, of models within a cluster, `model`, and of one model's runs, `run`:

    cov(e_i, e_j) = between^2 + model^2 [same model] + run^2 [i = j]

The shift of the next run is its mean given the own runs' errors, and what is left of its variance follows (a random
effect shrunk to its mean: Laird and Ware 1982). An error of another model is believed up to `FAR` scatters only: a run
that went wrong for reasons of its own says little of the next model's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training_moat.core.errors import InputError
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
"""Scatters beyond which the error of a run of another model counts no further (the bound that Huber 1964 gives robust
means)."""


@dataclass(frozen=True)
class Shift:
    """What own runs say: the factor on the predicted seconds, and the share of the interval's width (in logarithms) left."""

    factor: float = 1.0
    width: float = 1.0


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


def shift(errors: Sequence[float], models: Sequence[str], asked: str, scatter: Scatter) -> Shift:
    """What own runs of these models, with these logarithms of measured over predicted seconds, say of a run of `asked`."""
    if not errors:
        return Shift()
    names = np.asarray(models, object)
    between, model, run = (part**2 for part in scatter)
    whole, same = between + model + run, names == asked
    reach = FAR * math.sqrt(whole)
    told = np.where(same, errors, np.clip(errors, -reach, reach))
    shared = between + model * same
    among = between + model * (names[:, None] == names) + run * np.eye(len(names))
    weights = np.linalg.solve(among, shared)
    left = whole - float(weights @ shared)
    return Shift(math.exp(float(weights @ told)), math.sqrt(left / whole))
