"""What a measured run's source leaves open, settled as a request that leaves it open is answered."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import priors, run_requests
from training_moat.predict import plan_search, training_plans, training_tables


def settle(frame: pd.DataFrame) -> pd.DataFrame:
    """Usable runs, those without a stated micro-batch with the one that a search takes, and with its interleaving and
    recomputation where these are not stated either: published runs are tuned, so that one sequence at a time, which
    nobody states, is a worse guess than the fastest plan that fits. What is fastest is told by the constants as they are
    expected before any run is looked at (`priors.expected`), so that no measured time decides it. Runs that accumulate no
    gradients have no choice; neither have those of which nothing fits."""
    left = frame["micro_batch_blank"] & pd.to_numeric(frame["accumulates"], errors="coerce").ne(0)
    if not left.any():
        return frame
    asked = [run_requests.full(row) for row in frame[left].to_dict("records")]
    cases = [training_plans.parse(request) for request in asked]
    best = plan_search.best(training_tables.rows_of(cases, priors.expected()))
    rows, plan = frame.index[left][best.fits], best.at(np.flatnonzero(best.fits)).plan
    settled = frame.copy()
    settled.loc[rows, "micro_batch"] = plan.micro_batch
    for blank, column, found in (
        (frame["interleaving_blank"], "virtual_stages", plan.virtual_stages),
        (frame["recompute_level"].isna(), "recompute_level", plan.recompute),
    ):
        free = blank[rows].to_numpy(bool)
        settled.loc[rows[free], column] = np.asarray(found, float)[free]
    return settled
