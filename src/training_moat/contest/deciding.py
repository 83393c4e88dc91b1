"""What decides, for whom: memory, network or number formats, over all challengers, as one share with its range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import CAUSES, GROUPS
from training_moat.contest.counterfactual import ARTICLE, DECIDES, Split, half_closes
from training_moat.inquiry import chronicle
from training_moat.inquiry.wording import digits, either, listed

CAUSE_WORDS = {"memory": "memory", "network": "the network", "precision": "number formats"}
"""The article's technical causes, by the group of factors, in words."""

OTHERS = {
    "compute": "faster arithmetic", "software": "better software", "uptime": "fewer failures",
    "supply": "a larger share of scarce parts", "price and power": "a lower price",
}  # fmt: skip
"""What a chip would have needed where another group of factors decides, in words."""

QUALITIES = {
    "memory": "memory", "network": "its network", "precision": "number formats", "compute": "arithmetic",
    "software": "software", "uptime": "uptime", "supply": "its supply of scarce parts", "price and power": "price",
}  # fmt: skip
"""The groups of factors as what a chip falls short in, in words."""


@dataclass(frozen=True)
class Decision:
    """For how many challengers that are likely behind a group of factors (or `ARTICLE`) decides.

    `value` is the share of them for which bringing only this group to the yardstick's level closes at least the share
    `needed` of the logarithm of the gap; `low` and `high` bound 90% of the draws. `yes`, `no` and `without` name the
    chips: decided by it, not decided by it, not likely behind.
    """

    group: str
    needed: float
    value: float | None
    low: float | None
    high: float | None
    yes: tuple[str, ...]
    no: tuple[str, ...]
    without: tuple[str, ...]


def decision(group: str, found: Sequence[Split], needed: float = DECIDES) -> Decision:
    """Count for whom a group of factors decides."""
    behind = [one for one in found if one.behind]
    yes = tuple(one.name for one in behind if one.decides(group, needed))
    no = tuple(one.name for one in behind if not one.decides(group, needed))
    without = tuple(one.name for one in found if not one.behind)
    if not behind:
        return Decision(group, needed, None, None, None, yes, no, without)
    low, high = np.nanquantile(_drawn_share(group, behind, needed), (0.05, 0.95))
    share = len(yes) / len(behind)
    return Decision(group, needed, share, float(low), float(high), yes, no, without)


def _drawn_share(group: str, found: Sequence[Split], needed: float) -> np.ndarray:
    """The share in every draw: among the challengers that are behind in it."""
    behind = np.array([one.drawn_shapley.sum(axis=1) > 0 for one in found])
    closed = np.array([one.drawn_closed[group] >= needed for one in found])
    counts = behind.sum(axis=0)
    return np.where(counts > 0, (behind & closed).sum(axis=0) / np.maximum(counts, 1), np.nan)


def decisions(found: Sequence[Split]) -> list[Decision]:
    """One decision per group of factors."""
    return [decision(group, found) for group in GROUPS]


def slow_links(found: Sequence[Split]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(challengers that are likely behind of which a rate of a link is assumed, those of them for which the network would
    decide with every such rate at the slow end of its range). A link that is taken to be as good as others' cannot decide
    by itself, so that the count of `decision` must hold with slow ones too."""
    assumed = [one for one in found if one.behind and _assumed_link(one)]
    yes = tuple(one.name for one in assumed if one.closed_with_slow_links() >= DECIDES)
    return tuple(one.name for one in assumed), yes


def _assumed_link(one: Split) -> bool:
    _, assumed = completed(chip_catalog.chip(one.chip.id))
    return any(each.factor == "network" for each in assumed)


def of_startups(found: Sequence[Split]) -> list[Split]:
    """The challengers whose maker is a startup: by the table chip_makers, which names every maker in the catalogue, so that
    one it does not know is the reader's own, of a scenario."""
    others = set(chronicle.makers().query("kind != 'startup'")["maker"])
    return [one for one in found if one.chip.vendor not in others]


def in_full(found: Sequence[Split]) -> str:
    """For how many each cause of the article decides, every chip counted once, and what the others would have needed:
    "for 3 by memory, for 1 (X) by memory or the network, each alone. The other 7 needed ...", inside a sentence."""
    known = {one.group: one for one in decisions(found)}
    by_chip = {
        one.name: tuple(name for name in CAUSES if one.name in known[name].yes) for one in found
    }
    left = [one.name for one in found if one.behind and not by_chip[one.name]]
    single = [
        f"for {sum(causes == (name,) for causes in by_chip.values()) or 'none'} by {words}"
        for name, words in CAUSE_WORDS.items()
    ]
    several = [
        f"for {len(chips)} ({listed(chips)}) by {either([CAUSE_WORDS[name] for name in causes])}, each alone"
        for causes in dict.fromkeys(by_chip.values())
        if len(causes) > 1 and (chips := [chip for chip in by_chip if by_chip[chip] == causes])
    ]
    said = listed([*single, *several])
    return f"{said}. {_needed_by(left, known)}" if left else said


def _needed_by(left: Sequence[str], known: Mapping[str, Decision]) -> str:
    """What the chips that none of the article's causes decides for would have needed, each counted once."""
    alone = Counter(
        either([words for name, words in OTHERS.items() if chip in known[name].yes])
        for chip in left
        if any(chip in known[name].yes for name in OTHERS)
    )
    if len(left) == 1:
        return f"The other one needed {next(iter(alone), 'several things at once')}"
    if not alone:
        return f"The other {len(left)} needed several things at once"
    (first, count), *rest = alone.most_common()
    ways = [
        f"{first} would have done it for {count}",
        *(f"{one} for {times}" for one, times in rest),
    ]
    several = len(left) - alone.total()
    return f"Of the other {len(left)}, {listed(ways)}" + (
        f"; {several} needed several things at once" if several else ""
    )


def most_often(found: Sequence[Split]) -> tuple[str, int]:
    """(the quality that, mended alone, closes half of the gap for most of some challengers, in words; for how many)."""
    top = max(decisions(found), key=lambda one: len(one.yes))
    return QUALITIES[top.group], len(top.yes)


def in_full_of(found: Sequence[Split]) -> str:
    """`in_full` as a sentence on startups' chips that are likely behind, however few."""
    if len(found) != 1:
        return f"Of the {len(found)} chips of startups among them half of the gap closes {in_full(found)}."
    known = {one.group for one in decisions(found) if one.yes}
    causes = either([words for name, words in CAUSE_WORDS.items() if name in known])
    others = either(
        [*(words for name, words in OTHERS.items() if name in known), "several things at once"]
    )
    named = f"For the one chip of a startup among them, {found[0].name}, half of the gap closes"
    if known & set(CAUSE_WORDS):
        return f"{named} by {causes} alone."
    return f"{named} by none of memory, network and number formats alone: it needed {others}."


def needs(found: Sequence[Split]) -> pd.DataFrame:
    """What challengers that are likely behind would have needed: chip, against, gap, left (the gap that is left once the
    article's three causes are mended, where that helps), half (what closes half of the gap), in words."""
    columns = ["chip", "against", "gap", "left", "half"]
    rows = []
    for one in found:
        if one.behind:
            gap, left = _gap(one, 0.0), _gap(one, one.closed(ARTICLE))
            rows.append((one.name, one.yardstick.name, gap, left, half_closes(one)))
    return pd.DataFrame(rows, columns=columns)


def _gap(one: Split, closed: float) -> str:
    """The gap once a share of it is closed, as a number; that of a job that cannot be done is none."""
    return "cannot" if not one.possible and closed <= 0 else digits(one.gap ** (1 - closed))


def makers(found: Sequence[Split]) -> list[str]:
    """Who makes the chips, each maker once."""
    return list(dict.fromkeys(one.chip.vendor for one in found))


def shared(found: Sequence[Decision], splits: Sequence[Split]) -> str:
    """For whom a cause that decides is not the only way: some group of factors closes as much or more. A sentence, blank
    where every decision stands alone."""
    named = [(one, name) for one in found for name in one.yes]
    known = {one.name: one for one in splits}
    other = {
        name
        for one, name in named
        for group in GROUPS
        if group != one.group and known[name].closed(group) >= known[name].closed(one.group)
    }
    if not other:
        return ""
    told = listed([name for name in known if name in other])
    return f" A cause that decides need not be the only one: for {told} another quality mended alone would close as much or more."
