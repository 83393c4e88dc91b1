"""The frozen constants of the training model, and which of them speak for a chip.

`data/calibration_training.csv` holds one row per constant. A constant is looked up from the general to the
particular: a generic value, times its family's factor, times the chip's own factor, times the software's.
Chips and families without measurements take a factor of one, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core import tiers
from training_moat.core.fabrics import TORUS_AXES, Fabric, from_link
from training_moat.core.machine import Chip
from training_moat.core.memory import FP32_GRADIENT_BYTES
from training_moat.core.training_step import Efficiency, Node
from training_moat.core.units import BYTES_PER_VALUE

TABLE = "calibration_training"

WIDTH_OF_FORMAT = {
    "fp32": "16",
    "tf32": "16",
    "fp16": "16",
    "bf16": "16",
    "fp8": "8",
    "int8": "8",
    "mxfp8": "8mx",
    "nvfp4": "4",
    "mxfp4": "4",
}
"""Matmul formats that share a calibrated constant."""

SOFTWARE_OF_STACK = {
    "megatron-core": ("megatron-core", "megatron", "megatron-lm", "megatron-bridge", "nemo", "primus", "megascale", "hai-llm"),
    "megatron-2023": ("megatron-2023", "nemo-2023"),
    "megatron-2026": ("megatron-2026", "nemo-2026"),
    "deepspeed": ("deepspeed", "megatron-deepspeed", "gpt-neox", "sagemaker"),
    "fsdp": ("fsdp", "pytorch", "composer", "llm-foundry", "torchtitan", "fms-fsdp", "litgpt", "olmo", "meta-4d"),
    "pytorch-eager": ("pytorch-eager", "internevo", "colossalai", "accelerate", "nanotron", "picotron"),
    "maxtext": ("maxtext", "jax", "paxml", "levanter", "easylm"),
    "pytorch-xla": ("pytorch-xla", "torchprime"),
    "mindspeed": ("mindspeed", "modellink", "mindspore"),
    "scaletorch": ("scaletorch",),
    "neuron": ("neuron", "neuronx-distributed", "neuronx-nemo-megatron"),
    "other": ("other", "habana", "optimum-habana"),
}  # fmt: skip
"""Calibrated stacks and the names a caller may use for each, by whose kernels run: Megatron-Core's and Transformer
Engine's, DeepSpeed's, PyTorch's own (compiled and fused, or one by one), XLA's, Huawei's, Amazon's. Stacks without
measurements of their own ("other") are taken to be as fast as the measured ones usually are."""
STACK_OF_SOFTWARE = {name: stack for stack, names in SOFTWARE_OF_STACK.items() for name in names}

REFERENCE_STACK = "megatron-core"
"""The stack whose factors are one: the best measured."""

REFERENCE_KERNELS = (REFERENCE_STACK, "megatron-2023", "megatron-2026")
"""Stacks that share its factors: Megatron-Core of 2023 differed in its attention kernels, that of the containers of June
2026 and later in its expert layers (fused grouped products, whole layers captured as graphs)."""

UNFUSED_STACK = {"megatron-core": "megatron-2021"}
"""Stacks that were another program before fused attention."""


STACK_OF_VENDOR = {"huawei": "mindspeed", "amazon": "neuron", "aws": "neuron"}
"""Vendors whose chips run a calibrated stack of their own."""

FLASH_2_STACKS = ("fsdp", "pytorch-eager", "deepspeed")
FLASH_2_LATER_THAN = ("nvidia-hopper", "nvidia-blackwell")
"""Stacks whose fused attention is FlashAttention-2, written for Ampere, and the families where its instructions fall
short: 35% of an H100's peak against 75% for kernels that use Hopper's (Shah et al. 2024, section 1; PyTorch prefers it
there although cuDNN's is 1.7 to 2.3 times as fast: Hugging Face transformers, pull request 48163). Transformer Engine
and XLA bring kernels of their own."""

ATTENTION_BEFORE_CUDNN_9 = 1 / 1.5
"""Speed of Megatron-Core's fused attention on Hopper before cuDNN 9.0 (February 2024), whose release notes state up to
50% more than 8.9.7 there."""

SELECTIVE_REDOES_LAYERS = {"fsdp": 0.5, "pytorch-eager": 0.5}
"""Stacks whose selective recomputation is not that of the attention core: PyTorch's redoes every second layer, or all
but every second product ("selective" in torchtitan, docs/performance.md; the same word in fms-fsdp)."""

WHOLE_STEP_STACKS = ("maxtext", "pytorch-xla")
"""Stacks that compile the whole step into one program, so that no layer waits for launches (XLA)."""

NO_TENSOR_OVERLAP = ("megatron-2021", "deepspeed")
"""Stacks that wait for every tensor-parallel collective: Megatron-Core hides part of them since 2023."""


SIXTEEN_BIT_GRADIENTS = ("nemo", "nemo-2023", "nemo-2026", "megatron-bridge")
"""Software whose performance recipes reduce gradients in 16 bits (`grad_reduce_in_fp32 = False` in the recipes of
NeMo, scripts/performance, and of Megatron Bridge)."""


def gradient_bytes(precision: str, stack_name: str, software: str | None = None) -> float:
    """Bytes of gradient per weight: FP16 runs accumulate in FP16, others in FP32; DeepSpeed's BF16 optimizer
    keeps the 16-bit gradients beside the FP32 sums (BigScience chronicles, 28 February 2022: "4bytes x params")."""
    if precision == "fp16" or software in SIXTEEN_BIT_GRADIENTS:
        return 2.0
    return 6.0 if stack_name == "deepspeed" else FP32_GRADIENT_BYTES


UNFUSED_STACKS = ("megatron-2021", "deepspeed")
"""Stacks of before fused attention, whose memory readings the reserves were fitted on. Their runs had no sequence
parallelism and recomputed whole layers (Narayanan et al. 2021, section 3.5; both came with Korthikanti et al. 2022)."""

FULLY_SHARDED_STACKS = ("fsdp", "maxtext", "pytorch-xla")
"""Stacks that shard weights over all replicas by default and store them once, in FP32 (Zhao et al. 2023, section 4;
MaxText's `weight_dtype` of float32)."""


@dataclass(frozen=True)
class Constants:
    """All constants by (level, key, name); `date` is the day of the fit."""

    values: Mapping[tuple[str, str, str], float]

    def generic(self, name: str) -> float:
        """A constant that holds for all chips."""
        return self.values["generic", "all", name]

    def factor(self, level: str, key: str, name: str) -> float:
        """A family's, chip's or software's factor on a constant: one where none was fitted."""
        return self.values.get((level, key, name), 1.0)

    def has(self, level: str, key: str) -> bool:
        """Whether anything was fitted for this family, chip or software."""
        return any(known[:2] == (level, key) for known in self.values)


def load() -> Constants:
    """The stored constants."""
    return _load(tables.state(TABLE))


@lru_cache(maxsize=4)
def _load(state: tuple) -> Constants:
    frame = tables.load(TABLE)
    keys = zip(frame["level"], frame["key"], frame["constant"], strict=True)
    return Constants(dict(zip(keys, frame["value"].astype(float), strict=True)))


def stack(software: str | None, flash_attention: bool = True) -> str:
    """The calibrated stack for a software name (None: Megatron-Core, the best measured)."""
    name = STACK_OF_SOFTWARE[(software or "megatron-core").lower()]
    return name if flash_attention else UNFUSED_STACK.get(name, name)


def default_software(chip: Chip) -> str:
    """The stack a chip's published runs use, where the caller names none."""
    if chip.family.startswith("google"):
        return "maxtext"
    if chip.vendor.upper().startswith(("NVIDIA", "AMD")):
        return "megatron-core"
    return STACK_OF_VENDOR.get(chip.vendor.split()[0].lower(), "other")


def level(constants: Constants, chip: Chip) -> str:
    """How well the constants know a chip: `measured`, `family` or `generic`."""
    if constants.has("chip", chip.id):
        return "measured"
    return "family" if constants.has("family", chip.family) else "generic"


def efficiency(constants: Constants, chip: Chip, precision: str, stack_name: str) -> Efficiency:
    """The measured constants for one chip, matmul format and software stack."""
    generic, factor = constants.generic, constants.factor
    width = WIDTH_OF_FORMAT[precision]
    matmul = (
        generic(f"matmul_{width}")
        * factor("family", chip.family, "matmul")
        * factor("family", chip.family, f"matmul_{width}")
        * factor("chip", chip.id, "matmul")
    )
    attention = generic("attention") * factor("family", chip.family, "attention")
    if stack_name in FLASH_2_STACKS and chip.family in FLASH_2_LATER_THAN:
        attention *= generic("attention_ported")
    if stack_name == "megatron-2023" and chip.family == "nvidia-hopper":
        attention *= ATTENTION_BEFORE_CUDNN_9
    matmul_software = factor("software", stack_name, "matmul")
    return Efficiency(
        matmul=min(matmul, 1.0 / matmul_software),  # no product beats the data sheet
        attention=attention,
        memory=min(generic("memory") * factor("family", chip.family, "memory"), 1.0),
        reread=generic("reread"),
        expert=generic("expert"),
        overlap_data=1 - generic("exposed_data"),
        overlap_tensor=0.0 if stack_name in NO_TENSOR_OVERLAP else 1 - generic("exposed_tensor"),
        overlap_expert=1 - generic("exposed_expert"),
        layer_seconds=0.0 if stack_name in WHOLE_STEP_STACKS else generic("layer_seconds"),
        expert_layer_seconds=generic("expert_layer_seconds"),
        expert_call_seconds=generic("expert_call_seconds"),
        expert_software=factor("software", stack_name, "expert"),
        step_seconds=generic("step_seconds"),
        software=stack_speed(constants, stack_name),
        matmul_software=matmul_software,
        straggling=generic("straggling"),
    )


def stack_speed(constants: Constants, stack_name: str) -> float:
    """Speed of a stack's own kernels against the reference stack: the others' common value times its own factor,
    so that a stack nobody has measured is expected to be as slow as the usual one, not as fast as the best."""
    if stack_name in REFERENCE_KERNELS:
        return 1.0
    return constants.generic("other_stack") * constants.factor("software", stack_name, "kernels")


def kept_input_bytes(precision: str) -> float:
    """Bytes per value of the matmul inputs kept for the backward pass: as cast, at most 16 bits."""
    return min(2.0, BYTES_PER_VALUE[precision])


def reserve(constants: Constants, stack_name: str) -> tuple[float, float]:
    """(bytes, share of the activations) that a stack's runtime takes beside what the plan holds."""
    if stack_name in UNFUSED_STACKS:
        return constants.generic("reserve_bytes"), constants.generic("reserve_share")
    return constants.generic("reserve_bytes_fused"), 0.0


def node(constants: Constants, chip: Chip, precision: str) -> Node:
    """The chip in its cluster, links at the share of line rate that training sustains.

    Raises `InputError` when the chip's table lacks a peak or a memory bandwidth.
    """
    used = chip.compute_format(precision)
    wide = "bf16" if chip.peak_flops.get("bf16") else chip.compute_format("fp16")
    return Node(
        peak_flops=chip.peak_flops[used],
        wide_peak_flops=min(chip.peak_flops[wide], chip.peak_flops[used])
        if precision == "fp32"
        else chip.peak_flops[wide],
        value_bytes=BYTES_PER_VALUE[precision],
        memory_bytes_per_s=memory_bandwidth(chip),
        scaleup=scaleup(constants, chip),
        scaleout=scaleout(constants, chip),
    )


def with_efficiencies(plain: Node, constants: Constants) -> Node:
    """The same node with its links at the constants' share of line rate."""
    inner = replace(
        plain.scaleup, efficiency=constants.generic(_scaleup_constant(plain.scaleup.topology))
    )
    outer = replace(plain.scaleout, efficiency=constants.generic("scaleout"))
    return replace(plain, scaleup=inner, scaleout=outer)


def _scaleup_constant(topology: str) -> str:
    return "scaleup_torus" if topology in TORUS_AXES else "scaleup"


def memory_bandwidth(chip: Chip) -> float:
    """Bytes per second of the memory that a run works in; an `InputError` where none is published."""
    return float(tiers.working(chip, "training").bytes_per_s)


def scaleup(constants: Constants, chip: Chip) -> Fabric:
    """The fabric that joins a chip's neighbours; where none is published, its scale-out link does."""
    if chip.scaleup is None:
        return _lone(scaleout(constants, chip))
    return from_link(
        chip.scaleup, efficiency=constants.generic(_scaleup_constant(chip.scaleup.topology))
    )


def _lone(outer: Fabric) -> Fabric:
    return Fabric(outer.bytes_per_s, outer.step_latency_s, outer.efficiency, domain_chips=1)


def scaleout(constants: Constants, chip: Chip) -> Fabric:
    """The network between scale-up domains; where none is published, the table's median rate."""
    if chip.scaleout is not None:
        return from_link(chip.scaleout, efficiency=constants.generic("scaleout"))
    return Fabric(
        median_scaleout(),
        1e-5,
        constants.generic("scaleout"),
        domain_chips=1e9,
        topology="fat_tree",
    )


def median_scaleout() -> float:
    """Median published scale-out rate of the chips table, in bytes per second and direction."""
    rates = [
        chip.scaleout.bytes_per_s for chip in chip_catalog.all_chips().values() if chip.scaleout
    ]
    return float(median(rates))


def interval_kind(family: str, mixture_of_experts: bool) -> str:
    """The kind of run whose errors set an interval: dense on Nvidia's chips (`dense`), dense on others, or with experts."""
    if mixture_of_experts:
        return "moe"
    return "dense" if family.startswith("nvidia") else "dense_other"


def interval(
    constants: Constants, level_name: str, family: str, mixture_of_experts: bool
) -> tuple[float, float]:
    """Factors on a predicted step time that bound 90% of runs never fitted to (low, high), from the residuals
    of sources (for `measured`), chips (`family`) or whole families (`generic`) left out of the fit."""
    kind = interval_kind(family, mixture_of_experts)
    values = constants.values
    return values["interval", level_name, f"{kind}_p05"], values[
        "interval", level_name, f"{kind}_p95"
    ]
