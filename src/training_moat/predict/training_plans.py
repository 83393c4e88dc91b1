"""Training requests: from a JSON case to every plan that could answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training_moat.core import planning
from training_moat.core.errors import InputError, nearest
from training_moat.core.machine import Chip
from training_moat.core.memory import OPTIMIZER_BYTES, optimizer_bytes
from training_moat.core.plan import OFFLOAD_LEVELS, RECOMPUTE_LEVELS, Plan, impossible
from training_moat.core.units import TERA
from training_moat.core.workload import Transformer
from training_moat.predict import requests
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
MISSPELT = 0.75
"""Likeness to a known stack's name (0 to 1, difflib) above which an unknown name is taken for a misspelt one."""


@dataclass
class TrainingCase:
    """One parsed request. `plans` holds the candidate layouts, columns as in `Plan`. `released` is the software's date
    as a year with its fraction, `matmul_flops` what a large matmul reaches on the asker's own machine, in FLOP/s."""

    id: Any
    model: Transformer
    chip: Chip
    precision: str
    software: Software
    optimizer: str
    master_weights: bool
    chips: int
    seq_len: int
    global_batch: int
    fixed: dict[str, Any]
    sequence_parallel: bool | None
    flash_attention: bool
    lora_rank: int = 0
    offload: int = 0
    released: float | None = None
    matmul_flops: float | None = None
    price_usd_per_chip_hour: float | None = None
    tokens_b: float | None = None
    goodput: float | None = None
    notes: list[str] = field(default_factory=list)
    plans: list[dict[str, int]] = field(default_factory=list)

    @property
    def stack(self) -> str:
        """The calibrated software stack that runs the case."""
        return self.software.stack

    @property
    def state_bytes(self) -> float:
        """Bytes of optimizer state per trained weight."""
        return optimizer_bytes(self.optimizer, self.master_weights)


def parse(case: Mapping[str, Any]) -> TrainingCase:
    """Check one request and list its candidate plans. Raises `InputError` in one sentence."""
    if not isinstance(case, Mapping):
        raise InputError(f"a case is {type(case).__name__}; expected an object")
    requests.reject_unknown_fields(case, FIELDS)
    model = requests.weights_agree(requests.model_of(case))
    chip = requests.chip_of(case)
    _reject_dead_links(chip)
    precision, notes = requests.precision_of(case, chip)
    name, unknown = _software(case)
    flash = _flash(case, chip, precision, name)
    fixed = _fixed(case)
    parsed = TrainingCase(
        id=case.get("id"),
        model=model,
        chip=chip,
        precision=precision,
        software=stacks.find(name or stacks.default_name(chip), flash),
        optimizer=requests.choice(case, "optimizer", tuple(OPTIMIZER_BYTES)) or "adamw",
        master_weights=True,
        chips=_chips(case, fixed),
        seq_len=requests.whole(case, "seq_len") or CUSTOMARY_SEQUENCE,
        global_batch=0,
        fixed=fixed,
        sequence_parallel=requests.flag(case, "sequence_parallel"),
        flash_attention=flash,
        lora_rank=requests.whole(case, "lora_rank", 0) or 0,
        released=_released(case),
        notes=requests.model_notes(case) + notes + unknown,
    )
    _read_states(case, parsed)
    _read_evidence(case, parsed)
    if case.get("seq_len") is None:
        parsed.notes.append(f"seq_len not given; {CUSTOMARY_SEQUENCE} assumed")
    _settle_for_old_stacks(parsed)
    _settle_selective(parsed)
    parsed.global_batch = requests.whole(case, "global_batch") or _customary_batch(parsed)
    parsed.plans = _candidates(parsed)
    return parsed


def _read_states(case: Mapping[str, Any], parsed: TrainingCase) -> None:
    """Which copies of the weights and states are kept, and where."""
    given = requests.flag(case, "master_weights")
    parsed.master_weights = parsed.software.master_weights if given is None else given
    if given is None and not parsed.master_weights:
        parsed.notes.append(f"{parsed.software.name} keeps no FP32 copy of the weights")
    word = requests.choice(case, "offload", (*OFFLOAD_LEVELS, "cpu"))
    paged = parsed.software.states_in_backward and parsed.optimizer == "adam8bit"
    if word is None and paged and parsed.chips == 1:
        word = "optimizer"
        parsed.notes.append("8-bit states are paged to the host, as the stack's own recipe does")
    parsed.offload = OFFLOAD_LEVELS["all" if word == "cpu" else word or "none"]
    if parsed.offload:
        parsed.notes.append(
            "the host's link and memory are taken as one PCIe 4.0 x16 link's worth a chip"
        )


def _read_evidence(case: Mapping[str, Any], parsed: TrainingCase) -> None:
    """What the asker knows of the machine and the run's price."""
    given = requests.number(case, "matmul_tflops", above=True)
    if given is not None:
        peak = parsed.chip.peak_flops[parsed.chip.compute_format(parsed.precision)]
        if given * TERA > peak:
            raise InputError(
                f"matmul_tflops is {given:g}; expected at most the chip's peak, {peak / TERA:g}"
            )
        parsed.matmul_flops = given * TERA
    parsed.price_usd_per_chip_hour = requests.number(case, "price_usd_per_chip_hour")
    parsed.tokens_b = requests.number(case, "tokens_b", above=True)
    parsed.goodput = requests.number(case, "goodput", 0.0, 1.0, above=True)


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


def _settle_for_old_stacks(case: TrainingCase) -> None:
    """What stacks of before fused attention could not do is off unless the case asks for it."""
    if case.stack not in stacks.UNFUSED_STACKS or case.flash_attention:
        return
    if case.sequence_parallel is None:
        case.sequence_parallel = False
    if case.fixed["recompute"] is None:
        case.fixed["recompute"] = RECOMPUTE_LEVELS["full"]
        case.notes.append(
            "recompute not given; full assumed, as stacks without fused attention ran"
        )


def _settle_selective(case: TrainingCase) -> None:
    """Some stacks mean whole layers by selective recomputation."""
    share = case.software.selective_share
    if share is not None and case.fixed["recompute"] == RECOMPUTE_LEVELS["selective"]:
        case.fixed |= {"recompute": RECOMPUTE_LEVELS["full"], "recompute_share": share}
        case.notes.append(f"selective recomputation in this stack redoes {share:.0%} of the layers")


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


def _fixed(case: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("tp", "pp", "dp", "ep", "cp", "micro_batch", "virtual_stages", "expert_tp")
    fixed: dict[str, Any] = {key: requests.whole(case, key) for key in keys}
    fixed["zero_stage"] = requests.whole(case, "zero_stage", 0, 3)
    word = requests.choice(case, "recompute", tuple(RECOMPUTE_LEVELS))
    fixed["recompute"] = None if word is None else RECOMPUTE_LEVELS[word]
    fixed["recompute_share"] = requests.share(case, "recompute_share")
    return fixed


def _chips(case: Mapping[str, Any], fixed: Mapping[str, Any]) -> int:
    chips = requests.whole(case, "chips")
    sizes = [fixed[key] for key in ("tp", "pp", "dp", "cp")]
    known = [size or 1 for size in sizes]
    product = known[0] * known[1] * known[2] * known[3]
    if chips is None:
        if fixed["dp"] is None:
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
    2022): Volta has no such kernels (Dao 2023 supports Ampere and later), Megatron's FP16 runs and DeepSpeed's runs
    on Ampere date from before it."""
    given = requests.flag(case, "flash_attention")
    if given is not None:
        return given
    stack = stacks.all_software()[software].stack if software else None
    old = (stack == "megatron-core" and precision == "fp16") or (
        stack == "deepspeed" and chip.family == "nvidia-ampere"
    )
    return not (old or chip.family == "nvidia-volta")


def _customary_batch(case: TrainingCase) -> int:
    replicas = case.fixed["dp"] or case.chips
    per_replica = max(1, round(CUSTOMARY_BATCH_TOKENS / case.seq_len / replicas))
    batch = replicas * per_replica * (case.fixed["micro_batch"] or 1)
    case.notes.append(f"global_batch not given; {batch} sequences assumed")
    return batch


def _candidates(case: TrainingCase) -> list[dict[str, int]]:
    fully_sharded = bool(case.software.fully_sharded)
    found = planning.layouts(
        case.model,
        case.chip,
        case.chips,
        case.seq_len,
        case.global_batch,
        case.fixed,
        fully_sharded,
    )
    broken = _broken(case, found) if found else []
    good = [layout for layout, reason in zip(found, broken, strict=True) if reason is None]
    if good:
        return good
    raise InputError(_why_none(case, broken))


def plan(case: TrainingCase, layouts: Sequence[Mapping[str, int]]) -> Plan:
    """Candidate layouts as one plan whose fields are arrays."""
    columns = {key: np.array([layout[key] for layout in layouts], float) for key in layouts[0]}
    wanted = case.sequence_parallel
    parallel = (columns["tp"] > 1) if wanted is None else np.full(len(layouts), wanted)
    return Plan(
        seq_len=float(case.seq_len),
        global_batch=float(case.global_batch),
        sequence_parallel=parallel.astype(float),
        flash_attention=float(case.flash_attention),
        expert_tp=float(case.fixed["expert_tp"] or 0),
        gradient_bytes=stacks.wire_bytes(case.software, case.precision),
        lora_rank=float(case.lora_rank),
        offload=float(case.offload),
        **columns,
    )


def _broken(case: TrainingCase, layouts: Sequence[Mapping[str, int]]) -> list[str | None]:
    """For each layout the first rule it breaks, or None."""
    reasons: list[str | None] = [None] * len(layouts)
    for broken, text in reversed(impossible(case.model, plan(case, layouts))):
        for index in np.flatnonzero(np.broadcast_to(broken, len(layouts))):
            reasons[index] = text
    return reasons


def _why_none(case: TrainingCase, reasons: Sequence[str | None]) -> str:
    """One sentence on why no layout remains: the rule the asked-for settings break."""
    if not reasons:
        asked = {key: value for key, value in case.fixed.items() if value is not None}
        layout = {
            "tp": 1,
            "pp": 1,
            "cp": 1,
            "ep": 1,
            "micro_batch": 1,
            "virtual_stages": 1,
            "zero_stage": 1,
            "recompute": 0,
        }
        layout |= asked
        layout["dp"] = asked.get("dp") or max(
            1, case.chips // (layout["tp"] * layout["pp"] * layout["cp"])
        )
        reasons = _broken(case, [layout])
    known = next((reason for reason in reasons if reason), None)
    free_sizes = any(case.fixed[key] is None for key in ("tp", "pp")) and case.fixed["dp"] is None
    if known and not (free_sizes and "global_batch" in known and case.fixed["micro_batch"] is None):
        return f"no plan is possible: {known}"
    return (
        f"no plan divides {case.chips} chips, {case.model.layers:.0f} layers and {case.global_batch} sequences; "
        "chips must be tp x pp x dp x cp, pp at most the layers and global_batch a multiple of dp"
    )
