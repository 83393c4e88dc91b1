"""How far off the model is where a request says less of a run than its source does."""

from __future__ import annotations

import pandas as pd

from training_moat.calibrate import run_requests, training_errors
from training_moat.catalog import tables
from training_moat.predict import training

WITHOUT = {
    "described": (),
    "no_software": ("software", "released"),
    "no_recomputation": ("recompute",),
}
"""What each way of asking leaves out of a plain request."""


@tables.kept(copied=True, lasting=True)
def errors() -> pd.DataFrame:
    """By kind of run, how far off the model is that has not seen the run's source: with all that is known of the run, and
    asked as `WITHOUT` says, as `run_requests.plain` otherwise.

    Columns: interval_kind, runs, everything, described, no_software, no_recomputation (mean absolute errors, as shares).
    What the constants without the source make of a plain request is taken to differ from what the stored ones make of it as
    it does with all that is known: no fit without each source is kept. Runs that no request can say are left out, such as
    nine trials of BLOOM's team whose heads do not divide the width.
    """
    known = training_errors.rows()
    unseen = known["unseen_source_s"] / known["predicted_s"]
    asked = [run_requests.plain(row) for row in known.to_dict("records")]
    found = {"everything": known["unseen_source_error"].abs()}
    for name, left_out in WITHOUT.items():
        told = training.predict(
            [{key: said for key, said in one.items() if key not in left_out} for one in asked]
        )
        seconds = pd.Series([one.get("step_time_s") for one in told], known.index, float)
        found[name] = (seconds * unseen / known["measured_s"] - 1).abs()
    groups = pd.DataFrame(found).dropna().groupby(known["interval_kind"])
    return groups.size().rename("runs").to_frame().join(groups.mean()).reset_index()
