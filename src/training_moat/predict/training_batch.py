"""Many training runs at once: their candidate plans as arrays, weighed and timed.

Runs of unequal models, chips and software become columns: every distinct model and every distinct setting is described
once, and runs point at them. What all runs of a sweep share stays a plain number. Which plans are worth it is for
`plan_search` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from training_moat.core import training_step as model_of_step
from training_moat.core.activations import IN_TRANSIT, held_activation_bytes, layers_in_flight
from training_moat.core.elementwise import some, where
from training_moat.core.memory import TrainingMemory, least_recompute_share, training_memory
from training_moat.core.node import Efficiency, Node
from training_moat.core.optimizer_states import gradients_at_peak
from training_moat.core.plan import Plan, impossible
from training_moat.core.training_step import StepTime
from training_moat.core.workload import Transformer
from training_moat.predict.planning import DEGREES, LAYOUT, LEVEL, VIRTUAL
from training_moat.predict.records import mapped
from training_moat.predict.selecting import distinct
from training_moat.predict.training_tables import Held, Rows

ROUNDING = 1e-9
"""Share by which arithmetic may be off."""
SIZES = [LAYOUT.index(name) for name in ("tp", "pp", "cp")]
"""Lines that tell a row's parallel sizes apart: the data parallel one follows from them."""
ALIKE = [LAYOUT.index(name) for name in ("zero_stage", "ep", "recompute")]
"""Lines that tell the layouts of one kind apart, their interleaving aside."""


@dataclass(frozen=True)
class Evaluated:
    """Plans timed and weighed: arrays of one length."""

    plan: Plan
    step: StepTime
    memory: TrainingMemory
    fits: np.ndarray
    model_flops: np.ndarray
    masked_flops: np.ndarray
    hardware_flops: np.ndarray

    def at(self, which: Any) -> Evaluated:
        """Some of the plans, by their indices or as a slice."""
        return mapped(self, lambda column: column[which])

    def one(self, index: int) -> Evaluated:
        """One of the plans, as arrays of one."""
        return self.at(slice(index, index + 1))


def possible(rows: Rows, part: np.ndarray) -> list[np.ndarray]:
    """Of each of some rows the layouts that break no rule (`plan.impossible`), whatever they recompute."""
    plans, _ = Plans.folded(rows, part)
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


class Weighed(NamedTuple):
    """What is known of plans once they are weighed: the bytes that decide whether each fits (`room`), whether it does, the
    share of its layers that are recomputed, and what it is `short` of that room as a share of its activations."""

    room: np.ndarray
    fits: np.ndarray
    recompute_share: np.ndarray
    short: np.ndarray

    def at(self, place: np.ndarray) -> Weighed:
        """The same of some of the plans, by where they stand."""
        return Weighed(*(taken(column, place) for column in self))

    def beside(self, others: Weighed) -> Weighed:
        """The same of these plans and then of others."""
        return Weighed(*map(np.concatenate, zip(self, others, strict=True)))


class Said:
    """What some rows say of every plan of theirs: a value of each row, or one alone where all say the same."""

    def __init__(self, rows: Rows, part: np.ndarray) -> None:
        tables, model, setting = rows.tables, rows.model[part], rows.setting[part]
        self.model = {name: _plainly(column[model]) for name, column in tables.shapes.items()}
        self.settled = {name: _plainly(column[setting]) for name, column in tables.settled.items()}
        self.parallel, self.open_share = (
            _plainly(column[setting]) for column in (tables.parallel, tables.open_share)
        )
        self.seq_len = _plainly(rows.seq_len[part])
        self.global_batch = _plainly(rows.global_batch[part])
        held: Held = mapped(tables.held, lambda column: column[setting])
        # Stacks that step in the backward pass keep no gradients while one chip has them all.
        none = (held.in_backward > 0) & (rows.chips[part] == 1)
        own, sharded = (np.where(none, 0.0, x) for x in (held.gradient, held.sharded_gradient))
        held = replace(held, gradient=own, sharded_gradient=sharded)
        self.held: Held = mapped(held, _plainly)
        """What software and format keep in memory, and the room of a chip and its store."""
        kind = tables.kind[setting]
        node, efficiency = (
            mapped(record, lambda column: _plainly(column[kind]))
            for record in (tables.node, tables.efficiency)
        )
        first: Node = tables.nodes[kind[0]]
        self.node: Node = replace(
            node,
            scaleup=replace(node.scaleup, topology=first.scaleup.topology),
            scaleout=replace(node.scaleout, topology=first.scaleout.topology),
        )
        self.efficiency: Efficiency = efficiency


class Plans:
    """Candidates of some rows as one plan of arrays: `counts[i]` of row `part[i]`, one after another."""

    def __init__(
        self,
        rows: Rows,
        part: np.ndarray,
        layouts: np.ndarray,
        counts: np.ndarray,
        said: Said | None = None,
        shown: model_of_step.Shown | None = None,
    ) -> None:
        self.rows, self.part = rows, part
        self.layouts, self.counts, self.shown = layouts, counts, shown
        self.said = said or Said(rows, part)
        sizes = {name: self.each(value) for name, value in self.said.model.items()}
        self.model = Transformer(name="many", **sizes)
        self.plan = self._plan()

    @classmethod
    def folded(cls, rows: Rows, part: np.ndarray) -> tuple[Plans, np.ndarray]:
        """(the layouts of some rows as they stand, free levels of recomputation at the first, the set of degrees of each)."""
        own = [rows.layouts[index] for index in part.tolist()]
        counts = np.array([layouts.shape[1] for layouts in own])
        *layouts, degrees = lines = np.concatenate(own, axis=1)
        return cls(rows, part, lines[: len(layouts)], counts), degrees.astype(int)

    @classmethod
    def bare(cls, rows: Rows, part: np.ndarray) -> Plans:
        """The layouts of some rows with every degree of interleaving, free levels of recomputation at the first."""
        plans, degrees = cls.folded(rows, part)
        return plans.at(*np.nonzero(DEGREES[degrees])) if degrees.any() else plans

    def written_out(self, but: int = 0) -> Plans:
        """The plans of these bare layouts: each with every level that is free, `but` for so many of the first ones."""
        turns = np.maximum(self.rows.turns[self.part] - but, 0)
        each = np.repeat(turns, self.counts)
        found = self.at(np.repeat(np.arange(self.count), each))
        table = np.full((len(turns), max(turns.max(), 1)), np.nan)
        for row, index in enumerate(self.part.tolist()):
            own = self.rows.levels[index][but:]
            table[row, : len(own)] = own
        turn = np.arange(found.count) - np.repeat(np.cumsum(each) - each, each)
        level = table[found.owner, turn]
        np.copyto(found.layouts[LEVEL], level, where=np.logical_not(np.isnan(level)))
        return Plans(self.rows, self.part, found.layouts, found.counts, self.said, found.shown)

    def beside(self, others: Plans) -> tuple[Plans, np.ndarray]:
        """(these plans and others of the same rows, row by row; where each of them stood among these and then those)."""
        order = np.argsort(np.concatenate([self.owner, others.owner]), kind="stable")
        both = np.concatenate([self.layouts, others.layouts], axis=1)
        layouts = taken(both, order)
        counts = self.counts + others.counts
        return Plans(self.rows, self.part, layouts, counts, self.said), order

    def only(self, rows: np.ndarray) -> Plans:
        """The plans of those rows alone that have some."""
        if rows.all():
            return self
        part, counts = self.part[rows], self.counts[rows]
        return Plans(self.rows, part, self.layouts, counts, None, self.shown)

    def at(self, place: np.ndarray, degree: np.ndarray | None = None) -> Plans:
        """Plans by where they stand, in the order of their rows; with so many virtual stages, or their own where 0."""
        layouts = taken(self.layouts, place)
        if degree is not None:
            np.copyto(layouts[VIRTUAL], degree, where=degree > 0)
        counts = np.bincount(self.owner[place], minlength=len(self.counts))
        shown = self.shown and mapped(self.shown, lambda column: taken(column, place))
        return Plans(self.rows, self.part, layouts, counts, self.said, shown)

    def keep(self, kept: np.ndarray) -> Plans:
        """Some of the candidates."""
        return self if kept.all() else self.at(np.flatnonzero(kept))

    @cached_property
    def owner(self) -> np.ndarray:
        """Which of the rows a plan is a candidate of."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of_rows(self, combine: np.ufunc, values: np.ndarray) -> np.ndarray:
        """By plan, what the values of all plans of its row combine to: the least of them by `np.minimum`."""
        starts = np.cumsum(self.counts) - self.counts
        return np.asarray(combine.reduceat(values, starts))[self.owner]

    @cached_property
    def block(self) -> np.ndarray:
        """A number for those plans of one row that follow one another and have the same parallel sizes."""
        begins = np.zeros(self.count, bool)
        for line in SIZES:
            size = self.layouts[line]
            begins[1:] |= size[1:] != size[:-1]
        begins[(np.cumsum(self.counts) - self.counts)[self.counts > 0]] = True
        return np.cumsum(begins) - 1

    @property
    def count(self) -> int:
        """How many plans there are."""
        return self.layouts.shape[1]

    def each(self, said: Any) -> Any:
        """A value of each row as one of each plan; one alone stays as it is."""
        return np.repeat(said, self.counts) if np.ndim(said) else said

    @property
    def open_share(self) -> Any:
        """Where the level of recomputation is free, and the share of layers with it."""
        return self.each(self.said.open_share)

    def _plan(self) -> Plan:
        columns = dict(zip(LAYOUT, map(_plainly, self.layouts), strict=True))
        settled = {name: self.each(value) for name, value in self.said.settled.items()}
        parallel = self.each(self.said.parallel)
        return Plan(
            seq_len=self.each(self.said.seq_len),
            global_batch=self.each(self.said.global_batch),
            sequence_parallel=np.where(parallel < 0, columns["tp"] > 1, parallel).astype(float),
            **settled,
            **columns,
        )

    @cached_property
    def _held(self) -> Held:
        """What software and format keep in memory, and the room of a chip, for each plan."""
        held: Held = mapped(self.said.held, self.each)
        return held

    def memory(self) -> TrainingMemory:
        """What each plan holds, as much recomputed as it says."""
        held, plan = self._held, self.plan
        gradient = where(plan.zero_stage >= 2, held.sharded_gradient, held.gradient)
        # Autocast caches no 16-bit copy of the weights for the backward pass of layers that are recomputed.
        alone = held.master_is_weight
        alone = where(plan.recompute >= 2, np.maximum(alone, held.uncached_master), alone)
        own = (held.states, gradient, held.reserve, held.kept, alone)
        return training_memory(self.model, plan, *own)

    def weighed(self, margin: float = 0.0) -> Weighed:
        """What the plans hold and whether they fit, with no more layers recomputed than memory asks where that is left
        open. With a `margin`, what they hold at least: as many layers recomputed as may be, and room for that share more."""
        reserve, slack = self._held.reserve.bytes, self._held.reserve.share
        room = mapped(self._held.room, lambda offered: offered * (1 + margin))
        open_ = np.logical_and(self.open_share * (margin == 0), self.plan.recompute >= 2)
        # What waits in the host's memory takes little of the chip's, and less of the link the more is done again.
        open_ = np.logical_and(open_, self.plan.activation_offload <= 0)
        if open_.any():
            before = self.memory()
            rest = before.total - before.activations - before.reserve - before.gradients
            made, kept = before.gradients_made, self._held.kept

            def held(trial: Plan) -> Any:
                # All but the activations, and the reserve that is a share of them, is as it was.
                own = held_activation_bytes(self.model, trial, kept)
                beside = gradients_at_peak(made, own, trial, kept.torch_native)
                return own + (reserve + slack * own + rest) + beside

            least = least_recompute_share(self.model, self.plan, held, room.space)
            share = np.where(open_, least, self.plan.recompute_share)
            self.plan = replace(self.plan, recompute_share=share)
        memory = self.memory()
        fits = room.holds(memory.total, memory.stored)
        short = (memory.total - room.space) / ((1 + slack) * memory.activations)
        told = (memory.total, fits, self.plan.recompute_share, short)
        return Weighed(*(np.broadcast_to(column, self.count) for column in told))

    def spare_share(self) -> Any:
        """What of a plan's activations is those of spare layers, at most."""
        spare = self._held.kept.spare_layers
        aboard, _ = layers_in_flight(self.model, self.plan)
        if some(self.plan.activation_offload):
            few = np.minimum(aboard, IN_TRANSIT)
            aboard = where(self.plan.activation_offload > 0, few, aboard)
        return spare / (spare + aboard)

    def machine(self) -> tuple[Node, Efficiency]:
        """Chip and constants of each plan."""
        return mapped(self.said.node, self.each), mapped(self.said.efficiency, self.each)

    def timed(self) -> StepTime:
        """Seconds of a step of each plan."""
        step = model_of_step.step_time(self.model, self.plan, *self.machine(), self._held.states)
        return mapped(step, lambda column: np.broadcast_to(column, self.count))

    def show(self) -> None:
        """Work out what a step of each plan shows at least: few plans of many differ in what a layer does, or in what replicas
        exchange."""
        said = (self.rows.model, self.rows.setting, self.rows.seq_len)
        alike = np.unique([line[self.part] for line in said], axis=1, return_inverse=True)[1]
        plan = self.plan
        kinds = [np.repeat(alike.ravel(), self.counts), plan.tp, plan.cp, plan.micro_batch]
        kinds.append(np.broadcast_to(plan.alone, self.count))
        if np.any(self.model.experts):
            kinds += [plan.ep, plan.expert_tensor]
        if some(self.said.node.scaleup.sliced):
            kinds.append(plan.chips)  # What groups span goes by the slice.
        first, which = distinct(kinds)
        one = self.keep(first)
        shown = model_of_step.shown_seconds(one.model, one.plan, *one.machine())
        shown = mapped(shown, lambda column: taken(np.broadcast_to(column, one.count), which))
        once, again = self._exchanged()
        self.shown = replace(shown, exchanged=once, exchanged_again=again)

    def least(self, degrees: Any = None) -> np.ndarray:
        """Seconds that a step of each plan takes at least, as it is `shown`; `degrees`: the most virtual stages that a plan
        stands for, whose own are the fewest."""
        assert self.shown is not None  # `show` worked it out, here or where these plans came from
        efficiency = mapped(self.said.efficiency, self.each)
        return model_of_step.least_step_seconds(
            self.model, self.plan, efficiency, self.shown, degrees
        )

    def fast_enough(self, fastest: np.ndarray) -> np.ndarray:
        """Which plans may be as fast as the `fastest` known of their rows."""
        return np.logical_not(self.least() * (1 - ROUNDING) > fastest[self.owner])

    def _exchanged(self) -> np.ndarray:
        """What `training_step.shown_exchange_seconds` gives of each plan."""
        first, which = distinct([self.block, self.plan.zero_stage, self.plan.ep])
        one = self.keep(first)
        shown = model_of_step.shown_exchange_seconds(one.model, one.plan, *one.machine())
        each = np.array([np.broadcast_to(part, one.count) for part in shown])
        return taken(each, which)


def _plainly(column: np.ndarray) -> Any:
    """A column, or its one value where all are the same."""
    if not len(column) or column[0] != column[-1]:
        return column
    return column[0] if (column == column[0]).all() else column


def taken(lines: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The numbers at some places of a line, or of every line of a table."""
    # NumPy checks places for being too large in twice the time: here they never are.
    return np.take(lines, place, axis=-1, mode="clip")
