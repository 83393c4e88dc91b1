"""The frozen constants of the training model, and which of them speak for a chip.

`data/calibration_training.csv` holds one row per constant. A constant is looked up from the general to the
particular: a generic value, times its family's factor, times the chip's own factor, times the software's.
Chips and families without measurements take a factor of one, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training_moat.catalog import relatives, tables
from training_moat.core.elementwise import Number
from training_moat.core.machine import Chip
from training_moat.core.node import FUSED_LOGIT_BYTES, LOGIT_BYTES, Efficiency
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.core.workload import Transformer
from training_moat.predict.attainable import UNIT_WIDTHS, Attainable, attainable
from training_moat.predict.fitted import Fitted
from training_moat.predict.software import BEFORE_2, REFERENCE_KERNELS, REFERENCE_STACK, Software

TABLE = "calibration_training"

WIDTH_OF_FORMAT = UNIT_WIDTHS | {"mxfp8": "8mx"}
"""Matmul formats that share a calibrated constant: those that reach the same share of their peaks, eight bits with shared
scales apart."""


def width_of(chip: Chip, precision: str) -> str:
    """The calibrated width that a chip's matmuls have when asked for a format: that of the units that stand in for it."""
    used = WIDTH_OF_FORMAT[chip.compute_format(precision)]
    asked = WIDTH_OF_FORMAT[precision]
    return asked if asked.startswith(used) else used


ATTENTION_BEFORE_CUDNN_9 = 1 / 1.5
"""Speed of Megatron-Core's fused attention on Hopper before cuDNN 9.0 (February 2024), whose release notes state up to
50% more than 8.9.7 there."""
PORTED_ATTENTION_ON = ("nvidia-hopper", "nvidia-blackwell")
"""Families where FlashAttention-2, written for Ampere, falls short: 35% of an H100's peak against 75% for kernels that use
Hopper's instructions (Shah et al. 2024, section 1; PyTorch prefers it there although cuDNN's is 1.7 to 2.3 times as fast:
Hugging Face transformers, pull request 48163)."""
BEFORE_FLASH_ATTENTION_2 = 1 / 1.8
"""Speed of the first FlashAttention's version in Triton against FlashAttention-2: 1.3 to 2.5 times slower (Dao 2023, section
4.1), in the middle of their logarithms 1.8."""
ATTENTION_MEASURED_AT = 0.87
"""Share of the peak that an A100's large products reach (matmul_maxima), on which the expected rate of attention was measured:
clocks and power that hold products back elsewhere hold attention back in the same measure."""
HIGHEST_ATTENTION = 0.75
"""Share of peak that the best fused kernels reach, counting what they compute (Shah et al. 2024, abstract)."""
EARLIEST, LATEST = 2023.0, 2027.0
"""Release dates beyond which the experts' progress is not extrapolated."""


@dataclass(frozen=True)
class Constants(Fitted):
    """The constants of training."""

    def generic(self, name: str) -> float:
        """A constant that holds for all chips."""
        return self.values["generic", "all", name]

    def factor(self, level: str, key: str, name: str) -> float:
        """A family's, chip's or software's factor on a constant: one where none was fitted."""
        return self.values.get((level, key, name), 1.0)


@tables.kept()
def load() -> Constants:
    """The stored constants."""
    return Constants.stored(TABLE)


@dataclass(frozen=True)
class Kind:
    """What decides the measured constants of a run: chip, matmul format, software and its date (a year such as 2025.5;
    None: the middle of the measured releases), and what follows from them: the matmuls' calibrated width, how much of the
    peak the chip's large matmuls reach, and how much those in attention's 16 bits do."""

    chip: Chip
    precision: str
    software: Software
    released: float | None
    width: str
    top: Attainable
    wide_share: float


def kind(chip: Chip, precision: str, software: Software, released: float | None = None) -> Kind:
    """The kind of a run; looked up once, as tables are read for it."""
    top = attainable(chip, chip.compute_format(precision))
    wide = attainable(chip, kept_format(chip)).share
    return Kind(chip, precision, software, released, width_of(chip, precision), top, wide)


def kept_format(chip: Chip) -> str:
    """The 16-bit format that attention and the vocabulary layer keep on a chip, or what stands in for one there."""
    return relatives.wide_format(chip) or chip.compute_format("fp16")


def support(constants: Constants, chip: Chip, precision: str, experts: bool) -> tuple[int, int]:
    """Sources whose runs speak for a chip, format width and kind of model: (on the chip itself, on its family)."""
    name = support_name(width_of(chip, precision), experts)
    found = [constants.values.get(("support", key, name), 0.0) for key in (chip.id, chip.family)]
    return int(found[0]), int(found[1])


SOFTWARE = "software"
"""In place of a width: the sources that name a software."""


def support_name(width: str, experts: bool) -> str:
    """The constant that counts sources by format width and kind of model, such as `dense_16`."""
    return f"{'moe' if experts else 'dense'}_{width}"


def level(
    constants: Constants,
    chip: Chip,
    precision: str,
    experts: bool,
    software: Software | None = None,
) -> str:
    """How well the constants know such a run: `measured` by two sources at least on the chip itself, with the format's
    width and dense or with experts as asked, and by two that name the software (None or the reference stack, whose factors
    are one: as well known as its class); `family`, where fewer or the chip's relatives were, and for formats of more than 16
    bits, of which there is hardly a run; else `generic`."""
    own, relatives = support(constants, chip, precision, experts)
    if own >= 2 and BYTES_PER_VALUE[precision] <= 2 and _named_twice(constants, software, experts):
        return "measured"
    fitted = chip.id in constants.keys("chip") or chip.family in constants.keys("family")
    return "family" if own or relatives or fitted else "generic"


def _named_twice(constants: Constants, software: Software | None, experts: bool) -> bool:
    if software is None or software.name == REFERENCE_STACK:
        return True
    return constants.values.get(("support", software.name, support_name(SOFTWARE, experts)), 0) >= 2


SHARPNESS = 32.0
"""How abruptly a share, or a link's rate in training, meets its limit."""


def below(value: float, most: float) -> float:
    """The smaller of the two, without the kink that would leave a fit at the limit without a slope (a smooth minimum)."""
    return value * (1.0 + (value / most) ** SHARPNESS) ** (-1.0 / SHARPNESS)


def matmul_share(constants: Constants, kind: Kind) -> tuple[float, float]:
    """Share of the peak that a very large matmul reaches in training, and the share that none can exceed: what the chip's
    own large matmuls reach by themselves, or the peak where nobody measured them."""
    generic, factor, family = constants.generic, constants.factor, kind.chip.family
    share = (
        kind.top.share
        * generic(f"matmul_{kind.width}")
        * factor("family", family, "matmul")
        * factor("chip", kind.chip.measured_as, "matmul")
    )
    ceiling = kind.top.share if kind.top.basis in ("chip", "own") else 1.0
    return below(share, ceiling), ceiling


def attention_share(constants: Constants, kind: Kind) -> float:
    """Share of the peak that attention's own products reach with kernels written for the chip."""
    chip, software = kind.chip, kind.software
    share = constants.generic("attention") * kind.wide_share / ATTENTION_MEASURED_AT
    share *= constants.factor("family", chip.family, "attention")
    if software.ported_attention and chip.family in PORTED_ATTENTION_ON:
        share *= constants.generic("attention_ported")
    if software.ported_attention == BEFORE_2:
        share *= BEFORE_FLASH_ATTENTION_2
    if software.stack == "megatron-2023" and chip.family == "nvidia-hopper":
        share *= ATTENTION_BEFORE_CUDNN_9
    return share


def efficiency(constants: Constants, kind: Kind) -> Efficiency:
    """The measured constants for one kind of run."""
    generic, factor = constants.generic, constants.factor
    chip, software = kind.chip, kind.software
    matmul, ceiling = matmul_share(constants, kind)
    ported = generic("ported") if software.ported_to(chip) else 1.0
    matmul_software = ported * pooled(constants, software, "matmul")
    expert = pooled(constants, software, "expert") * progress(constants, kind.released)
    narrow = 1.0 if kind.width == "16" else generic("expert_narrow")
    return Efficiency(
        matmul=below(matmul, ceiling / matmul_software),
        attention=below(attention_share(constants, kind) * ported, HIGHEST_ATTENTION),
        memory=below(generic("memory") * factor("family", chip.family, "memory"), 1.0),
        ramp=generic("ramp"),
        elementwise=generic("elementwise"),
        expert=below(generic("expert") * narrow, 1.0 / expert),
        expert_biased=generic("expert_biased"),
        overlap_data=software.hides_data * (1 - generic("exposed_data")),
        overlap_tensor=software.hides_tensor * (1 - generic("exposed_tensor")),
        # Above one, an exchange takes longer than its bytes.
        overlap_expert=software.hides_expert or 1 - generic("exposed_expert"),
        overlap_scheduled=1 - generic("exposed_scheduled"),
        uneven=generic("uneven"),
        layer_seconds=generic("layer_seconds"),
        expert_layer_seconds=generic("expert_layer_seconds"),
        expert_call_seconds=(1.0 - software.grouped_experts) * generic("expert_call_seconds"),
        graphed=generic("graphed"),
        tensor_layer_seconds=software.eager_tensors * generic("tensor_layer_seconds"),
        expert_software=expert,
        peer_seconds=software.posted_by_host * generic("peer_seconds"),
        step_seconds=generic("step_seconds"),
        software=ported * stack_speed(constants, software),
        matmul_software=matmul_software,
        straggling=generic("straggling"),
        bubble=software.bubble,
        logit_bytes=FUSED_LOGIT_BYTES if software.fused_loss else LOGIT_BYTES,
        attention_unit=chip.matrix_unit or 0.0,
    )


def pooled(constants: Constants, software: Software, name: str) -> float:
    """A stack's factor: its class's times its own name's, which the fit shrinks to its class (partial pooling)."""
    return constants.factor("stack", software.stack, name) * constants.factor(
        "software", software.name, name
    )


def stack_speed(constants: Constants, software: Software) -> float:
    """Speed of a stack's own kernels against the reference stack: the others' common value times its class's and its own
    factor, so that a stack nobody has measured is expected to be as slow as the usual one, not as fast as the best."""
    common = 1.0 if software.stack in REFERENCE_KERNELS else constants.generic("other_stack")
    return common * pooled(constants, software, "kernels")


def progress(constants: Constants, released: float | None) -> float:
    """How much faster expert layers are under software of that date than of the middle of the measured releases."""
    if released is None:
        return 1.0
    years = min(max(released, EARLIEST), LATEST) - constants.generic("expert_year")
    return constants.generic("expert_yearly") ** years


def reserve(
    constants: Constants, software: Software, cores_alone: bool = False
) -> tuple[float, float]:
    """(bytes, share of the activations) that a stack's runtime takes beside what the plan holds: contexts and buffers of
    GPUs, of which a chip with no memory but its cores' (`cores_alone`) has none."""
    if cores_alone:
        return 0.0, 0.0
    if software.unfused:
        return constants.generic("reserve_bytes"), constants.generic("reserve_share")
    return constants.generic("reserve_bytes_fused"), 0.0


def interval_kind(family: str, mixture_of_experts: bool) -> str:
    """The kind of run whose errors set an interval: dense on Nvidia's chips (`dense`), dense on others, or with experts."""
    if mixture_of_experts:
        return "moe"
    return "dense" if family.startswith("nvidia") else "dense_other"


SCATTER_HIDDEN = 4096.0
"""Hidden size of the models whose scatters and intervals are stored."""
NARROWEST, WIDEST = 1024.0, 16384.0
"""Hidden sizes beyond which runs are too few to tell how much they scatter."""


def scatter_power(constants: Constants) -> float:
    """How fast the scatter of log errors falls with the hidden size of a model (`relative_scatter`)."""
    return constants.values["scatter", "all", "hidden_power"]


def relative_scatter(hidden: Number, power: float) -> np.ndarray:
    """How much further log errors scatter for a model of that hidden size h than at `SCATTER_HIDDEN`:

        (h / 4096)^-power

    A wide model spends its steps in large products, whose rates are well known; what a narrow one waits for, kernels and
    their launches, differs from hand to hand. (A variance that is a power of a covariate: Carroll and Ruppert 1988.)
    """
    return (np.clip(hidden, NARROWEST, WIDEST) / SCATTER_HIDDEN) ** -power


def own_scatter(constants: Constants, hidden: Number) -> np.ndarray:
    """The `relative_scatter` of models of that hidden size by these constants."""
    return relative_scatter(hidden, scatter_power(constants))


def routed_scatter(constants: Constants) -> float:
    """How much further log errors scatter where the router fills chips unequally (`Plan.routed`): how unequally is a matter
    of the data and of how long a run has trained, and hardly a source tells it."""
    return constants.values.get(("scatter", "all", "routed"), 1.0)


def reach(constants: Constants, hidden: Number, routed: Number) -> np.ndarray:
    """How much further log errors scatter than those for which scatters and intervals are stored: for models of that hidden size,
    and of runs with experts to which the router sends unequally (`routed`)."""
    return own_scatter(constants, hidden) * np.where(routed, routed_scatter(constants), 1.0)


def interval(
    constants: Constants, level_name: str, family: str, model: Transformer
) -> tuple[float, float]:
    """Factors on a predicted step time that bound 90% of runs of a source never fitted to (low, high)."""
    low, high = usual_interval(constants, level_name, family, bool(model.experts > 0))
    reach = float(own_scatter(constants, model.hidden))
    return low**reach, high**reach


def usual_interval(
    constants: Constants, level_name: str, family: str, mixture_of_experts: bool
) -> tuple[float, float]:
    """The `interval` of a model of `SCATTER_HIDDEN`."""
    return constants.interval(level_name, f"{interval_kind(family, mixture_of_experts)}_")


class Scatter(NamedTuple):
    """Scatters of log errors at `SCATTER_HIDDEN`: of whole machines about the model, of settings on one machine, of runs of
    one setting."""

    between: float
    setting: float
    run: float


def scatter(constants: Constants, family: str, mixture_of_experts: bool) -> Scatter:
    """The scatters of log errors that runs like these show on sources left out."""
    kind = interval_kind(family, mixture_of_experts)
    return Scatter(*(constants.values["scatter", part, kind] for part in Scatter._fields))
