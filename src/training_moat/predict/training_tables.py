"""What models and settings of training runs say, as columns: every distinct thing described once, runs point at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from training_moat.core import tiers
from training_moat.core.activations import Kept
from training_moat.core.memory import Reserve
from training_moat.core.node import Efficiency
from training_moat.core.output_head import BY_WIDTH
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.core.workload import Transformer
from training_moat.predict import software as stacks
from training_moat.predict import training_constants as known
from training_moat.predict import training_nodes
from training_moat.predict.attainable import Attainable
from training_moat.predict.planning import DEGREES
from training_moat.predict.records import stacked
from training_moat.predict.software import Software
from training_moat.predict.training_constants import Constants, Kind
from training_moat.predict.training_plans import TrainingCase
from training_moat.predict.training_settings import Setting

MODEL_FIELDS = tuple(f.name for f in fields(Transformer) if f.name != "name")


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
            (id(one.chip), one.precision): training_nodes.node(constants, one.chip, one.precision)
            for one in chosen
        }
        self.nodes = [nodes[id(one.chip), one.precision] for one in chosen]
        self.node = stacked(self.nodes)
        self.efficiency = stacked([efficiency_of(constants, kind_of(one)) for one in chosen])
        names = {
            (node.scaleup.topology, node.scaleout.topology): index
            for index, node in enumerate(self.nodes)
        }
        shape = [names[node.scaleup.topology, node.scaleout.topology] for node in self.nodes]
        self.topology = np.array(shape)[self.kind]
        """A number for the topologies of a setting's chip: those of a sweep are the same."""
        settled = [one.settled for one in settings]
        self.settled = {name: np.array([one[name] for one in settled]) for name in settled[0]}
        parallel = [one.sequence_parallel for one in settings]
        self.parallel = np.array([-1.0 if one is None else one for one in parallel])
        """Sequence parallelism: -1 where it goes with tensor parallelism."""
        self.open_share = np.array([one.open_share for one in settings])
        self.held = stacked([_held(one, constants) for one in settings])
        self.shapes = {
            name: np.array([getattr(model, name) for model in models], float)
            for name in MODEL_FIELDS
        }


@dataclass(frozen=True)
class Rows:
    """Runs to be predicted: row i is the model `tables.models[model[i]]` under `tables.settings[setting[i]]`, and the columns
    of `layouts[i]` are its candidates (lines as in `LAYOUT`, then the set of `planning.DEGREES` of interleaving for which one
    stands), each with every one of `levels[i]` of recomputation, or with its own where there are none."""

    tables: Tables
    model: np.ndarray
    setting: np.ndarray
    chips: np.ndarray
    seq_len: np.ndarray
    global_batch: np.ndarray
    layouts: Sequence[np.ndarray]
    levels: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.layouts)

    @cached_property
    def has_experts(self) -> np.ndarray:
        """Whether the model of each row is a mixture of experts."""
        return np.array([model.experts > 0 for model in self.tables.models], bool)[self.model]

    @cached_property
    def counts(self) -> np.ndarray:
        """Candidates of every row."""
        ends = np.cumsum([layouts.shape[1] for layouts in self.layouts])
        degrees = np.concatenate([layouts[-1] for layouts in self.layouts]).astype(int)
        each = np.cumsum(DEGREES.sum(axis=1)[degrees])
        return np.diff(each[ends - 1], prepend=0) * self.turns

    @cached_property
    def turns(self) -> np.ndarray:
        """How many candidates each layout of a row stands for."""
        return np.array([len(levels) or 1 for levels in self.levels], int)


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
        [case.levels for case in cases],
    )


def _key(setting: Setting) -> tuple:
    return (
        id(setting.chip),
        setting.precision,
        setting.software.name,
        setting.released,
        setting.matmul_flops,
    )


@dataclass(frozen=True)
class Held:
    """What a setting's software and format keep in memory, and the room of one chip.

    In bytes per weight: `gradient`, and `sharded_gradient` from ZeRO-2 on; `states`, the optimizer's. `in_backward`: the
    optimizer steps inside the backward pass. `master_is_weight`: see `training_memory`; `uncached_master`: the same of
    layers that are recomputed.
    """

    gradient: Any
    sharded_gradient: Any
    in_backward: Any
    states: Any
    master_is_weight: Any
    uncached_master: Any
    reserve: Reserve
    kept: Kept
    room: tiers.Room


def _held(setting: Setting, constants: Constants) -> Held:
    own, precision, chunks = setting.software, setting.precision, setting.chunked_loss
    kept = kept_by(own, precision)
    if chunks is not None:
        kept = replace(kept, loss_chunks=chunks * BY_WIDTH)
    copies = setting.master_weights and not setting.lora_rank
    return Held(
        gradient=stacks.gradient_bytes(own, precision, 0, setting.master_weights),
        sharded_gradient=stacks.gradient_bytes(own, precision, 2, setting.master_weights),
        in_backward=own.states_in_backward,
        states=setting.state_bytes,
        master_is_weight=own.fully_sharded and copies,
        uncached_master=own.torch_native and copies,
        reserve=Reserve(*known.reserve(constants, own, setting.cores_alone)),
        kept=kept,
        room=tiers.room_for(setting.chip, "training"),
    )


def kept_by(software: Software, precision: str) -> Kept:
    """What a software keeps of the activations of a run whose matmul inputs are kept as cast to that format."""
    return Kept(
        BYTES_PER_VALUE[precision],
        software.activation_factor,
        software.spare_layers,
        torch_native=software.torch_native,
        loss_chunks=software.loss_chunks,
        in_place=software.logits_in_place,
    )


def kind_of(setting: Setting) -> Kind:
    """The kind of run that a setting is, with the asker's own matmul rate where one is given."""
    found = known.kind(setting.chip, setting.precision, setting.software, setting.released)
    return on_own_machine(found, setting.matmul_flops or 0.0)


def on_own_machine(found: Kind, matmul_flops: float) -> Kind:
    """A kind of run on a machine whose own large matmuls reach that rate, in FLOP/s (zero: not known)."""
    if not matmul_flops:
        return found
    peak = found.chip.peak_flops[found.chip.compute_format(found.precision)]
    return replace(found, top=Attainable(matmul_flops / peak, "own", found.top.share))


def efficiency_of(constants: Constants, kind: Kind) -> Efficiency:
    """The measured constants of a kind. On a machine whose own matmuls fall short of what others' reach, for its clocks or
    its power, attention falls short as well."""
    found = known.efficiency(constants, kind)
    if kind.top.basis != "own":
        return found
    return replace(found, attention=found.attention * min(kind.top.share / kind.top.usual, 1.0))
