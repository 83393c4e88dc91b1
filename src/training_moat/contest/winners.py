r"""Who should have won, and who did: what each challenger offered against what a buyer needs, and who trained on it.

The offer is performance per dollar over Nvidia's chip of the day on the job of the day, by the model (`counterfactual`);
it is an advantage in use, since the software a chip runs is part of it. The need is the break-even of a move
(`inquiry.switching`). The chance that the move pays is taken over the draws of both, as independent:

$$P = \Pr(A \ge a^*)$$
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.catalog.cited import cited, credible
from training_moat.contest import coalitions, counterfactual, reference_jobs
from training_moat.contest.counterfactual import Split
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.inquiry import chronicle, naming
from training_moat.inquiry.switching import Breakeven
from training_moat.inquiry.wording import LIKELY
from training_moat.inquiry.wording import chance as chance_words

EVEN = 0.5
"""A move to a challenger more likely pays than not from this chance on."""

LEAST_FLOP = 1e21
"""Smallest training run of known size that counts as use: about a small language model's."""


def chance(one: Split, needed: Breakeven) -> float:
    """Chance that a move to the challenger pays, over the draws of its offer and of the break-even."""
    offered = np.exp(-one.drawn_shapley.sum(axis=1))
    bar = np.sort(needed.in_use)
    return float(np.mean(np.searchsorted(bar, offered, side="right")) / len(bar))


def trained_on() -> pd.DataFrame:
    """Models on record that were pre-trained on each chip. Columns: chip_id, others, own (whether the chip's maker ran it).

    A model of unknown size counts: the largest are those whose size nobody publishes. A model that several chips trained
    counts with each of them.
    """
    frame = credible(chronicle.by_chip(chronicle.pretraining_elsewhere()))
    frame = frame[naming.makers(frame["chip_id"]) != chronicle.INCUMBENT]
    frame = frame[~(frame["training_flop"] < LEAST_FLOP)]
    frame = frame.drop_duplicates(["chip_id", "model"])
    own = (frame["vendor_own_run"] == "yes").rename("own")
    counts = pd.crosstab(frame["chip_id"], own).reindex(columns=[False, True], fill_value=0)
    return counts.rename(columns={False: "others", True: "own"}).rename_axis(columns=None)


def table(needed: Breakeven, chips: Sequence[str] | None = None) -> pd.DataFrame:
    """Every challenger's offer, the need and what came of it, the likeliest winner first.

    Columns: chip, name, vendor, date, against, job, unit, advantage, low, high, needed, chance, expected (a move pays more
    likely than not), others, own, outcome (`came_of`).
    """
    frame = counterfactual.offers(chips).drop(columns="basis")
    vendors = [chip_catalog.chip(name).vendor for name in frame["chip"]]
    frame.insert(frame.columns.get_loc("name") + 1, "vendor", vendors)
    frame["needed"] = needed.quantiles_in_use[1]
    frame["chance"] = [chance(one, needed) for one in counterfactual.splits(chips)]
    frame["expected"] = frame["chance"] >= EVEN
    used = trained_on().reindex(frame["chip"], fill_value=0)
    frame[["others", "own"]] = used[["others", "own"]].to_numpy()
    pairs = zip(frame["chance"], frame["others"] > 0, strict=True)
    frame["outcome"] = [came_of(*pair) for pair in pairs]
    order = ["chance", "advantage", "chip"]
    rising = [False, False, True]
    return frame.sort_values(order, ascending=rising, ignore_index=True, kind="stable")


def came_of(pays: float, used: bool) -> str:
    """What came of an offer in words: whether a move should have paid, by its chance, and whether anybody but the maker
    trained on the chip."""
    if pays >= LIKELY:
        said = "should have paid"
    else:
        said = "should not have paid" if pays <= 1 - LIKELY else "too close to call"
    trained = "others trained on it" if used else "no model of others on record"
    return f"{said}; {trained}{' all the same' if used and pays <= 1 - LIKELY else ''}"


def in_sixteen_bits(chip_id: str) -> Split:
    """The gap of a challenger that trains in its sixteen-bit format alone, on the job and beside the chip of its day."""
    own, chip = counterfactual.split(chip_id), chip_catalog.chip(chip_id)
    wide = {
        name: peak for name, peak in chip.peak_flops.items() if BYTES_PER_VALUE.get(name, 0) >= 2
    }
    found = coalitions.worth(replace(chip, peak_flops=wide), own.yardstick, own.job)
    return counterfactual.split_of(found)


def first_short_run(chip_id: str) -> pd.Timestamp | None:
    """The day of the first measured training run on a chip in fewer than sixteen bits; None where none is on record."""
    runs = tables.load("training_measurements").dropna(subset=["format", "date"])
    runs = runs[(runs["chip_id"] == chip_id) & (runs["format"].map(BYTES_PER_VALUE) < 2)]
    return min((reference_jobs.day(text) for text in runs["date"]), default=None)


def short_words(chips: Sequence[str], needed: Breakeven) -> str:
    """How much of a chance rests on number formats that nobody is known to have trained in on the chip's day: of each chip
    whose first measured run in fewer than sixteen bits came later, the chance in sixteen alone, in words."""
    told = []
    for name in chips:
        chip, first = chip_catalog.chip(name), first_short_run(name)
        if first is None or first <= reference_jobs.launched(chip):
            continue
        bare = chance_words(chance(in_sixteen_bits(name), needed))
        told.append(
            f" In sixteen bits alone the chance of {chip.name} is {bare}: it could be had from "
            f"{reference_jobs.launched(chip):%B %Y}, and its first run in fewer on record is of {first:%B %Y}."
        )
    return "".join(told)


def sources(found: pd.DataFrame) -> tuple[str, ...]:
    """Source keys of the runs that count and of the offers."""
    frame = chronicle.by_chip(tables.load("runs_non_nvidia"))
    keys = cited(frame[frame["chip_id"].isin(found["chip"])])
    offers = counterfactual.sources(counterfactual.splits(list(found["chip"])))
    return tuple(dict.fromkeys([*offers, *keys]))
