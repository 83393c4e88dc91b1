"""What is expected of the training model's constants before any run is looked at, and in which order they are fitted."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from training_moat.catalog import tables
from training_moat.predict.attainable import measured_families
from training_moat.predict.fitted import Key
from training_moat.predict.training_constants import Constants

TABLE = "training_priors"
UNMEASURED = "unmeasured family"
"""The level of a family's factor where nobody measured its large products by themselves."""


class Prior(NamedTuple):
    """What is expected of a constant: median, standard deviation of its logarithm, and why; whether it is a `share`, which
    cannot exceed one; of a generic one the stage of the fit that sets it: the first, or one whose rows alone feel it."""

    median: float
    width: float
    why: str
    share: bool
    stage: int


@tables.kept()
def _all() -> dict[tuple[str, str], Prior]:
    """Every row of the table by level and constant. The factors' expected median is one; a name's factor stands about its
    class's (partial pooling: Gelman and Hill 2007, chapter 12)."""
    frame = tables.load(TABLE).fillna({"stage": 1})
    return {
        (row.level, row.constant): Prior(
            row.expected, row.log_sd, row.basis, row.share == "yes", int(row.stage)
        )
        for row in frame.itertuples()
    }


@tables.kept()
def generic() -> dict[str, Prior]:
    """What is expected of the generic constants, by name."""
    return {name: one for (level, name), one in _all().items() if level == "generic"}


THIN_STACK = 3
"""Sources below which a class of stacks has no factor of its own: its names stand about `other`."""
MIDDLE_RELEASE = 2025.5
"""The middle of all releases, for runs without a date."""
EXPECTED_OUTSIDE = {
    "expert_year": MIDDLE_RELEASE,
    "reserve_bytes": 0.0,
    "reserve_bytes_fused": 0.0,
    "reserve_share": 0.0,
}
"""Constants that have no prior, where no run has been looked at: the middle of the releases, and nothing kept in memory
beside what a plan says."""


def medians() -> dict[Key, float]:
    """The generic constants' expected values."""
    keys = [("generic", "all", name) for name in generic()]
    return {key: float(np.exp(prior(key)[0])) for key in keys}


def expected() -> Constants:
    """All constants as expected before any run is looked at."""
    outside = {("generic", "all", name): value for name, value in EXPECTED_OUTSIDE.items()}
    return Constants(medians() | outside)


def prior(key: Key) -> tuple[float, float]:
    """(logarithm of the median, standard deviation of the logarithm) expected of a constant."""
    level, owner, name = key
    if (level, name) == ("family", "matmul") and owner not in measured_families():
        level = UNMEASURED
    found = _all()[level, name]
    return math.log(found.median), found.width
