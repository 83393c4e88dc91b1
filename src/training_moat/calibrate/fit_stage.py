"""One stage of the fit: rows, the constants they speak to, and how far the constants are from explaining them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from training_moat.calibrate.measured_training import Rows, families
from training_moat.calibrate.priors import generic, prior
from training_moat.calibrate.random_effects import Split, robust, robust_slope
from training_moat.catalog import chips as chip_catalog
from training_moat.core.node import Node
from training_moat.core.optimizer_states import optimizer_bytes
from training_moat.core.training_step import StepTime, step_time
from training_moat.predict import training_constants as known
from training_moat.predict import training_nodes
from training_moat.predict.fitted import Key
from training_moat.predict.records import stacked
from training_moat.predict.software import find
from training_moat.predict.training_constants import Constants, Kind
from training_moat.predict.training_tables import efficiency_of, on_own_machine

DIFFERENCE = 1e-6
"""Step in the logarithm of a constant for its finite differences."""
CHORDS = 8
"""Steps with unchanged slopes after which a search without some rows is broken off."""
LARGE_PART = 0.1
"""Share of a stage's rows beyond which the constants without them are searched anew: unchanged slopes lead astray that far."""
NEAR = 1e-3
"""Change of every constant's logarithm below which such a search has arrived."""
LONGEST_STEP = 0.5
"""Largest change of a constant's logarithm in one step."""


@dataclass(frozen=True)
class Group:
    """Rows whose chips share the shape of their networks: timed in one call.

    `kinds` are the distinct (chip, format, software, own matmul rate, own network, release date), `which` the kind of every
    row.
    """

    index: np.ndarray
    rows: Rows
    node: Node
    kinds: list[Kind]
    which: np.ndarray

    @property
    def state_bytes(self) -> np.ndarray:
        """Bytes of AdamW's states per weight of every row."""
        bare, whole = (optimizer_bytes("adamw", masters) for masters in (False, True))
        return np.where(self.rows.frame["master_weights"] > 0, whole, bare)


def groups(rows: Rows) -> list[Group]:
    """Split rows by the topologies of their chips' links; link efficiencies come in later as constants."""
    # Only experts' layers are told apart by their date.
    dates = [
        date if experts > 0 else None
        for date, experts in zip(rows.frame["released"], rows.frame["experts"], strict=True)
    ]
    names = ("chip_id", "format", "label", "matmul_flops", "network_bytes_per_s")
    labels = list(zip(*(rows.frame[name] for name in names), dates, strict=True))
    chips = chip_catalog.all_chips()
    nodes = {
        label: on_own_network(training_nodes.plain_node(chips[label[0]], label[1]), label[4])
        for label in set(labels)
    }
    shape = [
        f"{nodes[label].scaleup.topology}/{nodes[label].scaleout.topology}" for label in labels
    ]
    found = []
    for topology in sorted(set(shape)):
        index = np.flatnonzero([name == topology for name in shape])
        own = [labels[i] for i in index]
        distinct = list(dict.fromkeys(own))
        number = {label: index for index, label in enumerate(distinct)}
        which = np.array([number[label] for label in own])
        mask = np.zeros(len(labels), bool)
        mask[index] = True
        node = stacked([nodes[label] for label in distinct], which)
        kinds = [
            on_own_machine(known.kind(chips[chip], name, find(label), date), matmul)
            for chip, name, label, matmul, _, date in distinct
        ]
        found.append(Group(index, rows.take(mask), node, kinds, which))
    return found


def on_own_network(node: Node, bytes_per_s: float) -> Node:
    """A node of a cluster whose network gives each chip that rate, in bytes per second (zero: what the chip is usually sold
    with)."""
    if not bytes_per_s:
        return node
    return replace(node, scaleout=replace(node.scaleout, bytes_per_s=bytes_per_s))


def predict_rows(
    rows: Rows, constants: Constants, prepared: list[Group] | None = None
) -> np.ndarray:
    """Predicted step seconds of every row under `constants`."""
    return step_of_rows(rows, constants, prepared).total


def step_of_rows(rows: Rows, constants: Constants, prepared: list[Group] | None = None) -> StepTime:
    """Predicted seconds of every row under `constants`, by part. prepared: what `groups` gives of these rows."""
    parts = {part.name: np.empty(len(rows.frame)) for part in fields(StepTime)}
    for group in prepared or groups(rows):
        step = _group_step(group, constants)
        for name, seconds in parts.items():
            seconds[group.index] = getattr(step, name)
    return StepTime(**parts)


def _group_step(group: Group, constants: Constants) -> StepTime:
    each = [efficiency_of(constants, kind) for kind in group.kinds]
    node = training_nodes.with_efficiencies(group.node, constants)
    eff = stacked(each, group.which)
    return step_time(group.rows.model, group.rows.plan, node, eff, group.state_bytes)


def as_constants(values: Mapping[Key, float]) -> Constants:
    """The constants by key. A generic share of a published rate is one at the most."""
    shares = {("generic", "all", name) for name, one in generic().items() if one.share}
    return Constants(
        {key: min(value, 1.0) if key in shares else value for key, value in values.items()}
    )


class Stage:
    """The problem of one stage: residuals of rows and priors as functions of the constants' logarithms.

    `index` are the rows' places among all rows. After `solve`, `solution` holds the logarithms of the constants.
    """

    def __init__(
        self,
        rows: Rows,
        index: np.ndarray,
        keys: list[Key],
        given: Mapping[Key, float],
        split: Split,
    ) -> None:
        self.rows, self.index, self.keys, self.given, self.split = rows, index, keys, given, split
        middle, width = (np.array(column) for column in zip(*map(prior, keys), strict=True))
        self.middle, self.width = middle, width
        self.prepared = groups(rows)
        self.measured = np.log(rows.measured_seconds)
        self.owners = _owners(keys, rows)
        self.solution = middle

    def values(self, logs: np.ndarray) -> dict[Key, float]:
        """The constants by key."""
        return dict(zip(self.keys, map(float, np.exp(logs)), strict=True))

    def errors(self, logs: np.ndarray, given: Mapping[Key, float] | None = None) -> np.ndarray:
        """Logarithms of predicted over measured seconds, all other constants as `given` (default: the stage's own)."""
        constants = as_constants({**(given or self.given), **self.values(logs)})
        return np.log(predict_rows(self.rows, constants, self.prepared)) - self.measured

    def slopes(self, logs: np.ndarray, given: Mapping[Key, float] | None = None) -> np.ndarray:
        """Derivatives of the rows' robust residuals."""
        felt = _jacobian(lambda moved: self.errors(moved, given), logs, self.owners)
        return robust_slope(self.split(self.errors(logs, given)))[:, None] * self.split(felt)

    def solve(self, start: Mapping[Key, float]) -> None:
        """Find the constants that explain the rows and their priors best, beginning at `start` where it has them."""
        begin = np.array(
            [
                np.log(start[key]) if key in start else middle
                for key, middle in zip(self.keys, self.middle, strict=True)
            ]
        )
        self.solution = self._search(begin, slice(None), self.given)

    def _search(
        self, begin: np.ndarray, keep: np.ndarray | slice, given: Mapping[Key, float]
    ) -> np.ndarray:
        """The logarithms that explain the residuals `keep` and the priors best."""

        def residuals(logs: np.ndarray) -> np.ndarray:
            rows = robust(self.split(self.errors(logs, given)))[keep]
            return np.concatenate([rows, (logs - self.middle) / self.width])

        def slopes(logs: np.ndarray) -> np.ndarray:
            return np.vstack([self.slopes(logs, given)[keep], np.diag(1 / self.width)])

        from scipy.optimize import least_squares  # slow to import, and only fits need it

        return least_squares(residuals, begin, slopes, max_nfev=100, xtol=1e-5, ftol=1e-6).x

    def without(
        self, left: np.ndarray, slopes: np.ndarray, given: Mapping[Key, float]
    ) -> dict[Key, float]:
        """The constants that the rows outside `left` give: found anew where a large part is left out, else from the solution
        by steps with its own `slopes` (the chord method: Ortega and Rheinboldt 1970, section 7.1). `left` must be whole
        clusters of the stage's split."""
        from scipy.linalg import cho_factor, cho_solve  # slow to import, and only fits need it

        gone = np.bincount(self.split.cluster, weights=left) > 0
        keep = np.concatenate([~left, ~gone])
        if left.mean() > LARGE_PART:
            return self.values(self._search(self.solution, keep, given))
        own, tie = slopes[keep], 1 / self.width**2
        factor = cho_factor(own.T @ own + np.diag(tie))
        logs = self.solution.copy()
        for _ in range(CHORDS):
            rows = robust(self.split(self.errors(logs, given)))[keep]
            pull = own.T @ rows + tie * (logs - self.middle)
            step = np.clip(-cho_solve(factor, pull), -LONGEST_STEP, LONGEST_STEP)
            logs = logs + step
            if np.abs(step).max() < NEAR:
                break
        return self.values(logs)


def _owners(keys: list[Key], rows: Rows) -> list[np.ndarray]:
    """Sets of constants of which every row feels at most one, each as the index of that constant by row (-1: none).

    A row feels every generic constant but only its own family's, chip's and stack's factors, so that all families'
    factors of one name can be varied at once.
    """
    labels = {
        "family": families(rows.frame),
        "chip": rows.frame["chip_id"],
        "software": rows.frame["label"],
        "stack": rows.frame["stack"],
    }
    sets: dict[Key | tuple[str, str], np.ndarray] = {}
    for index, (level, key, name) in enumerate(keys):
        one = sets.setdefault((level, name), np.full(len(rows.frame), -1))
        one[(labels[level] == key).to_numpy() if level in labels else slice(None)] = index
    return list(sets.values())


def _jacobian(
    errors: Callable[[np.ndarray], np.ndarray], logs: np.ndarray, owners: list[np.ndarray]
) -> np.ndarray:
    """Forward differences of the rows' errors, one evaluation for each set of `_owners`."""
    base = errors(logs)
    matrix = np.zeros((len(base), len(logs)))
    for owner in owners:
        felt = np.flatnonzero(owner >= 0)
        moved = logs.copy()
        moved[np.unique(owner[felt])] += DIFFERENCE
        matrix[felt, owner[felt]] = (errors(moved)[felt] - base[felt]) / DIFFERENCE
    return matrix
