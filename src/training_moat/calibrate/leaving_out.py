"""Every row predicted by constants that never saw its source, its chip or its family."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate.fit_stage import as_constants, predict_rows
from training_moat.calibrate.fit_training import Fit
from training_moat.calibrate.measured_training import Rows


def leave_out(rows: Rows, labels: pd.Series, fitted: Fit) -> np.ndarray:
    """Predicted seconds of every row by constants fitted without the rows that share its label.

    `fitted` is the fit to all `rows`; labels must be unions of a source's runs on one chip (sources, chips, families),
    which are the clusters of the fit. Each search begins at that fit and keeps its slopes (`Stage.without`).
    """
    slopes = [stage.slopes(stage.solution) for stage in fitted.stages]
    seconds = np.full(len(rows.frame), np.nan)
    for label in sorted(labels.unique()):
        held = (labels == label).to_numpy()
        if held.all():
            continue
        values = dict(fitted.constants.values)
        for stage, slope in zip(fitted.stages, slopes, strict=True):
            values |= stage.without(held[stage.index], slope, values)
        seconds[held] = predict_rows(rows.take(held), as_constants(values))
    return seconds
