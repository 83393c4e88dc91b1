"""Conditions that must be met before a job's cost matters: what a chip has of formats, memory, links, software, machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.catalog.relatives import wide_format
from training_moat.core import tiers
from training_moat.core.machine import Chip
from training_moat.inquiry import chronicle
from training_moat.inquiry.wording import counted, digits, listed

YES, NO, UNKNOWN = "yes", "no", "unknown"
NO_TRAINING_SOFTWARE = r"\(inference\)|^none|not CUDA"
"""Words of the table's software column that claim no training."""

UNNAMED_OWNERS = "Other"
"""Word of the table chip_counts for all owners that it does not name."""


@dataclass(frozen=True)
class Gate:
    """One condition: whether it is met, how far it is missed (1: just met; 2: half of what is needed), and why."""

    name: str
    passed: str
    distance: float
    why: str


@dataclass(frozen=True)
class Machine:
    """The largest machine of a chip on record: chips, where that is from in words, and whether any record is of a machine
    that somebody runs (and not of a test, or of what the maker sells, which say nothing of larger ones)."""

    chips: int
    words: str
    installed: bool


def largest_known(chip: Chip) -> Machine | None:
    """The largest machine on record; None where there is none.

    A machine is on record by an installation (clusters that exist, training runs), by what one named owner took up in a
    quarter (an estimate), by a measured step, or by what its maker sells: a scale-up domain, or a system of several.
    """
    owners = tables.load("chip_counts")
    owners = owners[(owners["chip_id"] == chip.id) & (owners["owner"] != UNNAMED_OWNERS)]
    run, tested = (float(most.get(chip.id, 0.0)) for most in (_installed(), _tested()))
    taken = float(np.nanmax([0.0, *owners["units_median"]]))
    sold = max(chip.domain_chips or 0, _sold().get(chip.id, 0)) if chip.available else 0
    sizes = [
        (run, "the largest on record has {} chips"),
        (taken, "one owner took up about {} in a quarter"),
        (tested, "the largest on record has {} chips"),
        (sold, "the largest on record is its maker's system of {} chips"),
    ]
    size, words = max(sizes, key=lambda one: one[0])
    told = digits(size) if "about" in words else f"{size:,.0f}"
    return Machine(int(size), words.format(told), bool(run or taken)) if size else None


@tables.kept()
def _installed() -> pd.Series:
    """Chips of the largest cluster, or of the largest run that trained a model, by the chip's id."""
    clusters = tables.load("gpu_clusters")
    parts = [
        clusters[clusters["status"] == "existing"],
        tables.load("training_runs"),
        chronicle.pretraining_elsewhere(),
    ]
    known = pd.concat([part[["chip_id", "chips"]] for part in parts]).dropna()
    return known.groupby("chip_id")["chips"].max()


@tables.kept()
def _sold() -> pd.Series:
    """Chips of the largest system of several that a chip's maker sells, by the chip's id."""
    sizes = tables.load("systems").groupby("chip_id")["chips_per_system"].max()
    return sizes[sizes > 1]


@tables.kept()
def _tested() -> pd.Series:
    """Chips of the largest measured step, by the chip's id."""
    measured = tables.load("training_measurements").dropna(subset=["chip_id", "n_chips"])
    return measured.groupby("chip_id")["n_chips"].max()


def software(chip: Chip) -> Gate:
    """Whether the maker offers software to train with."""
    words = chip_catalog.row(chip.id).get("training_software")
    if not isinstance(words, str):
        passed = UNKNOWN if chip.supports_training else NO
        return Gate("software", passed, np.nan, "no training software named")
    claimed = not pd.Series([words]).str.contains(NO_TRAINING_SOFTWARE).iloc[0]
    passed = YES if chip.supports_training and claimed else NO
    return Gate("software", passed, np.nan, words)


def exchanges(chip: Chip, needed: int | None) -> Gate:
    """Whether links join the number of chips that the job takes (None: not known)."""
    stated = max(chip.largest_system or 0, chip.domain_chips or 0)
    if needed is not None and tiers.is_joined(chip, needed):
        why = "its networks join any number" if chip.scaleout else f"{stated:,.0f} chips are joined"
        endless = chip.scaleout is not None or not stated
        return Gate("exchanges", YES, np.nan if endless else needed / stated, why)
    if needed is None or not chip.largest_system:
        return Gate("exchanges", UNKNOWN, np.nan, "no network between systems is published")
    return Gate("exchanges", NO, needed / stated, f"{stated:,.0f} chips are joined at most")


def bought(chip: Chip, needed: int | None) -> Gate:
    """Whether a machine of the number of chips that the job takes (None: not known) exists or is sold."""
    known = largest_known(chip)
    if known is None or needed is None:
        return Gate("bought", UNKNOWN, np.nan, "no installation that trains is on record")
    if known.chips >= needed:
        return Gate("bought", YES, needed / known.chips, known.words)
    if not known.installed:
        return Gate("bought", UNKNOWN, np.nan, f"{known.words}; of a larger one nothing is known")
    return Gate("bought", NO, needed / known.chips, known.words)


def formats(chip: Chip, known: Sequence[str]) -> Gate:
    """Whether the chip multiplies a number format to train in. known: those in which it can, with what is missing filled in."""
    if wide_format(chip) is not None:
        return Gate("formats", YES, np.nan, " and ".join(name.upper() for name in known))
    narrow = listed([name.upper() for name in chip.peak_flops])
    if known:
        why = f"no rate in sixteen bits is published, only in {narrow}; the usual one is taken"
        return Gate("formats", UNKNOWN, np.nan, why)
    return Gate("formats", NO, np.nan, chip_catalog.integers_alone(chip))


def holds(known: Sequence[str], fewest: int | None) -> Gate:
    """Whether memory holds the job on some number of chips. known: formats to train in; fewest: the least number that does."""
    if not known:
        return Gate("holds", UNKNOWN, np.nan, "not asked: it has no format to train in")
    if fewest is None:
        return Gate("holds", NO, np.nan, "no number of chips tried holds it")
    return Gate("holds", YES, np.nan, f"{counted(fewest, 'chip holds', 'chips hold')} it")
