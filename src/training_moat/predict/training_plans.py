"""Training requests: from a JSON case to every plan that could answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from training_moat.core import tiers
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.core.memory import OPTIMIZER_BYTES, optimizer_bytes
from training_moat.core.plan import OFFLOAD_LEVELS, RECOMPUTE_LEVELS, Plan, impossible
from training_moat.core.units import TERA
from training_moat.core.workload import Transformer
from training_moat.predict import planning, requests
from training_moat.predict import software as stacks
from training_moat.predict.software import Software

FIELDS = (
    *requests.COMMON_FIELDS,
    "seq_len",
    "global_batch",
    "micro_batch",
    "virtual_stages",
    "zero_stage",
    "sequence_parallel",
    "recompute",
    "recompute_share",
    "optimizer",
    "master_weights",
    "flash_attention",
    "expert_tp",
    "lora_rank",
    "offload",
    "released",
    "matmul_tflops",
    "anchors",
    "price_usd_per_chip_hour",
    "tokens_b",
    "goodput",
)
"""Fields of a training case."""

CUSTOMARY_BATCH_TOKENS = 4 * 2**20
"""Tokens per step where no batch is given: GPT-3 used 3.2 million (Brown et al. 2020, table 2.1), Llama 2 and 3
four (Touvron et al. 2023, section 2.2)."""
CUSTOMARY_SEQUENCE = 4096
STORE_NOTE = "weights, gradients and optimizer states are in one store outside the chips, which streams them in layer by layer"
IDLE_NOTE = "activations stay in the SRAM beside the cores; the HBM holds nothing in training"
HOST_NOTE = "the host's link and memory are taken as one PCIe 4.0 x16 link's worth a chip"
MISSPELT = 0.75
"""Likeness to a known stack's name (0 to 1, difflib) above which an unknown name is taken for a misspelt one."""


SIZES = ("tp", "pp", "dp", "ep", "cp", "micro_batch", "virtual_stages", "zero_stage")
"""Whole numbers of a layout that a case may settle."""
WHOLE = ("chips", *SIZES, "seq_len", "global_batch")
"""The whole numbers of a case."""


MOST_TOKENS_B = 1e7
"""Tokens of the longest run (billions): hundreds of times the longest on record, and less than any count of tokens by ones."""


class Costs(NamedTuple):
    """What a request says of a whole run's costs."""

    price_usd_per_chip_hour: float | None
    tokens_b: float | None
    goodput: float | None


def costs(case: Mapping[str, Any]) -> Costs:
    """What a request says of costs. Raises `InputError` in one sentence."""
    return Costs(
        requests.number(case, "price_usd_per_chip_hour"),
        requests.number(case, "tokens_b", 0.0, MOST_TOKENS_B, above=True),
        requests.number(case, "goodput", 0.0, 1.0, above=True),
    )


@dataclass(kw_only=True)
class Setting:
    """What a request's words and fractions settle, its model and whole numbers apart. `recompute` and `offload` are
    levels, `recompute` None where it is free; `released` is the software's date as a year with its fraction,
    `matmul_flops` what a large matmul reaches on the asker's own machine, in FLOP/s."""

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
    lora_rank: int
    offload: int
    released: float | None = None
    matmul_flops: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def stack(self) -> str:
        """The calibrated software stack that runs the case."""
        return self.software.stack

    @property
    def streamed(self) -> bool:
        """Whether the chip's weights stream in from a store outside all chips."""
        return "training" in self.chip.streamed

    @property
    def state_bytes(self) -> float:
        """Bytes of optimizer state per trained weight."""
        return optimizer_bytes(self.optimizer, self.master_weights)


@dataclass(kw_only=True)
class TrainingCase(Setting):
    """One parsed request. `sizes` holds the layout's numbers that it settles, `layouts` the candidates: an array with the
    lines of `planning.LAYOUT` and a column each."""

    id: Any
    model: Transformer
    chips: int
    seq_len: int
    global_batch: int
    sizes: dict[str, int | None]
    costs: Costs
    layouts: np.ndarray

    @property
    def plans(self) -> list[dict[str, int]]:
        """The candidate layouts one by one."""
        return planning.named(self.layouts)


def parse(case: Mapping[str, Any]) -> TrainingCase:
    """Check one request and list its candidate plans. Raises `InputError` in one sentence."""
    if not isinstance(case, Mapping):
        raise InputError(f"a case is {type(case).__name__}; expected an object")
    requests.reject_unknown_fields(case, FIELDS)
    model, assumed = shape(case)
    setting = settle(case)
    sizes = {key: requests.whole(case, key) for key in SIZES[:-1]}
    sizes["zero_stage"] = requests.whole(case, "zero_stage", 0, 3)
    chips = _chips(case, sizes)
    parsed = TrainingCase(
        **vars(setting),
        id=case.get("id"),
        model=model,
        chips=chips,
        seq_len=requests.whole(case, "seq_len") or CUSTOMARY_SEQUENCE,
        global_batch=requests.whole(case, "global_batch") or 0,
        sizes=sizes,
        costs=costs(case),
        layouts=np.empty((len(planning.LAYOUT), 0)),
    )
    if parsed.streamed:
        parsed.notes = [*parsed.notes, *_moot("zero_stage", sizes["zero_stage"])]
        sizes["zero_stage"] = 0
    _page_states(case, parsed)
    if not parsed.global_batch:
        own = customary_batch(chips, parsed.seq_len, sizes["dp"], sizes["micro_batch"])
        parsed.global_batch = own
    parsed.notes = [*assumed, *parsed.notes, *assumed_numbers(case, parsed.global_batch)]
    parsed.layouts = _candidates(parsed)
    return parsed


def shape(case: Mapping[str, Any]) -> tuple[Transformer, list[str]]:
    """A request's model, and notes on what had to be assumed of it."""
    model = requests.weights_agree(requests.model_of(case))
    return model, requests.model_notes(case)


def settle(case: Mapping[str, Any]) -> Setting:
    """What a request's words and fractions say. Raises `InputError` in one sentence."""
    chip = requests.chip_of(case)
    _reject_dead_links(chip)
    precision, notes = requests.precision_of(case, chip)
    name, unknown = _software(case)
    flash = _flash(case, chip, precision, name)
    word = requests.choice(case, "recompute", tuple(RECOMPUTE_LEVELS))
    setting = Setting(
        chip=chip,
        precision=precision,
        software=stacks.find(name or stacks.default_name(chip), flash),
        flash_attention=flash,
        optimizer=requests.choice(case, "optimizer", tuple(OPTIMIZER_BYTES)) or "adamw",
        master_weights=True,
        sequence_parallel=requests.flag(case, "sequence_parallel"),
        recompute=None if word is None else RECOMPUTE_LEVELS[word],
        recompute_share=requests.share(case, "recompute_share"),
        expert_tp=requests.whole(case, "expert_tp"),
        lora_rank=requests.whole(case, "lora_rank", 0) or 0,
        offload=0,
        released=_released(case),
        notes=notes + unknown,
    )
    _read_states(case, setting)
    setting.matmul_flops = _matmul_flops(case, setting)
    _settle_for_old_stacks(setting)
    _settle_selective(setting)
    return setting


def assumed_numbers(case: Mapping[str, Any], global_batch: int) -> list[str]:
    """Notes on the numbers that a request leaves out."""
    notes = []
    if case.get("seq_len") is None:
        notes.append(f"seq_len not given; {CUSTOMARY_SEQUENCE} assumed")
    if case.get("global_batch") is None:
        notes.append(f"global_batch not given; {global_batch:.0f} sequences assumed")
    return notes


def customary_batch(chips: int, seq_len: int, dp: int | None, micro_batch: int | None) -> int:
    """Sequences a step where none are given: about `CUSTOMARY_BATCH_TOKENS`, as many on every replica."""
    replicas = dp or chips
    per_replica = max(1, round(CUSTOMARY_BATCH_TOKENS / seq_len / replicas))
    return replicas * per_replica * (micro_batch or 1)


def _read_states(case: Mapping[str, Any], setting: Setting) -> None:
    """Which copies of the weights and states are kept, and where."""
    given = requests.flag(case, "master_weights")
    setting.master_weights = setting.software.master_weights if given is None else given
    if given is None and not setting.master_weights:
        setting.notes.append(f"{setting.software.name} keeps no FP32 copy of the weights")
    word = requests.choice(case, "offload", (*OFFLOAD_LEVELS, "cpu"))
    setting.offload = OFFLOAD_LEVELS["all" if word == "cpu" else word or "none"]
    if setting.streamed:
        setting.notes += [STORE_NOTE, *_moot("offload", setting.offload and word)]
        if setting.chip.tier("hbm") and "hbm" not in tiers.home_names(setting.chip, "training"):
            setting.notes.append(IDLE_NOTE)
        setting.offload = 0
    elif setting.offload:
        setting.notes.append(HOST_NOTE)


def _moot(asked: str, value: Any) -> list[str]:
    """A note on a field that says where states are to be, on chips whose store has them all."""
    return [f"{asked} {value} changes nothing: the store has all states"] if value else []


def _page_states(case: Mapping[str, Any], parsed: TrainingCase) -> None:
    """On one chip, a stack that steps in the backward pass pages 8-bit states to the host unless told otherwise."""
    paged = parsed.software.states_in_backward and parsed.optimizer == "adam8bit"
    if case.get("offload") is None and paged and parsed.chips == 1 and not parsed.streamed:
        parsed.offload = OFFLOAD_LEVELS["optimizer"]
        paging = "8-bit states are paged to the host, as the stack's own recipe does"
        parsed.notes = [*parsed.notes, paging, HOST_NOTE]


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
    return given * TERA


def _released(case: Mapping[str, Any]) -> float | None:
    """The software's date as a year with its fraction: 2026-04, 2026-04-20 or a year."""
    value = case.get("released")
    if value is None:
        return None
    found = re.fullmatch(r"(20\d\d)(?:-(\d\d))?(?:-\d\d)?", str(value)[:20])
    if isinstance(value, bool) or not found or not 1 <= int(found.group(2) or 1) <= 12:
        raise InputError(f"released is {requests.shown(value)}; expected a date such as 2026-04")
    month = found.group(2)
    return int(found.group(1)) + ((int(month) - 0.5) / 12 if month else 0.5)


def _settle_for_old_stacks(setting: Setting) -> None:
    """What stacks of before fused attention could not do is off unless the case asks for it."""
    if setting.flash_attention:
        return
    if setting.sequence_parallel is None and setting.stack in stacks.UNFUSED_STACKS:
        setting.sequence_parallel = False
    if setting.recompute is None:
        setting.recompute = RECOMPUTE_LEVELS["full"]
        setting.notes.append(
            "recompute not given; full assumed, as stacks without fused attention ran"
        )


def _settle_selective(setting: Setting) -> None:
    """Some stacks mean whole layers by selective recomputation."""
    share = setting.software.selective_share
    if share is not None and setting.recompute == RECOMPUTE_LEVELS["selective"]:
        setting.recompute, setting.recompute_share = RECOMPUTE_LEVELS["full"], share
        setting.notes.append(
            f"selective recomputation in this stack redoes {share:.0%} of the layers"
        )


def _software(case: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The stack's name and what to note: one that nobody has measured is `other`, one that looks misspelt is an error."""
    given = case.get("software")
    known = tuple(stacks.all_software())
    if not isinstance(given, str) or given.lower() in known or nearest(given, known, MISSPELT):
        return requests.choice(case, "software", known), []
    shown = requests.shown(given)
    return "other", [f"software {shown} is not among the measured stacks; taken as other"]


def _reject_dead_links(chip: Chip) -> None:
    for name, link in (("scale-up", chip.scaleup), ("scale-out", chip.scaleout)):
        if link is not None and link.bytes_per_s <= 0:
            raise InputError(
                f"chip {chip.id}: its {name} bandwidth is 0; expected more, or no value where there is no such link"
            )


def _chips(case: Mapping[str, Any], given: Mapping[str, int | None]) -> int:
    chips = requests.whole(case, "chips")
    sizes = [given[key] for key in ("tp", "pp", "dp", "cp")]
    known = [size or 1 for size in sizes]
    product = known[0] * known[1] * known[2] * known[3]
    if chips is None:
        if given["dp"] is None:
            raise InputError("chips is missing; expected the number of chips")
        return product
    complete = all(size is not None for size in sizes[:3])
    if chips % product or (complete and product != chips):
        shown = " x ".join(
            f"{key}={size}"
            for key, size in zip(("tp", "pp", "dp", "cp"), sizes, strict=True)
            if size
        )
        raise InputError(f"{shown} makes {product} chips, but chips is {chips}")
    return chips


def _flash(case: Mapping[str, Any], chip: Chip, precision: str, software: str | None) -> bool:
    """Fused attention unless the case says otherwise or its date speaks against it (FlashAttention: Dao et al., May
    2022): Volta has no such kernels (Dao 2023 supports Ampere and later), Megatron's FP16 runs and DeepSpeed's and Pax's
    runs on Ampere date from before it."""
    given = requests.flag(case, "flash_attention")
    if given is not None:
        return given
    stack = stacks.all_software()[software].stack if software else None
    on_ampere = stack == "deepspeed" or software == "paxml"
    old = (stack == "megatron-core" and precision == "fp16") or (
        on_ampere and chip.family == "nvidia-ampere"
    )
    return not (old or chip.family == "nvidia-volta")


def _candidates(case: TrainingCase) -> np.ndarray:
    found = planning.layouts(
        case.model,
        case.chip,
        case.chips,
        case.seq_len,
        case.global_batch,
        case.sizes | {"recompute": case.recompute},
        bool(case.software.fully_sharded),
    )
    broken = np.zeros(found.shape[1], bool)
    rules = impossible(case.model, plan(case, found))
    for rule, _ in rules:
        broken = broken | rule
    if broken.all():
        raise InputError(_why_none(case, found))
    return found[:, ~broken]


def plan(case: TrainingCase, layouts: np.ndarray) -> Plan:
    """Candidate layouts as one plan whose fields are arrays."""
    columns = dict(zip(planning.LAYOUT, layouts, strict=True))
    wanted = case.sequence_parallel
    parallel = (columns["tp"] > 1) if wanted is None else np.full(layouts.shape[1], wanted)
    return Plan(
        seq_len=float(case.seq_len),
        global_batch=float(case.global_batch),
        sequence_parallel=parallel.astype(float),
        flash_attention=float(case.flash_attention),
        expert_tp=float(case.expert_tp or 0),
        gradient_bytes=stacks.wire_bytes(case.software, case.precision),
        dispatch_bytes=stacks.dispatch_bytes(case.software, case.precision),
        dispatch_once=case.software.dispatch_once,
        lora_rank=float(case.lora_rank),
        offload=float(case.offload),
        streamed=float(case.streamed),
        **columns,
    )


def _why_none(case: TrainingCase, found: np.ndarray) -> str:
    """One sentence on why no layout remains: the rule the asked-for settings break."""
    sizes = case.sizes
    if not found.shape[1]:
        asked = {key: value or 1 for key, value in sizes.items()}
        asked["zero_stage"] = 1 if sizes["zero_stage"] is None else sizes["zero_stage"]
        chips_a_replica = asked["tp"] * asked["pp"] * asked["cp"]
        asked["dp"] = sizes["dp"] or max(1, case.chips // chips_a_replica)
        asked["recompute"] = case.recompute or 0
        found = np.array([[asked[name]] for name in planning.LAYOUT], float)
    rules = impossible(case.model, plan(case, found))
    broken = (text for broken, text in rules if np.broadcast_to(broken, found.shape[1])[0])
    known = next(broken, None)
    free_sizes = (sizes["tp"] is None or sizes["pp"] is None) and sizes["dp"] is None
    if known and not (free_sizes and "global_batch" in known and sizes["micro_batch"] is None):
        return f"{f'chip {case.chip.id}' if case.streamed else 'no plan is possible'}: {known}"
    return (
        f"no plan divides {case.chips} chips, {case.model.layers:.0f} layers and {case.global_batch} sequences; "
        "chips must be tp x pp x dp x cp, pp at most the layers and global_batch a multiple of dp"
    )
