"""The contract's answers for evaluated training runs, many at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from training_moat.catalog import relatives
from training_moat.core import tiers
from training_moat.core.machine import Chip
from training_moat.core.plan import (
    ACTIVATION_OFFLOAD_LEVELS,
    OFFLOAD_LEVELS,
    RECOMPUTE_LEVELS,
    stage_layers,
)
from training_moat.core.training_step import StepTime
from training_moat.core.units import GB, GIB, TERA
from training_moat.core.workload import Transformer
from training_moat.predict import adapted_products, beyond, frozen_layers
from training_moat.predict import training_constants as known
from training_moat.predict.attainable import attainable
from training_moat.predict.own_runs import ALLOWED, Shift
from training_moat.predict.run_costs import run_costs
from training_moat.predict.software import is_others, lacks_port
from training_moat.predict.training_batch import Evaluated
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import SIZES, Costs, lacks_note
from training_moat.predict.training_settings import Setting
from training_moat.predict.training_tables import Rows

LEVEL_NAMES = {code: word for word, code in RECOMPUTE_LEVELS.items()}
OFFLOAD_NAMES = {code: word for word, code in OFFLOAD_LEVELS.items()}
BASE_NAMES = {size: word for word, size in frozen_layers.BASE_BYTES.items()}
AWAY_NAMES = {code: word for word, code in ACTIVATION_OFFLOAD_LEVELS.items()}
PARTS = tuple(f.name for f in fields(StepTime))
HELD = ("weights", "gradients", "optimizer", "activations", "workspace")
NO_SHIFT = Shift()
"""What no own runs say."""
LONGEST_STEP = 1e9
"""Seconds of a step beyond which an answer is a slip of the question: thirty years."""
MOST_WORKED = 0.75
"""Share of the peak in FLOPs as sources count them, beyond which a chip works visibly less than is counted."""


@dataclass(frozen=True)
class Asked:
    """What beside its physics an answer repeats of each row's request: its id, the notes on what was assumed, what it says of
    costs, and how far own runs shift it."""

    ids: Sequence[Any]
    notes: Sequence[Sequence[str]]
    costs: Sequence[Costs | None]
    shifts: Sequence[Shift] | None = None


@dataclass(frozen=True)
class _Figures:
    """What is said of every row in numbers: columns by their names, how well the constants know it, and the share of the peak
    that it needs without the masked scores, which count in the speeds."""

    speeds: dict[str, np.ndarray]
    memory: dict[str, np.ndarray]
    seconds: dict[str, np.ndarray]
    calibration: list[str]
    worked: np.ndarray

    @classmethod
    def of(
        cls, rows: Rows, found: Evaluated, constants: Constants, shifts: Sequence[Shift]
    ) -> _Figures:
        """The figures of one evaluated plan of each row, moved by what own runs say."""
        calibration, low, high = _calibration(rows, found, constants)
        factor, width = np.array([(shift.factor, shift.width) for shift in shifts]).T
        seconds = {name: getattr(found.step, name) * factor for name in PARTS}
        speeds = _speeds(rows, found, sum(seconds.values()), low**width, high**width)
        worked = speeds["mfu"] * (1 - found.masked_flops / found.model_flops)
        return cls(speeds, _memory(found), seconds, calibration, worked)

    def sensible(self) -> np.ndarray:
        """Where every number is finite and none negative, and the step is no slip; where not, `_absurd` says why."""
        groups = (self.speeds, self.memory, self.seconds)
        numbers = np.array([column for group in groups for column in group.values()])
        total = self.speeds["step_time_s"]
        fine = (np.isfinite(numbers) & (numbers >= 0)).all(axis=0) & (total > 0)
        return fine & (total <= LONGEST_STEP) & (self.worked <= 1)

    def each(self) -> Iterator[tuple[dict[str, float], ...]]:
        """(speeds, memory, seconds) of each row by their names."""
        groups = (self.speeds, self.memory, self.seconds)
        columns = ((group, np.array([*group.values()]).T.tolist()) for group in groups)
        return zip(*([dict(zip(names, row)) for row in told] for names, told in columns))


def answers(
    rows: Rows, found: Evaluated, asked: Asked, constants: Constants
) -> Iterator[dict[str, Any]]:
    """The contract's answer for one evaluated plan of each row, or a refusal where it would be absurd."""
    shifts = asked.shifts or [NO_SHIFT] * len(rows)
    figures = _Figures.of(rows, found, constants, shifts)
    remarks = _Remarks(rows, found, figures)
    sensible, fits = figures.sensible().tolist(), found.fits.tolist()
    stored = np.broadcast_to(found.memory.stored / GIB, len(rows)).tolist()
    columns = zip(figures.each(), _plans(rows, found), strict=True)
    for index, ((speed, held, parts), plan) in enumerate(columns):
        identity, moved = asked.ids[index], shifts[index]
        if not sensible[index]:
            yield {"id": identity, "ok": False, "error": _absurd(parts, held, speed, moved)}
            continue
        chips, rate, seconds = float(rows.chips[index]), speed["tokens_per_s"], speed["step_time_s"]
        expenses, more = run_costs(asked.costs[index], chips, rate, seconds, constants)
        yield {
            "id": identity,
            "ok": True,
            **speed,
            "memory_gib": held,
            **({"store_gib": stored[index]} if stored[index] else {}),
            "fits": fits[index],
            "seconds": parts,
            "plan": plan,
            "calibration": figures.calibration[index],
            **expenses,
            "notes": [*asked.notes[index], *more, *remarks(index, moved)],
        }


def _memory(found: Evaluated) -> dict[str, np.ndarray]:
    """In GiB, by kind and in all."""
    held = {name: getattr(found.memory, name) / GIB for name in HELD}
    total = sum(held.values())
    allocated = total - found.memory.reserve / GIB
    return {**held, "total": total, "allocated": allocated, "reserved": total}


def _speeds(
    rows: Rows, found: Evaluated, total: Any, low: np.ndarray, high: np.ndarray
) -> dict[str, np.ndarray]:
    """Seconds of a step and rates. Utilisation is told of the data sheet's peak, or of what the chip's large products are measured to
    reach where that is more, on cards that run above the clock of their sheet."""
    used = [(one.chip, one.chip.compute_format(one.precision)) for one in rows.tables.first]
    peaks = [chip.peak_flops[form] * max(1.0, attainable(chip, form).share) for chip, form in used]
    peak = np.array(peaks, float)[rows.tables.kind[rows.setting]]
    with np.errstate(all="ignore"):
        tokens = rows.global_batch * rows.seq_len / total
        model = found.model_flops / total / rows.chips
        hardware = found.hardware_flops / total / rows.chips
        return {
            "step_time_s": total,
            "step_time_s_p05": total * low,
            "step_time_s_p95": total * high,
            "tokens_per_s": tokens,
            "tokens_per_s_per_chip": tokens / rows.chips,
            "model_tflops_per_chip": model / TERA,
            "hardware_tflops_per_chip": hardware / TERA,
            "mfu": model / peak,
            "hfu": hardware / peak,
        }


def _calibration(
    rows: Rows, found: Evaluated, constants: Constants
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(how well the constants know each row, the factors on its seconds that bound 90% of such runs)."""
    kinds = rows.tables.kind[rows.setting]
    labels, which = np.unique(2 * kinds + rows.has_experts, return_inverse=True)
    told = []
    for kind, mixed in ((label // 2, bool(label % 2)) for label in labels.tolist()):
        one = rows.tables.first[kind]
        level = known.level(constants, one.chip, one.precision, mixed, one.software)
        told.append((level, *known.usual_interval(constants, level, one.chip.family, mixed)))
    hidden = rows.tables.shapes["hidden"][rows.model]
    reach = known.reach(constants, hidden, rows.has_experts & found.plan.routed)
    low, high = np.array([bound for _, *bound in told])[which].T ** reach
    return [told[index][0] for index in which.tolist()], low, high


def _absurd(
    parts: Mapping[str, float], held: Mapping[str, float], speed: Mapping[str, float], moved: Shift
) -> str:
    """Why an answer cannot be given."""
    for name, value in (*parts.items(), *held.items()):
        if not math.isfinite(value) or value < 0:
            return f"no sensible {name} comes out; expected sizes that belong to one model and run"
    total = speed["step_time_s"]
    if not 0 < total <= LONGEST_STEP:
        return f"a step would take {total:.3g} s; expected a smaller model or batch, or more chips"
    cause = "anchors" if moved.factor < 1 else "the chip's rates"
    reached = f"the run would reach {speed['mfu']:.2f} of the chip's peak"
    return f"{reached}; expected {cause} that leave it below 1"


def _plans(rows: Rows, found: Evaluated) -> Iterator[dict[str, Any]]:
    """The settings of each row's plan, what there is to say of them."""
    plan = found.plan
    whole = [getattr(plan, name) for name in SIZES] + [rows.seq_len, rows.global_batch]
    named = zip((*SIZES, "seq_len", "global_batch"), np.array(whole).astype(int), strict=True)
    levels = np.array([LEVEL_NAMES[level] for level in range(len(LEVEL_NAMES))], object)
    words = [_words(setting) for setting in rows.tables.settings]
    told = {
        name: np.array([one[name] for one in words], object)[rows.setting].tolist()
        for name in words[0]
    }
    usual = {name: told.pop(name) for name in USUAL}
    columns = {
        **{name: column.tolist() for name, column in named},
        "sequence_parallel": plan.sequence_parallel.astype(bool).tolist(),
        "recompute": levels[plan.recompute.astype(int)].tolist(),
        "recompute_share": plan.recomputed_layers.tolist(),
        **usual,
        "expert_tp": [
            int(cut) if one else None
            for cut, one in zip(plan.expert_tensor.tolist(), rows.has_experts.tolist(), strict=True)
        ],
        **told,
    }
    silent = [name for name, values in columns.items() if None in values]
    for values in zip(*columns.values(), strict=True):
        said = dict(zip(columns, values, strict=True))
        for name in silent:
            if said[name] is None:
                del said[name]
        yield said


USUAL = ("precision", "software", "optimizer", "master_weights", "flash_attention")
"""What a setting always says of a plan."""


def _words(setting: Setting) -> dict[str, Any]:
    """What of a plan its setting says already: `USUAL` and, where they are unusual, the others."""
    return {
        "precision": setting.precision,
        "software": setting.software.name,
        "optimizer": setting.optimizer,
        "master_weights": setting.master_weights,
        "flash_attention": setting.flash_attention,
        "dispatcher": setting.dispatcher,
        "capacity_factor": setting.exchange.expert_capacity or None,
        "lora_rank": setting.lora_rank or None,
        "lora_targets": adapted_products.names(setting.lora_targets),
        "shard_group": setting.shard_group or None,
        "base_precision": BASE_NAMES.get(setting.base_bytes),
        "offload": OFFLOAD_NAMES[setting.offload] if setting.offload else None,
        "chunked_loss": setting.chunked_loss,
        "narrow_gather": setting.narrow_gather,
        "activation_offload": AWAY_NAMES[away] if (away := setting.activation_offload) else None,
        "activation_offload_share": _less_than_all(setting),
    }


def _less_than_all(setting: Setting) -> float | None:
    """The share of the layers whose activations wait in the host's memory, where it is neither none nor all."""
    share = setting.activation_offload_share
    return share if setting.activation_offload and share < 1 else None


BALANCED_NOTE = "every chip's experts are taken to get equal shares of the tokens"
ROUTED_NOTE = (
    "the router is taken to decide how many tokens each chip's experts get, unevenly: such runs"
    " scatter further, and the range is wider for it"
)
UNJOINED_NOTE = (
    "{chip} publishes no scale-up link; its chips are taken to talk over their scale-out network"
    " alone"
)
ASSUMED_LINK_NOTE = (
    "{chip} publishes no rate of the link that joins its {joined:,.0f} chips;"
    " {told} is assumed, {rate} GB/s"
)
UNLINKED_NOTE = "{chip} publishes no scale-out link; the chips table's median rate is assumed"
UNMEASURED_NOTE = (
    "no measurements of this software; it is taken to be as fast as the measured ones usually are,"
    " not as the best"
)
OTHERS_NOTE = "{name} is written for its maker's own chips; {chip} is taken to run it likewise"
UNPORTED_NOTE = "{name} is written for GPUs; {chip} is taken to run it, or a port of it, likewise"
MASKED_NOTE = (
    "the scores of attention count in full, of which the masked half is not computed: more of the"
    " peak is told than the chip works"
)
FREED_NOTE = "gradients are let go after each step: none stand beside all activations"
CONTRADICTED_NOTE = (
    "own runs contradict each other: they lie {times:.0f} times as far apart as runs of one machine"
    " do, and the interval is as wide as they leave it"
)
UNDATED_NOTE = "released not given; the middle of the measured releases is assumed"


class _Remarks:
    """Notes on what came out for a row. `due`: where each of them is, and its words for a row."""

    def __init__(self, rows: Rows, found: Evaluated, figures: _Figures) -> None:
        self.rows, self.total_gib = rows, figures.memory["total"]
        plan, settings = found.plan, rows.tables.settings
        self.stored = np.broadcast_to(found.memory.stored, len(rows))
        self.offered: dict[int, tiers.Room] = {}
        layers = np.array([model.layers for model in rows.tables.models], float)[rows.model]
        self.stage = stage_layers(Transformer("", layers, *[1] * 6), plan)

        def of_settings(ask: Callable[[Setting], Any]) -> np.ndarray:
            return np.array([ask(one) for one in settings])[rows.setting]

        several = rows.chips > 1
        unjoined = of_settings(lambda one: relatives.scaleup(one.chip) is None) & several
        assumed = of_settings(lambda one: relatives.lacks_link(one.chip)) & several
        unmeasured = of_settings(lambda one: one.software.untimed > 0)
        others = of_settings(lambda one: is_others(one.software, one.chip))
        unported = of_settings(lambda one: lacks_port(one.software, one.chip))
        lacking = of_settings(lambda one: bool(one.software.lacks))
        undated = of_settings(lambda one: one.released is None) & rows.has_experts
        masked = figures.speeds["hfu"] > MOST_WORKED
        freed = found.memory.gradients < found.memory.gradients_made
        spread, routed = rows.has_experts & (plan.ep > 1), plan.uneven_routing > 0
        due: list[tuple[np.ndarray, Callable[[int], str]]] = [
            (~found.fits, self._short),
            (lacking & several & (rows.counts > 1) & ~found.fits, self._lacking),
            (rows.chips > of_settings(lambda one: tiers.system_limit(one.chip)), self._beyond),
            (unjoined, self._of_chip(UNJOINED_NOTE)),
            (assumed, self._assumed_link),
            (rows.chips > of_settings(_alone), self._of_chip(UNLINKED_NOTE)),
            (unmeasured, self._of_chip(UNMEASURED_NOTE)),
            (others, self._of_software(OTHERS_NOTE)),
            (unported, self._of_software(UNPORTED_NOTE)),
            (self.stage > layers / plan.pp, self._uneven),
            (masked, self._of_chip(MASKED_NOTE)),
            (freed, self._of_chip(FREED_NOTE)),
            (spread & routed, self._of_chip(ROUTED_NOTE)),
            (spread & np.logical_not(routed), self._of_chip(BALANCED_NOTE)),
            (undated, self._of_chip(UNDATED_NOTE)),
        ]
        self.due = [(np.broadcast_to(where, len(rows)), words) for where, words in due]
        self.any = np.logical_or.reduce([where for where, _ in self.due]).tolist()

    def __call__(self, index: int, moved: Shift) -> list[str]:
        notes = []
        if self.any[index]:
            notes = [words(index) for where, words in self.due if where[index]]
        if moved != NO_SHIFT:
            notes.append(f"own runs move the prediction by a factor of {moved.factor:.2f}")
        if moved.apart > 1:
            notes.append(CONTRADICTED_NOTE.format(times=moved.apart * ALLOWED))
        return notes

    def _chip(self, index: int) -> Chip:
        return self.rows.tables.settings[self.rows.setting[index]].chip

    def _of_chip(self, words: str) -> Callable[[int], str]:
        return lambda index: words.format(chip=self._chip(index).id)

    def _short(self, index: int) -> str:
        """Of what there is too little, and how much is needed."""
        chip, key = self._chip(index), int(self.rows.setting[index])
        if key not in self.offered:
            self.offered[key] = tiers.room_for(chip, "training")
        room, stored = self.offered[key], self.stored[index]
        only = self.rows.counts[index] == 1
        which = "the plan" if only else "no plan fits; one of the smallest"
        lacks, has = beyond.apart(self.total_gib[index], room.space / GIB)
        need, offer = f"{lacks} GiB a chip", f"{chip.id} offers {has} GiB"
        if stored > room.store:
            lacks, has = beyond.apart(stored / GIB, room.store / GIB)
            need = f"{lacks} GiB of the store outside the chips"
            offer = f"which offers {has} GiB"
        return f"{which} needs {need}, {offer}; the time is hypothetical"

    def _assumed_link(self, index: int) -> str:
        chip = self._chip(index)
        rate, told = relatives.taken(chip, "scaleup")
        return ASSUMED_LINK_NOTE.format(
            chip=chip.id, joined=chip.domain_chips, told=told, rate=f"{rate / GB:,.0f}"
        )

    def _of_software(self, words: str) -> Callable[[int], str]:
        named = lambda one: words.format(name=one.software.name, chip=one.chip.id)  # noqa: E731
        return lambda index: named(self.rows.tables.settings[self.rows.setting[index]])

    def _lacking(self, index: int) -> str:
        software = self.rows.tables.settings[self.rows.setting[index]].software
        return f"{lacks_note(software)}; a request may ask for it all the same"

    def _beyond(self, index: int) -> str:
        return beyond.more_than_known(self._chip(index), self.rows.chips[index])

    def _uneven(self, index: int) -> str:
        fullest = f"the fullest has {self.stage[index]:.0f}"
        return f"the layers do not divide over the stages: {fullest}, and decides"


def _alone(setting: Setting) -> float:
    """Chips beyond which a network is needed that the chip's maker does not publish."""
    chip = setting.chip
    if chip.scaleout is not None:
        return math.inf
    return relatives.domain_chips(chip) or 1
