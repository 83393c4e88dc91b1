"""What the words and fractions of a training request settle: chip, format, software, and what it keeps where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from training_moat.catalog import dates
from training_moat.core import tiers
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.core.optimizer_states import (
    FACTORED,
    OPTIMIZER_BYTES,
    ORTHOGONAL,
    WEIGHT_BYTES,
    optimizer_bytes,
)
from training_moat.core.plan import (
    ACTIVATION_OFFLOAD_LEVELS,
    GRAPH_LEVELS,
    OFFLOAD_LEVELS,
    RECOMPUTE_LEVELS,
    STREAM_BYTES,
)
from training_moat.core.units import TERA
from training_moat.predict import frozen_layers, request_fields, requests, usual_dispatchers
from training_moat.predict import software as stacks
from training_moat.predict.software import Software

STORE_NOTE = "weights, gradients and optimizer states are in one store outside the chips, which streams them in layer by layer"
IDLE_NOTE = "activations stay in the SRAM beside the cores; the HBM holds nothing in training"
OWN_HOST_NOTE = "the host's memory is read and written at four fifths of the rate at which the chip's own processor has it"
HOST_NOTE = "the host's link and memory are taken as one PCIe 4.0 x16 link's worth a chip"
NO_HOST = "activations of such chips stay beside their cores"
_VERSION = re.compile(r"[\s_=-]+v?\d+(?:[.-]\d+)*$", re.IGNORECASE)
"""The number of a release behind a stack's name."""

MISSPELT = 0.75
"""Likeness to a known stack's name (0 to 1, difflib) above which an unknown name is taken for a misspelt one."""


class TokenExchange(NamedTuple):
    """How tokens get to their experts: fields of `core.plan.Plan`."""

    dispatch_once: float
    permutes_in_flight: float
    one_hot_dispatch: float
    overlapped_exchange: float
    uneven_routing: float
    expert_capacity: float


@dataclass(kw_only=True)
class Setting:
    """What a request's words and fractions settle, its model and whole numbers apart. `recompute`, `offload` and
    `activation_offload` are levels, `recompute` None where it is free; `chunked_loss` and `narrow_gather` are None where
    the software decides them; `paged`: offloaded states come to the chip to be stepped; `released` is the software's date
    as a year with its fraction, `matmul_flops` what a large matmul reaches on the asker's own machine, in FLOP/s, `graphs` a level of
    `GRAPH_LEVELS`;
    `dispatcher` is named where the request names one."""

    chip: Chip
    precision: str
    software: Software
    flash_attention: bool
    optimizer: str
    master_weights: bool
    sequence_parallel: bool | None
    recompute: int | None
    recompute_share: float | None
    expert_tp: int | None
    exchange: TokenExchange
    dispatcher: str | None
    lora_rank: int
    base_bytes: float
    lora_targets: int
    inputs_kept: int
    shard_group: int
    offload: int
    activation_offload: int = 0
    activation_offload_share: float = 1.0
    chunked_loss: bool | None = None
    narrow_gather: bool | None = None
    paged: bool = False
    released: float | None = None
    matmul_flops: float | None = None
    graphs: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def stack(self) -> str:
        """The calibrated software stack that runs the case."""
        return self.software.stack

    @property
    def cores_alone(self) -> bool:
        """Whether a run has no memory on the chip but that of its cores: weights stream in, or all live there."""
        home = tiers.home_names(self.chip, "training")
        return self.streamed or {one.name for one in self.chip.tiers if one.name in home} == {
            "sram"
        }

    @property
    def streamed(self) -> bool:
        """Whether the chip's weights stream in from a store outside all chips."""
        return "training" in self.chip.streamed

    @property
    def stream_bytes(self) -> float:
        """Bytes of a value between products."""
        return stacks.stream_bytes(self.precision)

    @property
    def state_bytes(self) -> float:
        """Bytes of optimizer state per trained weight."""
        return optimizer_bytes(self.optimizer, self.master_weights)

    @property
    def settled(self) -> dict[str, float]:
        """Fields of a `Plan` that it says, whatever the layout."""
        own, share = self.software, self.recompute_share
        narrow = own.gathers_narrow if self.narrow_gather is None else self.narrow_gather
        gathered = stacks.gathered_bytes(narrow, self.precision)
        return {
            "flash_attention": float(self.flash_attention),
            "expert_tp": float(self.expert_tp or 0),
            "gradient_bytes": stacks.wire_bytes(own, self.precision),
            "gathered_bytes": min(gathered, self.base_bytes) if self.lora_rank else gathered,
            "dispatch_bytes": stacks.dispatch_bytes(own, self.precision),
            **self.exchange._asdict(),
            "graphs": self.graphs,
            "stops_early": own.stops_early,
            "gathers_again": own.gathers_again,
            "scatters_every": own.scatters_every,
            "written_out_bytes": own.written_out_bytes,
            "lora_rank": float(self.lora_rank),
            "lora_targets": float(self.lora_targets),
            "inputs_kept": float(self.inputs_kept),
            "adapter_bytes": own.adapter_bytes,
            "base_bytes": self.base_bytes,
            "shard_group": float(self.shard_group),
            "offload": float(self.offload),
            "paged": float(self.paged),
            "activation_offload": float(self.activation_offload),
            "activation_offload_share": self.activation_offload_share,
            "recompute_share": 1.0 if share is None else share,
            "streamed": float(self.streamed),
            "orthogonal": float(self.optimizer in ORTHOGONAL),
            "factored": float(self.optimizer in FACTORED) * own.torch_native,
            "stream_bytes": self.stream_bytes,
        }

    @property
    def open_share(self) -> bool:
        """Whether the level of recomputation is free, and the share of layers with it."""
        return self.recompute is None and self.recompute_share is None


def settle(case: Mapping[str, Any]) -> Setting:
    """What a request's words and fractions say. Raises `InputError` in one sentence."""
    chip = requests.chip_of(case)
    _reject_dead_links(chip)
    precision, notes = requests.precision_of(case, chip)
    released = _released(case)
    name, unknown = _software(case)
    flash = requests.flag(case, "flash_attention")
    if flash is None:
        flash = stacks.fuses_attention(name, chip, precision, released)
    rank = requests.whole(case, "lora_rank", 0) or 0
    usual = name or stacks.default_name(chip)
    if name and rank:
        usual = stacks.all_software()[name].adapters_as or name
    software = stacks.find(stacks.of_date(usual, chip, released), flash, released)
    dispatcher = requests.choice(case, "dispatcher", tuple(stacks.DISPATCHERS))
    graphs = requests.choice(case, "graphs", tuple(GRAPH_LEVELS))
    level, share = _recompute(case)
    frozen = frozen_layers.told(case, rank, software, released)
    setting = Setting(
        chip=chip,
        precision=precision,
        software=software,
        flash_attention=flash,
        optimizer=requests.choice(case, "optimizer", tuple(OPTIMIZER_BYTES)) or "adamw",
        master_weights=True,
        sequence_parallel=requests.flag(case, "sequence_parallel"),
        recompute=level,
        recompute_share=share,
        expert_tp=requests.whole(case, "expert_tp"),
        exchange=_exchange(case, software, chip, released, dispatcher),
        dispatcher=dispatcher,
        lora_rank=rank,
        base_bytes=frozen.base_bytes,
        lora_targets=frozen.targets,
        inputs_kept=frozen.inputs_kept,
        shard_group=requests.whole(case, "shard_group") or 0,
        offload=0,
        released=released,
        chunked_loss=requests.flag(case, "chunked_loss"),
        narrow_gather=requests.flag(case, "narrow_gather"),
        graphs=software.graphs if graphs is None else float(GRAPH_LEVELS[graphs]),
        notes=[
            *requests.machine_note(case),
            *requests.chip_notes(case),
            *notes,
            *unknown,
            *frozen.notes,
        ],
    )
    _read_states(case, setting)
    setting.matmul_flops = _matmul_flops(case, setting)
    _settle_for_old_stacks(setting)
    _settle_for_frozen_bits(setting)
    setting.notes.extend(_unasked(setting, name))
    if setting.recompute_share and setting.recompute not in (None, RECOMPUTE_LEVELS["full"]):
        setting.notes.append("recompute_share changes nothing: it is one of full recomputation")
    _settle_selective(setting)
    return setting


def _recompute(case: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """(level of recomputation, share of the layers that full recomputation takes in); None for what is left open."""
    share = requests.share(case, "recompute_share")
    if isinstance(said := case.get("recompute"), bool):
        case = {**case, "recompute": str(said)}
    word = requests.choice(case, "recompute", tuple(RECOMPUTE_LEVELS))
    if word is None and share is not None:  # the share is one of full recomputation
        word = "full" if share else "none"
    return None if word is None else RECOMPUTE_LEVELS[word], share


def _exchange(
    case: Mapping[str, Any],
    software: Software,
    chip: Chip,
    released: float | None,
    dispatcher: str | None,
) -> TokenExchange:
    """How tokens get to their experts: as the case says, else as its software usually does on such a chip."""
    balanced = requests.flag(case, "balanced_routing")
    capacity = requests.number(case, "capacity_factor", above=True) or 0.0
    usual = usual_dispatchers.sends(software, chip, released, capacity > 0)
    return TokenExchange(
        *(stacks.DISPATCHERS[dispatcher] if dispatcher else usual),
        overlapped_exchange=float(requests.flag(case, "overlapped_exchange") or False),
        uneven_routing=float(not (software.balances_routing if balanced is None else balanced)),
        expert_capacity=capacity,
    )


def _read_states(case: Mapping[str, Any], setting: Setting) -> None:
    """Which copies of the weights and states are kept, and where."""
    given = requests.flag(case, "master_weights")
    if given is None:
        given = request_fields.COPIES.get(str(case.get("precision")).lower())
    setting.master_weights = setting.software.master_weights if given is None else given
    if setting.stream_bytes > STREAM_BYTES:
        setting.master_weights = True  # the one copy of the weights is the FP32 one
    elif given is None and not setting.master_weights:
        setting.notes.append(f"{setting.software.name} keeps no FP32 copy of the weights")
    word = requests.choice(case, "offload", (*OFFLOAD_LEVELS, "cpu"))
    setting.offload = OFFLOAD_LEVELS["all" if word == "cpu" else word or "none"]
    kept = requests.choice(case, "activation_offload", tuple(ACTIVATION_OFFLOAD_LEVELS))
    share = requests.share(case, "activation_offload_share")
    if kept is None and share is not None:  # the share is one of all that they keep
        kept = "all" if share else "none"
    setting.activation_offload = ACTIVATION_OFFLOAD_LEVELS[kept or "none"]
    setting.activation_offload_share = 1.0 if share is None else share
    if setting.streamed:
        setting.notes += [STORE_NOTE, *moot("offload", setting.offload and word)]
        setting.notes += moot("activation_offload", setting.activation_offload and kept, NO_HOST)
        setting.notes += moot("shard_group", setting.shard_group)
        if setting.chip.tier("hbm") and "hbm" not in tiers.home_names(setting.chip, "training"):
            setting.notes.append(IDLE_NOTE)
        setting.offload = setting.activation_offload = setting.shard_group = 0
    elif setting.offload or setting.activation_offload:
        setting.notes.append(host_note(setting.chip))


def host_note(chip: Chip) -> str:
    """What is taken of the host's memory."""
    return OWN_HOST_NOTE if tiers.host_bandwidth(chip) else HOST_NOTE


def moot(asked: str, value: Any, why: str = "the store has all states") -> list[str]:
    """A note on a field that says where states or activations are to be, on chips whose store has all states."""
    return [f"{asked} {value} changes nothing: {why}"] if value else []


LEAST_OF_PEAK = 0.1
"""A large product that reaches less of the peak is doubted: of the measured ones (table matmul_maxima) none does."""


def _matmul_flops(case: Mapping[str, Any], setting: Setting) -> float | None:
    """What the asker knows of the machine's matmuls, in FLOP/s."""
    given = requests.number(case, "matmul_tflops", above=True)
    if given is None:
        return None
    peak = setting.chip.peak_flops[setting.chip.compute_format(setting.precision)]
    if given * TERA > peak:
        raise InputError(
            f"matmul_tflops is {given:g}; expected at most the chip's peak, {peak / TERA:g}"
        )
    if given * TERA < LEAST_OF_PEAK * peak:
        setting.notes.append(
            f"matmul_tflops is {given:g}, {given * TERA / peak:.2g} of the chip's peak; is the unit right?"
        )
    return given * TERA


def _released(case: Mapping[str, Any]) -> float | None:
    """The software's date as a year with its fraction: 2026-04, 2026-04-20 or a year."""
    value = case.get("released")
    if value is None:
        return None
    found = re.fullmatch(r"20\d\d(?:-(\d\d)(?:-(?:0[1-9]|[12]\d|3[01]))?)?", str(value)[:20])
    if isinstance(value, bool) or not found or not 1 <= int(found[1] or 1) <= 12:
        shown = requests.shown(value)
        raise InputError(f"released is {shown}; expected a date of 2000 to 2099, such as 2026-04")
    return dates.middle(found[0])


def _settle_for_old_stacks(setting: Setting) -> None:
    """What stacks of before fused attention could not do is off unless the case asks for it."""
    if setting.flash_attention:
        return
    if setting.sequence_parallel is None and setting.software.unfused:
        setting.sequence_parallel = False
    if setting.recompute is None:
        setting.recompute = RECOMPUTE_LEVELS["full"]
        setting.notes.append(
            "recompute not given; full assumed, as stacks without fused attention ran"
        )


def _settle_for_frozen_bits(setting: Setting) -> None:
    """Models with frozen layers in few bits are prepared by a function that turns recomputation on unless told otherwise (PEFT,
    prepare_model_for_kbit_training, use_gradient_checkpointing; Unsloth's has that of its own as default)."""
    peft = setting.software.trains_by_peft
    if setting.open_share and setting.base_bytes < WEIGHT_BYTES and peft:
        setting.recompute = RECOMPUTE_LEVELS["full"]
        setting.notes.append(
            "recompute not given; full assumed, as PEFT has it for layers kept in few bits"
        )


def _unasked(setting: Setting, name: str | None) -> list[str]:
    """That the named software does layers again unless told otherwise, where a request leaves that open."""
    redone = stacks.all_software()[name].redone_unasked if name else ""
    if not (redone and setting.open_share):
        return []
    usual = f"{name} does {redone} again unless told otherwise"
    return [f"recompute not given; the fastest that fits is taken, where {usual}"]


def _settle_selective(setting: Setting) -> None:
    """Some stacks mean whole layers by selective recomputation."""
    share = setting.software.selective_share
    if share is not None and setting.recompute == RECOMPUTE_LEVELS["selective"]:
        setting.recompute, setting.recompute_share = RECOMPUTE_LEVELS["full"], share
        setting.notes.append(
            f"selective recomputation in this stack redoes {share:.0%} of the layers"
        )


def _software(case: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The stack's name, whatever stands between its words and with no version behind it, and what to note: one that nobody
    has measured is `other`, one that looks misspelt is an error."""
    given = case.get("software")
    known = tuple(stacks.all_software())
    if isinstance(given, str):
        named = stacks.by_spelling()
        for said in (given, _VERSION.sub("", given)):
            if found := named.get(requests.plain(said)):
                return found, []
    if not isinstance(given, str) or nearest(given, known, MISSPELT):
        return requests.choice(case, "software", known), []
    shown = requests.shown(given)
    return "other", [f"software {shown} is not among the measured stacks; taken as other"]


def _reject_dead_links(chip: Chip) -> None:
    for name, link in (("scale-up", chip.scaleup), ("scale-out", chip.scaleout)):
        if link is not None and link.bytes_per_s <= 0:
            raise InputError(
                f"chip {chip.id}: its {name} bandwidth is 0; expected more, or no value where there is no such link"
            )
