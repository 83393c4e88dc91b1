"""Many training runs at once: their candidate plans as arrays, weighed, thinned to those that fit, and timed.

Runs of unequal models, chips and software become columns: every distinct model and every distinct setting is described
once, and runs point at them. What all runs of a sweep share stays a plain number. Memory comes first: it costs less than
time, and where a plan fits those that do not need no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from training_moat.core import tiers
from training_moat.core import training_step as model_of_step
from training_moat.core.elementwise import where
from training_moat.core.layer_step import Efficiency, Node
from training_moat.core.memory import (
    TrainingMemory,
    held_activation_bytes,
    least_recompute_share,
    training_memory,
)
from training_moat.core.plan import Plan, impossible
from training_moat.core.training_step import StepTime
from training_moat.core.workload import Transformer
from training_moat.predict.planning import LAYOUT
from training_moat.predict.selecting import distinct, lowest
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import TrainingCase
from training_moat.predict.training_tables import SETTLED, STATE_BYTES, Tables

NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLANS_AT_ONCE = 32_768
"""Plans in one sweep: as many as keep its arrays near the processor."""
FEW, MANY = 48, 512
"""Plans of a row, of those that promise most, that are tried before the others, and again where none of them fits."""
WORTH_CHOOSING = 16_384
"""Plans in a sweep from which on it pays to leave some out."""
ROUNDING = 1e-9
"""Share by which arithmetic may be off."""
ENOUGH_OF_A_MODEL = 4_096
"""Plans of one model that make a sweep of their own: its sizes are plain numbers then."""


@dataclass(frozen=True)
class Rows:
    """Runs to be predicted: row i is the model `tables.models[model[i]]` under `tables.settings[setting[i]]`, and the columns
    of `layouts[i]` are its candidates (lines as in `LAYOUT`)."""

    tables: Tables
    model: np.ndarray
    setting: np.ndarray
    chips: np.ndarray
    seq_len: np.ndarray
    global_batch: np.ndarray
    layouts: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.layouts)

    @cached_property
    def counts(self) -> np.ndarray:
        """Candidates of every row."""
        return np.array([layouts.shape[1] for layouts in self.layouts], int)


def rows_of(cases: Sequence[TrainingCase], constants: Constants) -> Rows:
    """Parsed cases as rows."""
    models = list({id(case.model): case.model for case in cases}.values())
    number = {id(model): index for index, model in enumerate(models)}
    chips, seq_len, batch = np.array([(c.chips, c.seq_len, c.global_batch) for c in cases], float).T
    return Rows(
        Tables(models, cases, constants),
        np.array([number[id(case.model)] for case in cases], int),
        np.arange(len(cases)),
        chips,
        seq_len,
        batch,
        [case.layouts for case in cases],
    )


@dataclass(frozen=True)
class Evaluated:
    """Plans timed and weighed: arrays of one length."""

    plan: Plan
    step: StepTime
    memory: TrainingMemory
    fits: np.ndarray
    model_flops: np.ndarray
    hardware_flops: np.ndarray

    def at(self, which: Any) -> Evaluated:
        """Some of the plans, by their indices or as a slice."""
        return _map(self, lambda column: column[which])


def best(rows: Rows) -> Evaluated:
    """The best plan of every row, in the order of the rows: the fastest that fits; where none does, the fastest of those
    that need hardly more than the smallest."""
    parts = list(_parts(rows))
    sweeps = (_Sweep(_worth_weighing(_Plans.of(rows, part))) for part in parts)
    found = _joined([sweep.evaluated(sweep.fastest()) for sweep in sweeps])
    return found.at(np.argsort(np.concatenate(parts), kind="stable"))


def candidates(case: TrainingCase, constants: Constants) -> Evaluated:
    """The plans of one case that fit, fastest first; where none does, those that need hardly more than the smallest, which
    is first."""
    sweep = _Sweep(_Plans.of(rows_of([case], constants), np.array([0])), thin=False)
    seconds, room = sweep.step.total, sweep.room
    fit = sweep.held[WEIGHED.index("fits")].any()
    return sweep.evaluated(np.lexsort((room, seconds) if fit else (seconds, room)))


def possible(rows: Rows, part: np.ndarray) -> list[np.ndarray]:
    """Of each of some rows the layouts that break no rule (`plan.impossible`)."""
    plans = _Plans.of(rows, part)
    broken = np.zeros(plans.count, bool)
    for rule, _ in impossible(plans.model, plans.plan):
        broken |= np.asarray(rule, bool)
    if not broken.any():
        return [rows.layouts[index] for index in part.tolist()]
    own = np.split(broken, np.cumsum(plans.counts)[:-1])
    return [
        rows.layouts[index][:, ~wrong] if wrong.any() else rows.layouts[index]
        for index, wrong in zip(part.tolist(), own, strict=True)
    ]


def _parts(rows: Rows) -> Iterator[np.ndarray]:
    """The rows in groups to be swept together: of the same topologies, by model, neither too many nor too few plans."""
    topology = rows.tables.topology[rows.setting]
    order = np.lexsort((rows.model, topology))
    new_topology = np.diff(topology[order], prepend=-1) != 0
    new_model = np.diff(rows.model[order], prepend=-1) != 0
    start, plans = 0, 0
    for place, count in enumerate(np.minimum(rows.counts[order], MANY).tolist()):
        full = plans + count > PLANS_AT_ONCE or (new_model[place] and plans >= ENOUGH_OF_A_MODEL)
        if place > start and (full or new_topology[place]):
            yield order[start:place]
            start, plans = place, 0
        plans += count
    if len(order):
        yield order[start:]


class _Plans:
    """Candidates of some rows as one plan of arrays: `counts[i]` of row `part[i]`, one after another."""

    def __init__(
        self, rows: Rows, part: np.ndarray, layouts: np.ndarray, counts: np.ndarray
    ) -> None:
        self.rows, self.tables, self.part = rows, rows.tables, part
        self.layouts, self.counts = layouts, counts
        self.setting = rows.setting[part]
        self.model = self._model()
        self.plan = self._plan()

    @classmethod
    def of(cls, rows: Rows, part: np.ndarray) -> _Plans:
        """All candidates of some rows."""
        layouts = np.concatenate([rows.layouts[index] for index in part.tolist()], axis=1)
        return cls(rows, part, layouts, rows.counts[part])

    def keep(self, kept: np.ndarray) -> _Plans:
        """Some of the candidates."""
        if kept.all():
            return self
        counts = np.bincount(self.owner[kept], minlength=len(self.counts))
        return _Plans(self.rows, self.part, np.compress(kept, self.layouts, axis=1), counts)

    @cached_property
    def owner(self) -> np.ndarray:
        """Which of the rows a plan is a candidate of."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def count(self) -> int:
        """How many plans there are."""
        return self.layouts.shape[1]

    def each(self, per_row: np.ndarray) -> Any:
        """A value of each row as one of each plan; a plain number where all are the same."""
        if (per_row == per_row[0]).all():
            return per_row[0]
        return np.repeat(per_row, self.counts)

    def asked(self, name: str) -> Any:
        """What the settings say of each plan, by a name of `training_tables.ASKED`."""
        return self.each(self.tables.asked[name][self.setting])

    def _model(self) -> Transformer:
        which = self.rows.model[self.part]
        sizes = {n: self.each(column[which]) for n, column in self.tables.shapes.items()}
        return Transformer(name="many", **sizes)

    def _plan(self) -> Plan:
        columns = dict(zip(LAYOUT, map(_plainly, self.layouts), strict=True))
        settled = {name: self.asked(name) for name in SETTLED}
        parallel = self.asked("sequence_parallel")
        return Plan(
            seq_len=self.each(self.rows.seq_len[self.part]),
            global_batch=self.each(self.rows.global_batch[self.part]),
            sequence_parallel=np.where(parallel < 0, columns["tp"] > 1, parallel).astype(float),
            **settled,
            **columns,
        )

    def weighed(self) -> np.ndarray:
        """What the plans hold and whether they fit, with no more layers recomputed than memory asks where that is left
        open: an array with the lines of `WEIGHED`."""
        chips = self.rows.chips[self.part]
        own = self.tables.held[:, self.setting].copy()
        # Stacks that step in the backward pass keep no gradients while one chip has them all.
        own[:2] = np.where((own[2] > 0) & (chips == 1), 0.0, own[:2])
        own[-1] /= chips
        each = [self.each(column) for column in own]
        whole, sharded, _, reserve, slack, kept, master, states, factor, spare, *offered = each
        room = tiers.Room(*offered)

        def weigh(plan: Plan) -> TrainingMemory:
            gradient = where(plan.zero_stage >= 2, sharded, whole)
            return training_memory(
                self.model, plan, states, gradient, reserve, slack, kept, master, factor, spare
            )

        open_ = np.logical_and(self.asked("open_share"), self.plan.recompute >= 2)
        if open_.any():
            before = weigh(self.plan)
            own, rest = _kinds(before)[0], before.workspace - before.reserve

            def decisive(trial: Plan) -> Any:
                # All but the activations, and the reserve that is a share of them, is as it was.
                held = held_activation_bytes(self.model, trial, kept, factor, spare)
                return room.decisive(own, held + (reserve + slack * held + rest))

            least = least_recompute_share(self.model, self.plan, decisive, room.space)
            share = np.where(open_, least, self.plan.recompute_share)
            self.plan = replace(self.plan, recompute_share=share)
        memory = weigh(self.plan)
        kinds = _kinds(memory)
        found = np.empty((len(WEIGHED), self.count))
        held = (getattr(memory, name) for name in MEMORY)
        lines = (room.decisive(*kinds), room.holds(*kinds), self.plan.recompute_share, *held)
        for line, values in zip(found, lines, strict=True):
            line[:] = values
        return found

    def machine(self) -> tuple[Node, Efficiency]:
        """Chip and constants of each plan."""
        kind = self.tables.kind[self.setting]
        node, efficiency = (
            _map(record, lambda column: self.each(column[kind]))
            for record in (self.tables.node, self.tables.efficiency)
        )
        first: Node = self.tables.nodes[kind[0]]
        node = replace(
            node,
            scaleup=replace(node.scaleup, topology=first.scaleup.topology),
            scaleout=replace(node.scaleout, topology=first.scaleout.topology),
        )
        return node, efficiency

    def timed(self) -> StepTime:
        """Seconds of a step of each plan."""
        states = self.each(self.tables.held[STATE_BYTES, self.setting])
        step = model_of_step.step_time(self.model, self.plan, *self.machine(), states)
        return _map(step, lambda column: np.broadcast_to(column, self.count))

    def least(self) -> np.ndarray:
        """Seconds that a step of each plan takes at least: few plans of many differ in what a layer does."""
        said = (self.rows.model, self.rows.setting, self.rows.seq_len)
        alike = np.unique([line[self.part] for line in said], axis=1, return_inverse=True)[1]
        plan = self.plan
        sizes = (plan.tp, plan.cp, plan.micro_batch, plan.ep, plan.expert_tensor)
        first, which = distinct([np.repeat(alike.ravel(), self.counts), *sizes])
        one = self.keep(first)
        layer = model_of_step.shown_layer_seconds(one.model, one.plan, *one.machine())
        layer = np.broadcast_to(layer, one.count)[which]
        return model_of_step.least_step_seconds(self.model, plan, self.machine()[1], layer)


MEMORY = tuple(f.name for f in fields(TrainingMemory))
WEIGHED = ("room", "fits", "recompute_share", *MEMORY)
"""What is known of a plan once it is weighed: the bytes that decide whether it fits, whether it does, the share of its
layers that are recomputed, and its memory by kind."""


def _plainly(column: np.ndarray) -> Any:
    """A column, or its one value where all are the same."""
    return column[0] if len(column) and (column == column[0]).all() else column


class _Sweep:
    """Some rows' plans weighed; of each row those worth timing are kept, and timed."""

    def __init__(self, whole: _Plans, thin: bool = True) -> None:
        held = _weighed_thinly(whole) if thin else whole.weighed()
        kept = _promising(whole, held)
        self.plans, self.held = whole.keep(kept), held[:, kept]
        if np.any(whole.asked("open_share")):
            share = self.held[WEIGHED.index("recompute_share")]
            self.plans.plan = replace(self.plans.plan, recompute_share=share)
        self.step = self.plans.timed()
        self.room = self.held[0]

    def fastest(self) -> np.ndarray:
        """Index of each row's best plan: the fastest; of equally fast ones the smallest, then the first."""
        counts, owner = self.plans.counts, self.plans.owner
        if (counts == 1).all():
            return np.arange(len(counts))
        seconds = self.step.total
        shortest = np.fmin.reduceat(seconds, np.cumsum(counts) - counts)[owner]
        # A plan without a number for its time is nobody's best, unless there are no others.
        first = np.flatnonzero((seconds == shortest) | (shortest != shortest))
        first = first[np.lexsort((self.room[first], owner[first]))]
        return first[np.diff(owner[first], prepend=-1) != 0]

    def evaluated(self, index: np.ndarray) -> Evaluated:
        """Those of the kept plans with all that is known of them."""
        plans = self.plans
        flops = model_of_step.model_flops_per_step(plans.model, plans.plan)
        hardware = model_of_step.hardware_flops_per_step(plans.model, plans.plan)
        memory = TrainingMemory(*self.held[-len(MEMORY) :])
        fits = self.held[WEIGHED.index("fits")] > 0
        whole = Evaluated(plans.plan, self.step, memory, fits, flops, hardware)
        return _map(whole, lambda column: np.broadcast_to(column, plans.count)[index])


def _worth_weighing(whole: _Plans) -> _Plans:
    """Those of some rows' plans that may be the best: where some that promise most fit, all that promise as much as the
    fastest of them; else all."""
    if whole.count < WORTH_CHOOSING:
        return whole
    least, fastest = whole.least(), np.full(len(whole.counts), np.inf)
    for few in (FEW, MANY):
        open_ = np.isinf(fastest)
        tried = lowest(least, whole.counts, few) & open_[whole.owner]
        counts = np.bincount(whole.owner[tried], minlength=len(fastest))[open_]
        if not len(counts):
            break
        sweep = _Sweep(_Plans(whole.rows, whole.part[open_], whole.layouts[:, tried], counts))
        best = sweep.fastest()
        fits = sweep.held[WEIGHED.index("fits"), best] > 0
        fastest[open_] = np.where(fits, sweep.step.total[best], np.inf)
    return whole.keep(np.logical_not(least * (1 - ROUNDING) > fastest[whole.owner]))


def _weighed_thinly(whole: _Plans) -> np.ndarray:
    """As `_Plans.weighed`, but a plan that recomputes is weighed only where the same one without would not fit: doing
    layers again takes time. Unweighed plans need endless room."""
    level = whole.layouts[LAYOUT.index("recompute")]
    first = np.logical_not(np.logical_and(whole.asked("free_level"), level > 0))
    if first.all():
        return whole.weighed()
    found = np.full((len(WEIGHED), whole.count), np.inf)
    fits = found[WEIGHED.index("fits")]
    fits[:] = 0.0
    found[:, first] = whole.keep(first).weighed()
    # Levels that are free vary fastest: none, single modules where there are experts, whole layers.
    steps = np.where(level >= 2, np.where(np.asarray(whole.model.experts) > 0, 2, 1), level)
    without = fits[np.arange(whole.count) - steps.astype(int)] > 0
    second = np.logical_not(np.logical_or(first, without))
    if second.any():
        found[:, second] = whole.keep(second).weighed()
    return found


def _promising(whole: _Plans, held: np.ndarray) -> np.ndarray:
    """Where plans fit or, in rows where none does, are nearly as small as the smallest."""
    counts, owner = whole.counts, whole.owner
    if (counts == 1).all():
        return np.ones(whole.count, bool)
    room, fits = held[0], held[WEIGHED.index("fits")] > 0
    starts = np.cumsum(counts) - counts
    some = np.logical_or.reduceat(fits, starts)[owner]
    smallest = np.minimum.reduceat(room, starts)[owner]
    return np.where(some, fits, room <= NEARLY_SMALLEST * smallest)


def _kinds(memory: TrainingMemory) -> tuple[Any, Any]:
    """(states, activations with the workspace) of runs."""
    states = memory.weights + memory.gradients + memory.optimizer
    return states, memory.activations + memory.workspace


def _map(record: Any, change: Any) -> Any:
    """The same record with every number or array changed; words stay, records inside it are changed alike."""
    found = {}
    for name in record.__dataclass_fields__:
        value = getattr(record, name)
        if hasattr(value, "__dataclass_fields__"):
            found[name] = _map(value, change)
        else:
            found[name] = value if isinstance(value, str) else change(value)
    return type(record)(**found)


def _joined(records: Sequence[Any]) -> Any:
    """Records of arrays behind one another."""
    first = records[0]
    if len(records) == 1:
        return first
    found = {}
    for name in first.__dataclass_fields__:
        columns = [getattr(record, name) for record in records]
        nested = hasattr(columns[0], "__dataclass_fields__")
        found[name] = _joined(columns) if nested else np.concatenate(columns)
    return type(first)(**found)
