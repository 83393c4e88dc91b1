"""What decides, for whom: the model's own answer to the article's arguments on memory, networking and low precision."""

from __future__ import annotations

from training_moat.claims import ranges
from training_moat.claims.base import NOTHING, Measured, measure
from training_moat.contest import deciding
from training_moat.contest.chip_factors import GROUPS
from training_moat.contest.counterfactual import DECIDES, sources, splits
from training_moat.core.errors import require_known
from training_moat.inquiry.wording import counted, listed


@measure
def best_startup_advantage() -> Measured:
    """The largest advantage (Nvidia's cost over the chip's) that a startup's chip had on the job of its day, by the middle of
    the model's range, with the range of that chip."""
    found = [one for one in deciding.of_startups(splits()) if one.possible]
    if not found:
        return NOTHING
    best = min(found, key=lambda one: one.gap)
    rows = (f"chips:{best.chip.id}", f"reference_jobs:{best.job.job}")
    note = f"{best.name} against {best.yardstick.name}, in {best.unit}"
    ends, cited = (1 / best.high, 1 / best.low), sources([best])
    return Measured(1 / best.gap, *ends, None, rows, cited, note, ranges.MONTE_CARLO)


@measure
def counterfactual(group: str, share: str = str(DECIDES), chips: str = "") -> Measured:
    """Share of the challengers likely behind Nvidia's chip of their day for which bringing one group of factors alone
    (memory: its size and its speed; the network; the formats that a chip trains in) to that chip's level closes at
    least `share` of the logarithm of the gap in cost."""
    require_known("group of factors", group, GROUPS, "counterfactual")
    found = splits(chips.split(",") if chips else None)
    told = deciding.decision(group, found, float(share))
    if told.value is None:
        return NOTHING
    others = counted(len(told.no), "other")
    young = deciding.decision(group, deciding.of_startups(found), float(share))
    note = f"{group} decides for {listed(told.yes)}, not for {others} behind"
    if behind := len(young.yes) + len(young.no):
        decided = len(young.yes) or "none"
        note += f"; of {counted(behind, 'chip')} of startups among them for {decided}"
    rows = dict.fromkeys(
        [
            *(f"chips:{one.chip.id}" for one in found),
            *(f"reference_jobs:{one.job.job}" for one in found),
        ]
    )
    cited = sources(found)
    return Measured(
        told.value, told.low, told.high, None, tuple(rows), cited, note, ranges.MONTE_CARLO
    )
