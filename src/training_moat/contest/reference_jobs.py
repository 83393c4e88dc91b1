"""The training jobs that every chip is asked to do, and whose chip was the yardstick on which day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import files, tables
from training_moat.catalog import models as model_catalog
from training_moat.catalog.dates import day
from training_moat.core.errors import Unpublished, require_known
from training_moat.core.machine import Chip
from training_moat.core.workload import Transformer, active_params

YARDSTICK_FAMILIES = "nvidia-"
"""Families whose chips are the yardstick: Nvidia's own graphics processors (not the Groq design it licensed)."""

YARDSTICK_DOMAIN = 8
"""Chips that a yardstick's scale-up network joins at least: cards without one were not sold for training at scale."""

BATCH_GRAIN = 512
"""A published batch in tokens is taken to the nearest multiple of so many sequences, so that it divides over replicas
(GPT-3's 3.2 million tokens become the 1,536 sequences of Narayanan et al. 2021, DeepSeek-V3's its own 15,360)."""


EXPORT_REGION = "China"
"""Where Nvidia sells them in place of the yardstick (table chip_makers names the makers of that region)."""

EXPORT_SOURCE = "videocardz_h800_export"
"""Who tells what the export rules of 2022 and 2023 cover."""


@dataclass(frozen=True)
class Job:
    """One pre-training run: what is trained, on how many tokens, and when it was the job of its day.

    `batch` counts sequences a step (None: the customary one). `frontier` jobs are those a challenger is measured by: the
    largest run of their day whose shape, tokens and batch are published, or the largest of a new kind that the field
    then went over to (fewer parameters on many more tokens: Llama 2; experts: DeepSeek-V3).
    """

    job: str
    title: str
    model_id: str
    tokens: float
    date: pd.Timestamp
    seq_len: int
    batch: int | None
    frontier: bool
    source: tuple[str, ...]

    @property
    def named(self) -> str:
        """Its title inside a sentence: a model by name, a class of models with its article."""
        title = self.title.split(", as reported")[0]
        return f"a {title}" if "-class " in title else title

    @property
    def model(self) -> Transformer:
        """The shape that is trained."""
        return model_catalog.model(self.model_id)

    def request(self, chip: Chip | str | Mapping, chips: int, **settings: object) -> dict:
        """A training request for this job on `chips` chips, with `settings` fixed."""
        asked = {"model": self.model_id, "chip": chip, "chips": chips, "seq_len": self.seq_len}
        return asked | {"global_batch": self.batch} | settings


@tables.kept()
def jobs() -> dict[str, Job]:
    """All reference jobs by name, oldest first."""
    found = {}
    for row in tables.load("reference_jobs").to_dict("records"):
        tokens = row["batch_tokens"]
        grains = None if pd.isna(tokens) else round(tokens / row["seq_len"] / BATCH_GRAIN)
        found[row["job"]] = Job(
            job=row["job"],
            title=row["title"],
            model_id=row["model_id"],
            tokens=row["tokens_b"] * 1e9,
            date=day(row["date"]),
            seq_len=int(row["seq_len"]),
            batch=None if grains is None else BATCH_GRAIN * max(grains, 1),
            frontier=bool(row["frontier"]),
            source=tuple(row["source"].split(";")),
        )
    return dict(sorted(found.items(), key=lambda pair: (pair[1].date, pair[0])))


def job(name: str) -> Job:
    """One reference job. Raises InputError with the nearest name for an unknown one."""
    known = jobs()
    require_known("reference job", name, known)
    return known[name]


def of_day(when: pd.Timestamp) -> Job:
    """The frontier job of a day: the newest that was published by then, or the oldest of all."""
    frontier = [one for one in jobs().values() if one.frontier]
    past = [one for one in frontier if one.date <= when]
    return past[-1] if past else frontier[0]


def largest_of_day(when: pd.Timestamp) -> Job:
    """The frontier job with the most operations of those published by a day, or the oldest of all: what `of_day` would be
    without the runs of a new kind."""
    past = [one for one in jobs().values() if one.frontier and one.date <= when]
    return max(past or [of_day(when)], key=lambda one: active_params(one.model) * one.tokens)


def launch(chip: Chip) -> pd.Timestamp | None:
    """The day a chip could be had: the later of its availability and its announcement; None where neither is known."""
    announced = chip_catalog.row(chip.id).get("announced")
    announced = None if pd.isna(announced) else announced
    return max((day(text) for text in (chip.available, announced) if text), default=None)


def launched(chip: Chip) -> pd.Timestamp:
    """The day a chip could be had (`launch`); Unpublished where it is not known."""
    known = launch(chip)
    if known is None:
        raise Unpublished(
            f"chip {chip.id}: no date of availability or announcement; expected one such as 2024-03"
        )
    return known


def start(chip: Chip) -> pd.Timestamp:
    """The day a chip is judged by: its launch, or where no date is known that of Nvidia's newest."""
    known = chip_catalog.all_chips().values()
    return launch(chip) or max(launched(one) for one in known if is_yardstick(one))


def yardstick(when: pd.Timestamp) -> Chip:
    """Nvidia's training chip of a day: the newest that could be had, with HBM and a scale-up network, not cut down for
    export."""
    return chip_catalog.chip(_yardstick(when))


def export_yardstick(when: pd.Timestamp) -> Chip:
    """The newest of Nvidia's training chips cut for export that could be had on a day, or the first of all."""
    cut = sorted((chip_catalog.chip(name) for name in sorted(cut_for_export())), key=launched)
    cut = [chip for chip in cut if chip.supports_training and chip.tier("hbm")]
    past = [chip for chip in cut if launched(chip) <= when]
    return (past or cut[:1])[-1]


@tables.kept()
def listed() -> frozenset[str]:
    """Ids of the chips of the table, whatever a scenario adds."""
    return frozenset(files.read("chips")["id"])


@tables.kept()
def cut_for_export() -> frozenset[str]:
    """Ids of the chips of the table that are cut down for export: never the yardstick."""
    chips = files.read("chips")
    return frozenset(chips["id"][chips["cut_for_export"].notna()])


def is_yardstick(chip: Chip) -> bool:
    """Whether a chip was Nvidia's own for training at scale: one of the table, whatever a scenario adds."""
    joined = chip.scaleup is not None and (chip.scaleup.domain_chips or 0) >= YARDSTICK_DOMAIN
    sold = chip.id in listed() - cut_for_export()
    own = chip.family.startswith(YARDSTICK_FAMILIES) and sold
    return own and joined and bool(chip.supports_training and chip.available and chip.tier("hbm"))


@tables.kept(size=256)
def _yardstick(when: pd.Timestamp) -> str:
    own = [chip for chip in chip_catalog.all_chips().values() if is_yardstick(chip)]
    dated = sorted((launched(chip), max(chip.peak_flops.values()), chip.id) for chip in own)
    past = [entry for entry in dated if entry[0] <= when]
    return (past[-1] if past else dated[0])[2]
