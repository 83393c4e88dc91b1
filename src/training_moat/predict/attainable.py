"""How much of a chip's peak its own large matmuls reach, as measured (table matmul_maxima): a ceiling for every constant."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.catalog.cited import FIRST_HAND
from training_moat.core.machine import Chip
from training_moat.core.units import NUMBER_FORMATS, TERA

TABLE = "matmul_maxima"
UNLIKE_TRAINING = "lower end|sum in FP16|written by hand|clock locked"
"""Words in a row's notes that keep it from standing for a run's products: timed with its host's dispatch, summed in 16
bits, by a kernel that the chip's compiler does not make, at a clock that training runs do not hold."""
USUAL = 0.75
"""Share of peak where no chip's matmuls in a format's width were measured."""
UNIT_WIDTHS = {name: one.width for name, one in NUMBER_FORMATS.items() if one.width}
"""Formats whose matmuls reach about the same share of their peaks."""


@dataclass(frozen=True)
class Attainable:
    """Share of the data sheet's peak that a large matmul reaches, and whose measurements say so: the `chip`'s own, its
    `family`'s (their median), or those of `all` chips; the asker's `own` machine's, beside which `usual` keeps what the
    others' say."""

    share: float
    basis: str
    usual: float = 1.0


def attainable(chip: Chip, precision: str) -> Attainable:
    """What a large matmul in a format reaches on a chip, as a share of the peak: above one on cards that run above the
    clock of their data sheet."""
    width = UNIT_WIDTHS[precision]
    shares = _shares()
    if (chip.measured_as, width) in shares:
        return Attainable(shares[chip.measured_as, width], "chip")
    families = _families()
    for key in ((chip.family, width), (chip.family, "16")):
        if chip.family and key in families:
            return Attainable(families[key], "family")
    everywhere = [share for (_, own), share in shares.items() if own == width]
    return Attainable(median(everywhere) if everywhere else USUAL, "all")


def machines() -> dict[tuple[str, str, str], float]:
    """The rate that the large matmuls of a source's own machine reach, in FLOP/s, by source, chip and format: of the
    sources that timed them."""
    return {
        (source, row.chip_id, row.format): row.tflops_per_chip * TERA
        for row in tables.load(TABLE).itertuples()
        for source in row.source.split(";")
    }


def measured_families() -> set[str]:
    """Families with at least one measured matmul."""
    return {family for family, _ in _families() if family}


@tables.kept()
def _shares() -> dict[tuple[str, str], float]:
    """The best measured share of peak by chip and width, of products as training has them (`UNLIKE_TRAINING`)."""
    frame = tables.load(TABLE)
    unlike = frame["notes"].fillna("").str.contains(UNLIKE_TRAINING)
    frame = frame[frame["confirmed"].isin(FIRST_HAND) & ~unlike]
    known = chip_catalog.all_chips()
    found: dict[tuple[str, str], float] = {}
    for row in frame.to_dict("records"):
        chip = known.get(row["chip_id"])
        name = row["format"]
        if chip is None or name not in UNIT_WIDTHS:
            continue
        peak = chip.peak_flops.get(name) or chip.peak_flops.get(
            {"fp16": "bf16", "bf16": "fp16"}.get(name, "")
        )
        # TF32 and INT8 stand for no training format's peak of another name.
        if not peak or name in ("tf32", "int8"):
            continue
        key = chip.id, UNIT_WIDTHS[name]
        found[key] = max(found.get(key, 0.0), row["tflops_per_chip"] * TERA / peak)
    return found


@tables.kept()
def _families() -> dict[tuple[str, str], float]:
    """The median of a family's shares by its name and width; one card's higher clock is none of its relatives'."""
    known = chip_catalog.all_chips()
    lists: dict[tuple[str, str], list[float]] = {}
    for (chip, width), share in _shares().items():
        lists.setdefault((known[chip].family, width), []).append(min(share, 1.0))
    return {key: median(values) for key, values in lists.items()}
