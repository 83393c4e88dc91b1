"""What decides, for whom: the model's own answer to the article's arguments on memory, networking and low precision."""

from __future__ import annotations

import numpy as np

from training_moat.claims.base import NOTHING, Evidence, Measured, measure
from training_moat.contest import counterfactual, deciding
from training_moat.contest.chip_factors import GROUPS
from training_moat.contest.counterfactual import DECIDES, Split
from training_moat.core.errors import require_known
from training_moat.inquiry.wording import counted, listed


def _rows(found: list[Split]) -> tuple[str, ...]:
    named = [f"chips:{one.chip}" for one in found]
    return tuple(dict.fromkeys([*named, *(f"reference_jobs:{one.job}" for one in found)]))


def _decided(evidence: Evidence, group: str, share: str, chips: str) -> Measured:
    found = counterfactual.splits(chips.split(",") if chips else None)
    told = evidence.hook("decision", deciding.decision)(group, found, float(share))
    if told.value is None:
        return NOTHING
    others = counted(len(told.no), "other")
    young = deciding.decision(group, deciding.of_startups(found), float(share))
    note = f"{group} decides for {listed(told.yes)}, not for {others} behind"
    if behind := len(young.yes) + len(young.no):
        decided = len(young.yes) or "none"
        note += f"; of {counted(behind, 'chip')} of startups among them for {decided}"
    return _told(found, told.value, told.low, told.high, note)


def _told(found: list[Split], value: float, low: float, high: float, note: str) -> Measured:
    cited = counterfactual.sources(found)
    return Measured(value, low, high, None, _rows(found), cited, note, "Monte Carlo, 5 to 95%")


@measure("counterfactual_memory")
def memory_decides(evidence: Evidence, share: str = str(DECIDES), chips: str = "") -> Measured:
    """Share of the challengers likely behind Nvidia's chip of their day for which bringing memory alone, its size and
    its speed, to that chip's level closes at least `share` of the logarithm of the gap in cost."""
    return _decided(evidence, "memory", share, chips)


@measure("counterfactual_network")
def network_decides(evidence: Evidence, share: str = str(DECIDES), chips: str = "") -> Measured:
    """The same for the network."""
    return _decided(evidence, "network", share, chips)


@measure("counterfactual_precision")
def precision_decides(evidence: Evidence, share: str = str(DECIDES), chips: str = "") -> Measured:
    """The same for the number formats that a chip trains in."""
    return _decided(evidence, "precision", share, chips)


@measure("counterfactual_protagonist")
def part_of_the_protagonist(
    evidence: Evidence, factor: str = "memory", chip: str = "sn40l"
) -> Measured:
    """Part of one chip's gap, as a logarithm, that a group of factors explains: its Shapley share over the whole."""
    require_known("group of factors", factor, GROUPS, "counterfactual_protagonist")
    one = counterfactual.split(chip)
    if one.gap <= 1:
        return NOTHING
    positions = [one.table["factor"].tolist().index(name) for name in GROUPS[factor]]
    parts, gaps = one.drawn_shapley[:, positions].sum(axis=1), one.drawn_shapley.sum(axis=1)
    low, high = np.quantile(parts[gaps > 0] / gaps[gaps > 0], (0.05, 0.95))
    value = float(one.table["shapley"].iloc[positions].sum() / np.log(one.gap))
    note = f"{one.name} against {one.yardstick_name} on {one.job_title}, in {one.unit}"
    return _told([one], value, min(float(low), value), max(float(high), value), note)
