"""Many training cases at once: their candidate plans as arrays, timed and weighed together.

Cases of unequal models, chips and software become columns: every distinct model, chip and software is described once,
and plans point at them. Chips whose networks share a topology are timed in one sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from training_moat.core import tiers
from training_moat.core import training_step as model_of_step
from training_moat.core.fabrics import Fabric
from training_moat.core.memory import TrainingMemory, least_recompute_share, training_memory
from training_moat.core.plan import Plan
from training_moat.core.training_step import Efficiency, StepTime
from training_moat.core.workload import Transformer
from training_moat.predict import software as stacks
from training_moat.predict import training_constants as known
from training_moat.predict.attainable import Attainable
from training_moat.predict.training_constants import Constants, Kind
from training_moat.predict.training_plans import TrainingCase

MODEL_FIELDS = tuple(f.name for f in fields(Transformer) if f.name != "name")
LAYOUT = ("tp", "pp", "cp", "dp", "micro_batch", "virtual_stages", "zero_stage", "ep", "recompute")
"""Columns of a candidate layout."""
NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLANS_AT_ONCE = 400_000
"""Plans that are timed in one sweep: as many as keep its arrays within a gigabyte."""


@dataclass(frozen=True)
class Evaluated:
    """All candidate plans of one case, timed and weighed: arrays of one length.

    `order` holds the indices of the plans, best first: those that fit by time; where none does, by time those that need
    hardly more than the smallest; then the others by memory.
    """

    plan: Plan
    step: StepTime
    memory: TrainingMemory
    fits: np.ndarray
    order: np.ndarray
    model_flops: np.ndarray
    hardware_flops: np.ndarray


class _Distinct:
    """Numbers the distinct things that cases point at, building each once."""

    def __init__(self) -> None:
        self.number: dict[Hashable, int] = {}
        self.items: list[Any] = []

    def __call__(self, key: Hashable, build: Callable[[], Any]) -> int:
        if key not in self.number:
            self.number[key] = len(self.items)
            self.items.append(build())
        return self.number[key]


def evaluate(cases: Sequence[TrainingCase], constants: Constants) -> list[Evaluated]:
    """Time and weigh every candidate plan of every case, in the order of the cases."""
    found: list[Evaluated | None] = [None] * len(cases)
    for group in _groups(cases, constants):
        for part in _parts([len(cases[index].plans) for index in group.cases]):
            chosen = [group.cases[i] for i in part]
            swept = _sweep([cases[i] for i in chosen], constants)
            for index, one in zip(chosen, swept, strict=True):
                found[index] = one
    return found  # type: ignore[return-value]


@dataclass
class _Group:
    cases: list[int]


def _groups(cases: Sequence[TrainingCase], constants: Constants) -> Iterable[_Group]:
    """Cases whose chips' links have the same topologies."""
    groups: dict[tuple[str, str], _Group] = {}
    shape: dict[int, tuple[str, str]] = {}
    for index, case in enumerate(cases):
        if id(case.chip) not in shape:
            inner, outer = known.scaleup(constants, case.chip), known.scaleout(constants, case.chip)
            shape[id(case.chip)] = inner.topology, outer.topology
        groups.setdefault(shape[id(case.chip)], _Group([])).cases.append(index)
    return groups.values()


def _parts(counts: list[int]) -> Iterable[range]:
    """Runs of cases that have no more than `PLANS_AT_ONCE` plans together."""
    start, held = 0, 0
    for index, count in enumerate(counts):
        if held and held + count > PLANS_AT_ONCE:
            yield range(start, index)
            start, held = index, 0
        held += count
    yield range(start, len(counts))


@dataclass(frozen=True)
class _Held:
    """What a case's software and format keep in memory, as arrays over plans."""

    gradient: np.ndarray
    reserve: np.ndarray
    reserve_share: np.ndarray
    kept: np.ndarray
    master: np.ndarray
    states: np.ndarray
    factor: np.ndarray
    spare: np.ndarray
    room: tiers.Room


def _sweep(cases: Sequence[TrainingCase], constants: Constants) -> list[Evaluated]:
    counts = np.array([len(case.plans) for case in cases])
    owner = np.repeat(np.arange(len(cases)), counts)
    models, kinds = _Distinct(), _Distinct()
    which_model = np.array([models(id(c.model), lambda c=c: c.model) for c in cases])[owner]
    which_kind = np.array(
        [
            kinds(
                (id(c.chip), c.precision, c.software.name, c.released, c.matmul_flops),
                lambda c=c: kind_of(c),
            )
            for c in cases
        ]
    )[owner]
    model = _models(models.items, which_model)
    node = stack_records(
        [known.node(constants, kind.chip, kind.precision) for kind in kinds.items], which_kind
    )
    efficiency = stack_records([efficiency_of(constants, kind) for kind in kinds.items], which_kind)
    plan = _plan(cases, owner)
    held = _held(cases, owner, plan, constants)
    plan = _least_recomputation(cases, owner, model, plan, held)
    count = len(owner)
    memory = _full(_weigh(model, plan, held), count)
    step = _full(model_of_step.step_time(model, plan, node, efficiency, held.states), count)
    model_flops = np.broadcast_to(model_of_step.model_flops_per_step(model, plan), count)
    hardware = np.broadcast_to(model_of_step.hardware_flops_per_step(model, plan), count)
    fits = held.room.holds(*_kinds(memory))
    plan = _full(plan, count)
    ends = np.cumsum(counts)
    total, room = step.total, held.room.decisive(*_kinds(memory))
    found = []
    for start, end in zip(ends - counts, ends, strict=True):
        cut = slice(int(start), int(end))
        order = _order(total[cut], room[cut], fits[cut])
        parts = [_cut(record, cut) for record in (plan, step, memory)]
        found.append(
            Evaluated(*parts, fits[cut], order, model_flops[cut], hardware[cut])  # type: ignore[arg-type]
        )
    return found


def _order(seconds: np.ndarray, room: np.ndarray, fits: np.ndarray) -> np.ndarray:
    if len(seconds) == 1:
        return np.zeros(1, int)
    near = fits if fits.any() else room <= NEARLY_SMALLEST * room.min()
    return np.lexsort((room, np.where(near, seconds, np.inf)))


def kind_of(case: TrainingCase) -> Kind:
    """The kind of run that a case is, with the asker's own matmul rate where one is given."""
    found = known.kind(case.chip, case.precision, case.software, case.released)
    if case.matmul_flops is None:
        return found
    peak = case.chip.peak_flops[case.chip.compute_format(case.precision)]
    return replace(found, top=Attainable(case.matmul_flops / peak, "own", found.top.share))


def efficiency_of(constants: Constants, kind: Kind) -> Efficiency:
    """The measured constants of a kind. On a machine whose own matmuls fall short of what others' reach, for its clocks or
    its power, attention falls short as well."""
    found = known.efficiency(constants, kind)
    if kind.top.basis != "own":
        return found
    return replace(found, attention=found.attention * min(kind.top.share / kind.top.usual, 1.0))


def stack_records(records: list[Any], which: np.ndarray) -> Any:
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


def _models(models: list[Transformer], which: np.ndarray) -> Transformer:
    """Distinct models as one, its fields arrays; plain numbers where there is only one."""
    if len(models) == 1:
        return models[0]
    table = np.array([[getattr(m, name) for name in MODEL_FIELDS] for m in models], float)[which]
    return Transformer(name="many", **dict(zip(MODEL_FIELDS, table.T, strict=True)))


def _plan(cases: Sequence[TrainingCase], owner: np.ndarray) -> Plan:
    layouts = [layout for case in cases for layout in case.plans]
    table = np.array([[layout[name] for name in LAYOUT] for layout in layouts], float)
    columns = dict(zip(LAYOUT, table.T, strict=True))
    each = np.array(
        [
            (
                case.seq_len,
                case.global_batch,
                -1 if case.sequence_parallel is None else case.sequence_parallel,
                case.flash_attention,
                case.fixed["expert_tp"] or 0,
                stacks.wire_bytes(case.software, case.precision),
                case.lora_rank,
                case.offload,
                1.0 if case.fixed["recompute_share"] is None else case.fixed["recompute_share"],
            )
            for case in cases
        ],
        float,
    )[owner].T
    seq, batch, parallel, flash, cut, wire, rank, offload, share = each
    return Plan(
        seq_len=seq,
        global_batch=batch,
        sequence_parallel=np.where(parallel < 0, columns["tp"] > 1, parallel).astype(float),
        flash_attention=flash,
        expert_tp=cut,
        gradient_bytes=wire,
        lora_rank=rank,
        offload=offload,
        recompute_share=share,
        **columns,
    )


def _held(
    cases: Sequence[TrainingCase], owner: np.ndarray, plan: Plan, constants: Constants
) -> _Held:
    rows = []
    for case in cases:
        own = case.software
        reserve = known.reserve(constants, own)
        in_backward = own.states_in_backward and case.chips == 1
        rows.append(
            (
                0.0 if in_backward else stacks.gradient_bytes(own, case.precision, 0),
                0.0 if in_backward else stacks.gradient_bytes(own, case.precision, 2),
                *reserve,
                known.kept_input_bytes(case.precision),
                own.fully_sharded and case.master_weights and not case.lora_rank,
                case.state_bytes,
                own.activation_factor,
                own.spare_layers,
                *astuple(tiers.room_for(case.chip, "training", case.chips)),
            )
        )
    whole, sharded, reserve, share, kept, master, states, factor, spare, *room = np.array(
        rows, float
    )[owner].T
    gradient = np.where(plan.zero_stage >= 2, sharded, whole)
    return _Held(gradient, reserve, share, kept, master, states, factor, spare, tiers.Room(*room))


def _weigh(model: Transformer, plan: Plan, held: _Held) -> TrainingMemory:
    return training_memory(
        model,
        plan,
        held.states,
        held.gradient,
        held.reserve,
        held.reserve_share,
        held.kept,
        held.master,
        held.factor,
        held.spare,
    )


def _kinds(memory: TrainingMemory) -> tuple[Any, Any]:
    """(states, activations with the workspace) of runs."""
    states = memory.weights + memory.gradients + memory.optimizer
    return states, memory.activations + memory.workspace


def _least_recomputation(
    cases: Sequence[TrainingCase], owner: np.ndarray, model: Transformer, plan: Plan, held: _Held
) -> Plan:
    """The plans with no more layers recomputed than memory asks, where the case leaves it open."""
    free = np.array(
        [
            case.fixed["recompute_share"] is None and case.fixed["recompute"] is None
            for case in cases
        ]
    )[owner]
    if not free.any():
        return plan
    share = least_recompute_share(
        model,
        plan,
        lambda trial: held.room.decisive(*_kinds(_weigh(model, trial, held))),
        held.room.space,
    )
    open_ = np.logical_and(free, plan.recompute >= 2)
    return replace(plan, recompute_share=np.where(open_, share, plan.recompute_share))


def _full(record: Any, count: int) -> Any:
    """The same record with every field an array of `count` values."""
    return type(record)(
        **{f.name: np.broadcast_to(getattr(record, f.name), count) for f in fields(record)}
    )


def _cut(record: Any, part: slice) -> Any:
    return type(record)(**{f.name: getattr(record, f.name)[part] for f in fields(record)})
