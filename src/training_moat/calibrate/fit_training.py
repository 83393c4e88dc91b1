"""Fitting the training model's few constants to the measured runs.

One set of constants, fitted once on everything: generic values, and factors for chip families, chips and
software stacks. Each constant has a prior (its physical expectation) and a width; the fit is a robust least squares on
log step times, stage by stage from the well-measured to the little-measured, that tells what a source's runs share from
how they differ, so that no long table decides alone. There is no constant per row, per model or per source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate.fit_stage import Stage, as_constants
from training_moat.calibrate.measured_training import Rows, families
from training_moat.calibrate.priors import MIDDLE_RELEASE, THIN_STACK, generic, medians, prior
from training_moat.calibrate.random_effects import Split
from training_moat.calibrate.stored_rows import stored_row
from training_moat.catalog import chips as chip_catalog
from training_moat.predict.fitted import Key
from training_moat.predict.software import REFERENCE_KERNELS, REFERENCE_STACK
from training_moat.predict.training_constants import SOFTWARE, Constants, support_name, width_of

NOISE = {1: 0.05, 2: 0.10, 3: 0.18}
"""Scatter of log step times inside one source's runs on one chip, by stage of the fit (see `stages`): well-trodden
dense runs, less tuned stacks, expert layers whose software changed every few months."""
SOURCE_NOISE = {1: 0.06, 2: 0.12, 3: 0.17}
"""Scatter of whole sources about each other: tuning, clocks, power limits, dates. Those of the experts are what the runs of
sources left out show (`scatter` in the calibration table)."""
MOSTLY = 0.8
"""Share of a stack's dense runs beyond which it belongs to the chips they ran on."""


@dataclass(frozen=True)
class Fit:
    """A fitted set: the constants, how far each moved, and the rows behind each."""

    constants: Constants
    keys: tuple[Key, ...]
    prior: dict[Key, tuple[float, float]]
    support: dict[Key, tuple[int, int]]
    stages: tuple[Stage, ...] = ()


def stages(rows: Rows) -> np.ndarray:
    """The stage of the fit in which each row speaks (1, 2 or 3).

    Dense runs on Nvidia's chips, of which there are most and from most hands, set the generic constants; dense runs on
    other chips then only how their families depart from them; mixtures of experts last and only what experts add.
    """
    nvidia = families(rows.frame).str.startswith("nvidia").to_numpy()
    return np.where(rows.frame["experts"].to_numpy() > 0, 3, np.where(nvidia, 1, 2))


def broad_stacks(rows: Rows) -> dict[str, set[str]]:
    """Classes of stacks with enough sources for a factor of their own: by their `dense` runs, and by those with `experts`."""
    found = {}
    for name, own in (
        ("dense", rows.frame["experts"] == 0),
        ("experts", rows.frame["experts"] > 0),
    ):
        sources = rows.frame[own].groupby("stack")["source"].nunique()
        found[name] = set(sources.index[sources >= THIN_STACK])
    return found


def parameter_keys(rows: Rows, broad: Mapping[str, set[str]] | None = None) -> list[Key]:
    """The constants that these rows can speak to, generic ones first; `broad`: see `broad_stacks` (default: of these rows)."""
    broad = broad_stacks(rows) if broad is None else broad
    frame, stage = rows.frame, stages(rows)
    keys: list[Key] = [
        ("generic", "all", name) for name, one in generic().items() if one.stage in stage
    ]
    for name in sorted(families(rows.frame).unique()):
        keys += [
            ("family", name, "matmul"),
            ("family", name, "attention"),
            ("family", name, "memory"),
        ]
    keys += [("chip", name, "matmul") for name in sorted(frame["chip_id"].unique())]
    return keys + _software_keys(frame, stage, broad)


def widths(frame: pd.DataFrame) -> pd.Series:
    """Calibrated matmul width of every row."""
    chips = chip_catalog.all_chips()
    pairs = zip(frame["chip_id"], frame["format"], strict=True)
    return pd.Series([width_of(chips[chip], name) for chip, name in pairs], index=frame.index)


def _software_keys(
    frame: pd.DataFrame, stage: np.ndarray, broad: Mapping[str, set[str]]
) -> list[Key]:
    """A factor for every class of stacks with enough sources, and for every name about its class."""
    keys: list[Key] = []
    for name in sorted(set(frame["stack"]) - set(REFERENCE_KERNELS) - {"other"}):
        if name in broad["dense"]:
            keys += [("stack", name, "kernels"), ("stack", name, "matmul")]
    for name in sorted(set(frame["label"]) - {REFERENCE_STACK, "other"}):
        keys += [("software", name, "kernels"), ("software", name, "matmul")]
    with_experts = frame[stage == 3]
    for name in sorted(set(with_experts["stack"]) - {REFERENCE_STACK, "other"}):
        if name in broad["experts"]:
            keys.append(("stack", name, "expert"))
    for name in sorted(set(with_experts["label"]) - {REFERENCE_STACK, "other"}):
        keys.append(("software", name, "expert"))
    return keys


def fit(rows: Rows, start: Constants | None = None) -> Fit:
    """Fit all constants to `rows`, stage by stage; deterministic, a few seconds.

    `start` is where to begin (default: the priors). A constant set in one stage is fixed in the next.
    """
    values = medians()
    order: list[Key] = list(values)
    values["generic", "all", "expert_year"] = _middle_release(rows)
    settled: set[Key] = set()
    solved: list[Stage] = []
    stage = stages(rows)
    home, broad = _home(rows, stage), broad_stacks(rows)
    for number in (1, 2, 3):
        part = rows.take(stage == number)
        keys = [key for key in parameter_keys(part, broad) if key not in settled]
        if keys:
            spread = Split(
                part.frame["source"] + "/" + part.frame["chip_id"],
                NOISE[number],
                SOURCE_NOISE[number],
            )
            problem = Stage(part, np.flatnonzero(stage == number), keys, values, spread)
            problem.solve({} if start is None else start.values)
            values |= problem.values(problem.solution)
            solved.append(problem)
        settled |= {key for key in keys if number >= home.get(key[:2], 1)}
        order += [key for key in keys if key not in order]
    priors = {key: (float(np.exp(prior(key)[0])), prior(key)[1]) for key in order}
    found = _support(order, rows)
    return Fit(as_constants(values), tuple(order), priors, found, tuple(solved))


def _middle_release(rows: Rows) -> float:
    """The date in the middle of the releases that trained experts, every source with the same weight."""
    own = rows.frame[rows.frame["experts"] > 0]
    if own.empty:
        return MIDDLE_RELEASE
    return round(float(own.groupby("source")["released"].median().median()), 2)


def _home(rows: Rows, stage: np.ndarray) -> dict[tuple[str, str], int]:
    """The dense stage in which nearly all runs of each stack are (else the first), and in which its factors are settled:
    a compiler for TPUs is not judged by its few runs on GPUs."""
    home: dict[tuple[str, str], int] = {}
    for level, column in (("software", "label"), ("stack", "stack")):
        dense = rows.frame[column][stage < 3]
        most = dense.groupby(dense).apply(
            lambda part: int(np.mean(stage[part.index] == 2) > MOSTLY) + 1
        )
        home |= {(level, name): number for name, number in most.items()}
    return home


def _support(keys: list[Key], rows: Rows) -> dict[Key, tuple[int, int]]:
    """(rows, sources) that each constant was fitted on."""
    frame = rows.frame.assign(family=families(rows.frame))
    column = {"family": "family", "chip": "chip_id", "software": "label", "stack": "stack"}
    width = widths(frame)
    found: dict[Key, tuple[int, int]] = {}
    for level, key, name in keys:
        mask = (
            frame[column[level]] == key if level in column else pd.Series(True, index=frame.index)
        )
        if "_" in name and name.startswith("matmul_"):
            mask = mask & (width == name.removeprefix("matmul_"))
        if name in generic() and generic()[name].stage == 3:  # experts
            mask = mask & (frame["experts"] > 0)
        found[level, key, name] = int(mask.sum()), int(frame.loc[mask, "source"].nunique())
    return found


def as_table(fitted: Fit, rows: Rows, intervals: pd.DataFrame, date: str) -> pd.DataFrame:
    """The fit as the rows of `data/calibration_training.csv`."""
    records: list[dict[str, Any]] = []
    for key in fitted.keys:
        level, _, constant = key
        basis = generic()[constant].why if level == "generic" else "shrunk towards its class"
        value, support = fitted.constants.values[key], fitted.support[key]
        records.append(stored_row(key, value, *support, basis, fitted.prior[key]))
    year, own = ("generic", "all", "expert_year"), rows.frame[rows.frame["experts"] > 0]
    basis = "the middle of the releases that trained experts"
    value = fitted.constants.generic("expert_year")
    records.append(stored_row(year, value, len(own), own["source"].nunique(), basis))
    told = [pd.DataFrame(records), support_table(rows), intervals]
    return pd.concat(told, ignore_index=True).assign(date=date)


def support_table(rows: Rows) -> pd.DataFrame:
    """How many sources speak for each chip and family, by width of the matmuls and dense or with experts, and for each
    name of software, dense or with experts; for `other` none, which is many programs of which no factor is fitted."""
    frame = rows.frame.assign(family=families(rows.frame), width=widths(rows.frame))
    experts = frame["experts"] > 0
    groups = [
        (key, support_name(width, mixed), group)
        for column in ("chip_id", "family")
        for (key, width, mixed), group in frame.groupby([column, "width", experts])
    ] + [
        (key, support_name(SOFTWARE, mixed), group)
        for (key, mixed), group in frame.groupby(["label", experts])
        if key != "other"
    ]
    records = []
    for key, name, group in groups:
        place, sources = ("support", key, name), group["source"].nunique()
        records.append(stored_row(place, sources, len(group), sources, "sources with usable runs"))
    return pd.DataFrame(records)
