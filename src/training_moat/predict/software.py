"""Training software: what each stack fuses, shards, overlaps and keeps (table software_stacks), found by any of its names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from training_moat.catalog import dates, descriptor, spelling, tables
from training_moat.core.errors import unknown
from training_moat.core.machine import Chip
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.plan import GRAPH_LEVELS, STREAM_BYTES
from training_moat.core.units import BYTES_PER_VALUE

TABLE, WRITTEN_OUT = "software_stacks", "attention_written_out"
REFERENCE_STACK = "megatron-core"
"""The stack whose factors are one: the best measured."""
REFERENCE_KERNELS = (REFERENCE_STACK, "megatron-2023", "megatron-2026")
"""Stacks that share its factors: Megatron-Core of 2023 differed in its attention kernels, that of the containers of June
2026 and later in its expert layers (fused grouped products, whole layers captured as graphs)."""
BEFORE_2 = 2
"""A stack's `ported_attention` where its kernel is the first FlashAttention's version in Triton."""
UNFUSED = dict.fromkeys(("megatron-core", "megatron-2023"), "megatron-2021")
"""Stacks that were another program before fused attention."""
FUSED_SINCE = 2023.0
"""The year from which these stacks have fused attention (FlashAttention is of May 2022: Dao et al. 2022): a later run whose
scores are written out all the same, as a chip or a library lacks the kernel, is otherwise the stack of its day."""
PYTORCH_STACKS = ("fsdp", "pytorch-eager")
"""Stacks that run PyTorch's own compiler and sharding, which are tuned on Nvidia's chips; on other makers' GPUs they are ports
(public PyTorch on MI300X against Nvidia's: SemiAnalysis 2024)."""

DISPATCHERS = {
    "all-to-all": (0.0, 0.0, 0.0),
    "deepep": (1.0, 0.0, 0.0),
    "hybridep": (1.0, 1.0, 0.0),
    "one-hot": (0.0, 0.0, 1.0),
}
"""By dispatcher: whether a token goes once to a chip with several of its experts, whether it is put into the experts' order
on its way, and whether products with one-hot masks do that."""
SENDS = ("dispatch_once", "permutes_in_flight", "one_hot_dispatch")
"""The fields of a plan that a dispatcher decides, in the order of `DISPATCHERS`."""

SPLITS = {"tp": "tensor parallelism", "pp": "pipelines", "cp": "context parallelism"}
"""Sizes of a layout by which a model is split among chips, and what software calls it."""


@dataclass(frozen=True)
class Software:
    """One training stack under one of its names. Fields are columns of the table software_stacks, which says what each means;
    yes-or-no ones are 0 or 1, and a blank cell has the value that stands here.

    `graphs` is a level of `core.plan.GRAPH_LEVELS`; `stops_early` one of `plan.STOPS_EARLY`; `loss_chunks` and
    `logits_in_place` are those of `core.output_head`. What the dispatcher does (`SENDS`): `dispatch_once`, 1 where a token
    goes once to a chip with several of its experts; `permutes_in_flight`, 1 where tokens are put into the experts' order on
    their way; `one_hot_dispatch`, 1 where products with one-hot masks put them there.
    """

    name: str
    stack: str
    fully_sharded: float
    graphs: float
    hides_tensor: float
    hides_data: float
    ported_attention: float
    gradient_bytes: float
    gradient_wire_bytes: float
    gradient_bytes_sharded: float | None = None
    hides_expert: float = 0.0
    selective_share: float | None = None
    master_weights: bool = True
    states_in_backward: bool = False
    activation_factor: float = 1.0
    spare_layers: float = 0.0
    dispatch_bytes: float = 2.0
    bubble: float = 1.0
    grouped_experts: float = 0.0
    dispatch_once: float = 0.0
    permutes_in_flight: float = 0.0
    one_hot_dispatch: float = 0.0
    fused_loss: float = 0.0
    posted_by_host: float = 0.0
    eager_tensors: float = 0.0
    torch_native: float = 0.0
    stops_early: float = 0.0
    balances_routing: float = 0.0
    loss_chunks: float = 0.0
    gathers_narrow: float = 0.0
    logits_in_place: float = 0.0
    pipelines: float = 1.0
    tensor_parallel: float = 1.0
    context_parallel: float = 1.0
    splits_stream: float = 0.0
    written_out_bytes: float = 0.0
    scatters_every: float = 0.0
    pads_by_masks: float = 0.0
    adapters_as: str = ""
    trains_by_peft: float = 0.0
    redone_unasked: str = ""
    own_four_bits: float = 0.0
    written_for: str = ""
    unfused: float = 0.0
    untimed: float = 0.0

    @property
    def lacks(self) -> dict[str, str]:
        """What this software does not have, by the size of a layout that is one where nobody asks for another."""
        has = (self.tensor_parallel, self.pipelines, self.context_parallel)
        return {
            size: word for (size, word), able in zip(SPLITS.items(), has, strict=True) if not able
        }

    @property
    def gathers_again(self) -> float:
        """1 where sequence parallelism is Megatron-LM's, whose chips keep their own part of a product's input and gather it
        again for the gradient of the weights (tensor_parallel/layers.py), as its kin and ports do; PyTorch's and JAX's
        differentiation keeps what was gathered."""
        return float(not (self.fully_sharded or self.torch_native))

    @property
    def adapter_bytes(self) -> float:
        """What a value that goes into an adapter is cast to where its operations run one by one, 0 where they are fused: PEFT
        keeps adapters in 32 bits (`autocast_adapter_dtype`), LitGPT's scripts in the weights' own 16."""
        if self.stack != "pytorch-eager":
            return 0.0
        scripts = {one.adapters_as for one in all_software().values()}
        return WEIGHT_BYTES if self.name in scripts else 4.0

    @property
    def makers(self) -> tuple[str, ...]:
        """How the names of the makers begin, in small letters, for whose chips alone it is written; none: for any."""
        return tuple(filter(None, self.written_for.split(descriptor.SEPARATOR)))

    def ported_to(self, chip: Chip) -> bool:
        """Whether a chip runs this stack as a port (`PYTORCH_STACKS`)."""
        return self.stack in PYTORCH_STACKS and not chip.family.startswith("nvidia")


@tables.kept()
def all_software() -> dict[str, Software]:
    """Every name of the table and its stack; where a cell is blank, what `Software` takes for usual."""
    found = {}
    for row in tables.load(TABLE).to_dict("records"):
        sends = zip(SENDS, DISPATCHERS.get(row["dispatcher"], ()))
        told = {key: row[key] for key in Software.__dataclass_fields__.keys() & row.keys()}
        told = {key: value for key, value in told.items() if not pd.isna(value)} | dict(sends)
        told["graphs"] = float(GRAPH_LEVELS[row["graphs"]])
        for word in {"master_weights", "states_in_backward"} & told.keys():
            told[word] = bool(told[word])
        found[row["name"]] = Software(**told)
    return found


@tables.kept()
def by_spelling() -> dict[str, str]:
    """The names of the table by every spelling (`spelling.normal`): their own, and those of the same programs elsewhere."""
    own = {spelling.normal(name): name for name in all_software()}
    return own | tables.listed(TABLE, "spellings")


def known_name(name: str) -> str:
    """The name as the table has it. Raises InputError, with the nearest one, for software that nobody measured."""
    if name.lower() not in all_software():
        raise unknown("software", name, all_software(), where="--software")
    return name.lower()


def find(name: str | None, flash_attention: bool = True, released: float | None = None) -> Software:
    """The stack of that name (None: Megatron-Core, the best measured), as it was before fused attention where that is off
    and nothing says that it was `released` later."""
    known = all_software()
    found = known[(name or REFERENCE_STACK).lower()]
    if flash_attention or (released is not None and released >= FUSED_SINCE):
        return found
    return known[UNFUSED.get(found.stack, found.name)]


class Reach(NamedTuple):
    """What a line of a table speaks of: software by any of its `names`, on chips of a family (empty: any), of dates from
    `begin` on and before `end` (years)."""

    names: frozenset[str]
    family: str
    begin: float
    end: float

    def covers(self, name: str, chip: Chip, released: float) -> bool:
        """Whether it speaks of software of that name, `released` in that year, on a chip."""
        own = name in self.names and self.family in ("", chip.family)
        return own and self.begin <= released < self.end


def reaches(frame: pd.DataFrame, names: str, family: str) -> list[Reach]:
    """What every line speaks of; `names` and `family` are columns, beside `released_from` and `released_before`."""
    begins = dates.starts(frame["released_from"]).fillna(-math.inf)
    ends = dates.starts(frame["released_before"]).fillna(math.inf)
    columns = (frame[names].str.split(";").map(frozenset), frame[family].fillna(""), begins, ends)
    return [Reach(*row) for row in zip(*columns, strict=True)]


@tables.kept()
def _versions() -> list[tuple[Reach, str]]:
    """By version of some software: when its other names mean it, and its own."""
    frame = tables.load(TABLE)
    frame = frame[frame["version_of"].notna()]
    return list(zip(reaches(frame, "version_of", "version_family"), frame["name"], strict=True))


def of_date(name: str, chip: Chip, released: float | None) -> str:
    """The name of the version that `name` meant on a chip when it was `released` (a year with its fraction; None: not
    known, and the name itself)."""
    if released is None:
        return name
    fitting = (own for reach, own in _versions() if reach.covers(name, chip, released))
    return next(fitting, name)


@tables.kept()
def _written_out() -> list[tuple[str, str, str, float]]:
    """(software or stack, family, precision, year before which) of the table; empty: any."""
    frame = tables.load(WRITTEN_OUT).fillna({"software": "", "family": "", "precision": ""})
    ends = dates.starts(frame["released_before"]).fillna(math.inf)
    return list(zip(frame["software"], frame["family"], frame["precision"], ends, strict=True))


def fuses_attention(name: str | None, chip: Chip, precision: str, released: float | None) -> bool:
    """Whether runs of that software on a chip have fused attention kernels as a rule (table attention_written_out).
    Software without a date is taken as its measured runs were, so that what holds of all software by date alone is left;
    where none is named the best is meant, which is not Megatron of before fused attention."""
    usual = name or default_name(chip)
    names = ("", usual, all_software()[usual].stack) if name or usual != REFERENCE_STACK else ("",)
    for software, family, form, end in _written_out():
        dated = released < end if released is not None else bool(software or family)
        own = software in names and family in ("", chip.family)
        if dated and own and form in ("", precision):
            return False
    return True


def common_name(name: str) -> str:
    """The name under which people know a version; the name itself where it is no version."""
    return next((min(reach.names) for reach, own in _versions() if own == name), name)


@tables.kept()
def _of_vendors() -> dict[str, str]:
    """The stack that a maker wrote for chips of its own, by the first word of its name."""
    return tables.listed(TABLE, "vendors")


def default_name(chip: Chip) -> str:
    """The stack that a chip's published runs use, where the caller names none."""
    if chip.family.startswith("google"):
        return "maxtext"
    if chip.vendor.lower().startswith(all_software()[REFERENCE_STACK].makers):
        return REFERENCE_STACK
    return _of_vendors().get(chip.vendor.split()[0].lower(), "other") if chip.vendor else "other"


def is_others(software: Software, chip: Chip) -> bool:
    """Whether a stack is one that a maker wrote for chips of its own, and a chip is another maker's."""
    names = {software.name, software.stack}
    return not names.isdisjoint(_of_vendors().values()) and default_name(chip) not in names


def lacks_port(software: Software, chip: Chip) -> bool:
    """Whether a stack is written for chips of some makers alone, and a chip is another maker's."""
    return bool(software.makers) and not chip.vendor.lower().startswith(software.makers)


def of_labels(labels: pd.Series, field: str) -> pd.Series:
    """What every label's software has in a field, as a number; NaN where the table does not know the label."""
    own = {name: getattr(one, field) for name, one in all_software().items()}
    return labels.map(own).astype(float)


def stream_bytes(precision: str) -> float:
    """Bytes of a value between products: 16 bits at least."""
    return max(STREAM_BYTES, BYTES_PER_VALUE[precision])


def gradient_bytes(
    software: Software, precision: str, zero_stage: float, master_weights: bool = True
) -> float:
    """Bytes of gradient held per weight: 16 bits in FP16 runs, as weights in wider ones, else as the stack keeps them; of
    weights that a run has in 16 bits alone (no `master_weights`), where gradients have their weights' type, 16 bits as well.
    Megatron's kin have buffers of their own for them."""
    if precision == "fp16" or BYTES_PER_VALUE[precision] > WEIGHT_BYTES:
        return BYTES_PER_VALUE[precision]
    sharded = software.gradient_bytes_sharded if zero_stage >= 2 else None
    usual = software.gradient_bytes if sharded is None else sharded
    bare = software.master_weights and not master_weights
    typed = software.torch_native or software.fully_sharded
    return min(usual, WEIGHT_BYTES) if bare and typed else usual


def wire_bytes(software: Software, precision: str) -> float:
    """Bytes in which a gradient travels."""
    if precision == "fp16" or BYTES_PER_VALUE[precision] > WEIGHT_BYTES:
        return BYTES_PER_VALUE[precision]
    return software.gradient_wire_bytes


def gathered_bytes(narrow: bool | float, precision: str) -> float:
    """Bytes of a weight that replicas gather: of 8-bit runs those bits where it goes `narrow`, of wide ones their own."""
    own = BYTES_PER_VALUE[precision]
    return own if own > WEIGHT_BYTES or (narrow and own >= 1) else WEIGHT_BYTES


def dispatch_bytes(software: Software, precision: str) -> float:
    """Bytes in which a routed token's value travels to the experts: cast only where the products take 8 bits or fewer."""
    own = BYTES_PER_VALUE[precision]
    return software.dispatch_bytes if own < WEIGHT_BYTES else own
