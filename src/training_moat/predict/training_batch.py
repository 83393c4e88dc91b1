"""Many training runs at once: their candidate plans as arrays, weighed, thinned to those that fit, and timed.

Runs of unequal models, chips and software become columns: every distinct model and every distinct setting is described
once, and runs point at them. What all runs of a sweep share stays a plain number. Memory comes first: it costs less than
time, and where a plan fits those that do not need no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from training_moat.core import tiers
from training_moat.core import training_step as model_of_step
from training_moat.core.fabrics import Fabric
from training_moat.core.layer_step import Efficiency, Node
from training_moat.core.memory import TrainingMemory, least_recompute_share, training_memory
from training_moat.core.plan import Plan, impossible
from training_moat.core.planning import LAYOUT
from training_moat.core.training_step import StepTime
from training_moat.core.workload import Transformer
from training_moat.predict import software as stacks
from training_moat.predict import training_constants as known
from training_moat.predict.attainable import Attainable
from training_moat.predict.training_constants import Constants, Kind
from training_moat.predict.training_plans import Setting, TrainingCase

NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLANS_AT_ONCE = 32_768
"""Plans in one sweep: as many as keep its arrays near the processor."""
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
    return Rows(
        Tables(models, cases, constants),
        np.array([number[id(case.model)] for case in cases], int),
        np.arange(len(cases)),
        *np.array([(c.chips, c.seq_len, c.global_batch) for c in cases], float).T,
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
    sweeps = (_Sweep(rows, part) for part in parts)
    found = _joined([sweep.evaluated(sweep.fastest()) for sweep in sweeps])
    return found.at(np.argsort(np.concatenate(parts), kind="stable"))


def candidates(case: TrainingCase, constants: Constants) -> Evaluated:
    """The plans of one case that fit, fastest first; where none does, those that need hardly more than the smallest."""
    sweep = _Sweep(rows_of([case], constants), np.array([0]))
    return sweep.evaluated(np.lexsort((sweep.room, sweep.step.total)))


def possible(rows: Rows, part: np.ndarray) -> list[np.ndarray]:
    """Of each of some rows the layouts that break no rule (`plan.impossible`)."""
    plans = _Plans(rows, part)
    broken = np.zeros(int(plans.counts.sum()), bool)
    for rule, _ in impossible(plans.model, plans.plan):
        broken |= np.asarray(rule, bool)
    own = np.split(broken, np.cumsum(plans.counts)[:-1])
    return [
        rows.layouts[index][:, ~wrong] if wrong.any() else rows.layouts[index]
        for index, wrong in zip(part.tolist(), own, strict=True)
    ]


class Tables:
    """What models and settings say as columns, a value for each of them; each kind of run is looked up once."""

    def __init__(
        self, models: Sequence[Transformer], settings: Sequence[Setting], constants: Constants
    ) -> None:
        self.models, self.settings = models, settings
        kinds: dict[tuple, int] = {}
        self.kind = np.array([kinds.setdefault(_key(one), len(kinds)) for one in settings], int)
        first = dict(zip(self.kind[::-1].tolist(), settings[::-1], strict=True))
        chosen = self.first = [first[index] for index in range(len(kinds))]
        nodes = {
            (id(one.chip), one.precision): known.node(constants, one.chip, one.precision)
            for one in chosen
        }
        self.nodes = [nodes[id(one.chip), one.precision] for one in chosen]
        self.node = _columns(self.nodes)
        self.efficiency = _columns([efficiency_of(constants, kind_of(one)) for one in chosen])
        names = {
            (node.scaleup.topology, node.scaleout.topology): index
            for index, node in enumerate(self.nodes)
        }
        shape = [names[node.scaleup.topology, node.scaleout.topology] for node in self.nodes]
        self.topology = np.array(shape)[self.kind]
        """A number for the topologies of a setting's chip: those of a sweep are the same."""
        self.asked = np.array([_asked(one) for one in settings], float).T
        self.held = np.array([_held(one, constants) for one in settings], float).T
        self.shapes = {
            name: np.array([getattr(model, name) for model in models], float)
            for name in MODEL_FIELDS
        }


MODEL_FIELDS = tuple(f.name for f in fields(Transformer) if f.name != "name")


def _key(setting: Setting) -> tuple:
    return (
        id(setting.chip),
        setting.precision,
        setting.software.name,
        setting.released,
        setting.matmul_flops,
    )


def _asked(setting: Setting) -> tuple[Any, ...]:
    """What a setting says of a plan, as numbers."""
    return (
        -1 if setting.sequence_parallel is None else setting.sequence_parallel,
        setting.flash_attention,
        setting.expert_tp or 0,
        stacks.wire_bytes(setting.software, setting.precision),
        setting.lora_rank,
        setting.offload,
        1.0 if setting.recompute_share is None else setting.recompute_share,
        setting.recompute_share is None and setting.recompute is None,
    )


def _held(setting: Setting, constants: Constants) -> tuple[Any, ...]:
    """What a setting's software and format keep in memory, and the room of one chip."""
    own, precision = setting.software, setting.precision
    return (
        stacks.gradient_bytes(own, precision, 0),
        stacks.gradient_bytes(own, precision, 2),
        own.states_in_backward,
        *known.reserve(constants, own),
        known.kept_input_bytes(precision),
        own.fully_sharded and setting.master_weights and not setting.lora_rank,
        setting.state_bytes,
        own.activation_factor,
        own.spare_layers,
        *astuple(tiers.room_for(setting.chip, "training")),
    )


def kind_of(setting: Setting) -> Kind:
    """The kind of run that a setting is, with the asker's own matmul rate where one is given."""
    found = known.kind(setting.chip, setting.precision, setting.software, setting.released)
    if setting.matmul_flops is None:
        return found
    peak = setting.chip.peak_flops[setting.chip.compute_format(setting.precision)]
    return replace(found, top=Attainable(setting.matmul_flops / peak, "own", found.top.share))


def efficiency_of(constants: Constants, kind: Kind) -> Efficiency:
    """The measured constants of a kind. On a machine whose own matmuls fall short of what others' reach, for its clocks or
    its power, attention falls short as well."""
    found = known.efficiency(constants, kind)
    if kind.top.basis != "own":
        return found
    return replace(found, attention=found.attention * min(kind.top.share / kind.top.usual, 1.0))


def _columns(records: Sequence[Any]) -> Any:
    """One record whose numeric fields are arrays with a value for each record."""
    return stack_records(records, np.arange(len(records)))


def stack_records(records: Sequence[Any], which: np.ndarray) -> Any:
    """One record whose numeric fields are arrays, from one record per label and the label of every row."""
    first = records[0]
    columns: dict[str, Any] = {}
    for name, value in vars(first).items():
        if isinstance(value, str):
            columns[name] = value
        elif isinstance(value, Fabric):
            columns[name] = stack_records([getattr(record, name) for record in records], which)
        else:
            columns[name] = np.array([getattr(record, name) for record in records], float)[which]
    return type(first)(**columns)


def _parts(rows: Rows) -> Iterator[np.ndarray]:
    """The rows in groups to be swept together: of the same topologies, by model, neither too many nor too few plans."""
    topology = rows.tables.topology[rows.setting]
    order = np.lexsort((rows.model, topology))
    new_topology = np.diff(topology[order], prepend=-1) != 0
    new_model = np.diff(rows.model[order], prepend=-1) != 0
    start, plans = 0, 0
    for place, count in enumerate(rows.counts[order].tolist()):
        full = plans + count > PLANS_AT_ONCE or (new_model[place] and plans >= ENOUGH_OF_A_MODEL)
        if place > start and (full or new_topology[place]):
            yield order[start:place]
            start, plans = place, 0
        plans += count
    if len(order):
        yield order[start:]


class _Plans:
    """Some rows' candidates as one plan of arrays."""

    def __init__(self, rows: Rows, part: np.ndarray) -> None:
        self.rows, self.tables, self.part = rows, rows.tables, part
        self.setting = rows.setting[part]
        self.counts = rows.counts[part]
        layouts = np.concatenate([rows.layouts[index] for index in part.tolist()], axis=1)
        self.plan = self._plan(layouts)
        self.model = self._model()

    def _each(self, per_row: np.ndarray) -> Any:
        """A value of each row as one of each plan; a plain number where all are the same."""
        if (per_row == per_row[0]).all():
            return per_row[0]
        return np.repeat(per_row, self.counts)

    def _spread(self, record: Any, which: np.ndarray) -> Any:
        """A record of columns with a value of each plan."""
        return _map(record, lambda column: self._each(column[which]))

    def _model(self) -> Transformer:
        which = self.rows.model[self.part]
        sizes = {n: self._each(column[which]) for n, column in self.tables.shapes.items()}
        return Transformer(name="many", **sizes)

    def _plan(self, layouts: np.ndarray) -> Plan:
        each = [self._each(column) for column in self.tables.asked[:, self.setting]]
        parallel, flash, cut, wire, rank, offload, share, self.open = each
        columns = dict(zip(LAYOUT, layouts, strict=True))
        return Plan(
            seq_len=self._each(self.rows.seq_len[self.part]),
            global_batch=self._each(self.rows.global_batch[self.part]),
            sequence_parallel=np.where(parallel < 0, columns["tp"] > 1, parallel).astype(float),
            flash_attention=flash,
            expert_tp=cut,
            gradient_bytes=wire,
            lora_rank=rank,
            offload=offload,
            recompute_share=share,
            **columns,
        )


class _Sweep(_Plans):
    """Some rows' plans weighed; of each row those worth timing are kept, and timed."""

    def __init__(self, rows: Rows, part: np.ndarray) -> None:
        super().__init__(rows, part)
        self._weigh()
        if (self.counts > 1).any():
            self._keep_promising()
            self.model = self._model()
        self.step = self._timed()

    def _weigh(self) -> None:
        """Memory of the plans, with no more layers recomputed than it asks where that is left open."""
        chips = self.rows.chips[self.part]
        own = self.tables.held[:, self.setting].copy()
        # Stacks that step in the backward pass keep no gradients while one chip has them all.
        own[:2] = np.where((own[2] > 0) & (chips == 1), 0.0, own[:2])
        own[-1] /= chips
        each = [self._each(column) for column in own]
        whole, sharded, _, reserve, slack, kept, master, states, factor, spare, *room = each
        self.states, self.space = states, tiers.Room(*room)
        model = self.model

        def weigh(plan: Plan) -> TrainingMemory:
            gradient = np.where(plan.zero_stage >= 2, sharded, whole)
            return training_memory(
                model, plan, states, gradient, reserve, slack, kept, master, factor, spare
            )

        if np.any(self.open):
            least = least_recompute_share(
                model,
                self.plan,
                lambda trial: self.space.decisive(*_kinds(weigh(trial))),
                self.space.space,
            )
            open_ = np.logical_and(self.open > 0, self.plan.recompute >= 2)
            share = np.where(open_, least, self.plan.recompute_share)
            self.plan = replace(self.plan, recompute_share=share)
        self.memory = _full(weigh(self.plan), int(self.counts.sum()))
        kinds = _kinds(self.memory)
        self.fits, self.room = self.space.holds(*kinds), self.space.decisive(*kinds)

    def _keep_promising(self) -> None:
        """Keep of each row the plans that fit or, where none does, those nearly as small as the smallest."""
        starts = np.cumsum(self.counts) - self.counts
        some = np.repeat(np.logical_or.reduceat(self.fits, starts), self.counts)
        smallest = np.repeat(np.minimum.reduceat(self.room, starts), self.counts)
        kept = np.where(some, self.fits, self.room <= NEARLY_SMALLEST * smallest)
        self.counts = np.add.reduceat(kept.astype(int), starts)
        self.plan, self.memory = (
            _map(record, lambda column: column[kept] if np.ndim(column) else column)
            for record in (self.plan, self.memory)
        )
        self.fits, self.room = self.fits[kept], self.room[kept]
        self.states = self.states[kept] if np.ndim(self.states) else self.states

    def _timed(self) -> StepTime:
        kind = self.tables.kind[self.setting]
        node = self._spread(self.tables.node, kind)
        first: Node = self.tables.nodes[kind[0]]
        node = replace(
            node,
            scaleup=replace(node.scaleup, topology=first.scaleup.topology),
            scaleout=replace(node.scaleout, topology=first.scaleout.topology),
        )
        efficiency = self._spread(self.tables.efficiency, kind)
        step = model_of_step.step_time(self.model, self.plan, node, efficiency, self.states)
        return _full(step, int(self.counts.sum()))

    def fastest(self) -> np.ndarray:
        """Index of each row's best plan: the fastest; of equally fast ones the smallest, then the first."""
        if (self.counts == 1).all():
            return np.arange(len(self.counts))
        seconds = self.step.total
        starts = np.cumsum(self.counts) - self.counts
        shortest = np.repeat(np.fmin.reduceat(seconds, starts), self.counts)
        # A plan without a number for its time is nobody's best, unless there are no others.
        first = np.flatnonzero((seconds == shortest) | (shortest != shortest))
        owner = np.repeat(np.arange(len(self.counts)), self.counts)[first]
        first = first[np.lexsort((self.room[first], owner))]
        return first[np.diff(np.sort(owner), prepend=-1) != 0]

    def evaluated(self, index: np.ndarray) -> Evaluated:
        """Those of the kept plans with all that is known of them."""
        count = int(self.counts.sum())
        flops = model_of_step.model_flops_per_step(self.model, self.plan)
        hardware = model_of_step.hardware_flops_per_step(self.model, self.plan)
        whole = Evaluated(
            _full(self.plan, count),
            self.step,
            self.memory,
            self.fits,
            np.broadcast_to(flops, count),
            np.broadcast_to(hardware, count),
        )
        return whole.at(index)


def _kinds(memory: TrainingMemory) -> tuple[Any, Any]:
    """(states, activations with the workspace) of runs."""
    states = memory.weights + memory.gradients + memory.optimizer
    return states, memory.activations + memory.workspace


def _full(record: Any, count: int) -> Any:
    """The same record with every field an array of `count` values."""
    return _map(record, lambda column: np.broadcast_to(column, count))


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
