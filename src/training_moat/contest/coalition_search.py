r"""The best plan of a job on every mixture of a chip and the yardstick: 64 searches, kept on disk.

Only the six factors of the machine need a search; what else makes the cost is multiplied in afterwards (coalitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training_moat.contest import best_plan
from training_moat.contest.chip_assumptions import Assumption
from training_moat.contest.chip_factors import MACHINE_FACTORS, mixed, training_formats
from training_moat.contest.reference_jobs import Job
from training_moat.core.machine import Chip
from training_moat.predict import side_by_side

COALITIONS = 1 << len(MACHINE_FACTORS)


@dataclass(frozen=True)
class Searched:
    """What the searches found: chip-hours of every machine coalition (endless where it cannot be done), chips of the
    challenger's own run and of the yardstick's, chip-hours at both ends of every assumption."""

    hours: np.ndarray
    own_chips: float
    yardstick_chips: float
    ends: tuple[tuple[float, float], ...]


def search(asked: Sequence[tuple[Chip, Chip, Job, Sequence[Assumption], float]]) -> list[Searched]:
    """The searches of chips against yardsticks on jobs, each with what is assumed of the chip and the most days, from disk
    where they were done before."""
    return [_told(np.array(found)) for found in best_plan.kept("coalitions", asked, _all)]


def _told(found: np.ndarray) -> Searched:
    hours, rest = found[:COALITIONS], found[COALITIONS + 2 :]
    own, other = found[COALITIONS : COALITIONS + 2]
    return Searched(hours, float(own), float(other), tuple(zip(rest[::2], rest[1::2], strict=True)))


def _all(
    chip: Chip, yardstick: Chip, job: Job, assumed: Sequence[Assumption], max_days: float
) -> best_plan.Asking:
    own, other = training_formats(chip), training_formats(yardstick)
    searches: list[tuple[Chip, tuple[str, ...]]] = []
    for mask in range(COALITIONS):
        taken = [name for bit, name in enumerate(MACHINE_FACTORS) if mask >> bit & 1]
        tried = other if "precision" in taken else own
        searches.append((mixed(chip, yardstick, taken), tried))
    searches += [(end, own) for one in assumed for end in (one.low, one.high)]
    # Mixtures are often the same machine, where chip and yardstick have a quality in common.
    names = [repr(one) for one in searches]
    different = dict(zip(names, searches, strict=True))
    told = yield from side_by_side.beside(
        [
            best_plan.cheapest(machine, job, formats, max_days)
            for machine, formats in different.values()
        ]
    )
    by_name = dict(zip(different, told, strict=True))
    found = [by_name[name] for name in names]
    # Endless, on no chips, where there is none.
    hours, chips = zip(*[(np.inf, 0.0) if one is None else one[:2] for one in found], strict=True)
    return [*hours[:COALITIONS], chips[0], chips[COALITIONS - 1], *hours[COALITIONS:]]
