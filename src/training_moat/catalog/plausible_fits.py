"""What is expected of constants, and what was made of them: shares up to one, factors about one, fitted constants near
what was expected, predictions of runs left out near what was measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside, times_off

SAME_EXPECTATION = 2.5
"""Most by which the expectation that a constant was fitted from may differ from the one told now: more is no refinement."""

FARTHEST = 6.0
"""Standard deviations from its expectation within which every fitted constant lies; most lie within two."""

WIDEST = 15.0
"""Most that the upper end of an interval is over its lower one."""

FARTHEST_OFF = 9.0
"""Most by which a run that was left out is predicted too long or too short: a point in the wrong place is more."""

WITHOUT = ("without_source_s", "without_chip_s", "without_family_s")
"""Predictions of a run by constants that have not seen its source, its chip, its chip's family."""


@check_each("training_priors", "serving_priors")
def expectations(sheet: Sheet) -> Iterator[Problem]:
    """Shares above one, and factors that are not expected to be one."""
    share, expected = sheet.frame["share"] == "yes", sheet["expected"]
    factor = sheet.frame["level"] != "generic"
    wrong = share & ((expected <= 0) | (expected > 1))
    yield from sheet.refused(wrong, "expected", "a share, above 0 and at most 1")
    if sheet.has("most"):
        yield from sheet.refused(share & ~(sheet["most"] <= 1), "most", "at most 1, as of a share")
    expected_one = "1: what is known of all of them stands in the row of the level generic"
    yield from sheet.refused(factor & (expected != 1), "expected", expected_one)
    yield from sheet.refused(factor & share, "share", "no: a factor may be above one")


@check("training_priors", "calibration_training")
def expected_of_fits(priors: Sheet, fits: Sheet) -> Iterator[Problem]:
    """Expectations far from those that the stored constants were fitted from."""
    names = ["level", "constant"]
    told = fits.frame.groupby(names)[["prior", "prior_log_sd"]].median().reset_index()
    merged = priors.frame[names].merge(told, on=names, how="left")
    for column, known in (("expected", "prior"), ("log_sd", "prior_log_sd")):
        then = pd.Series(merged[known].to_numpy(float), index=priors.frame.index)
        off = np.log(priors[column] / then).abs() > np.log(SAME_EXPECTATION)
        yield from priors.refused(
            off, column, f"about the {known} of calibration_training.csv, or a fit from it"
        )


@check_each("calibration_training")
def fitted_constants(fits: Sheet) -> Iterator[Problem]:
    """Constants far from what was expected of them."""
    distance = np.log(fits["value"] / fits["prior"]).abs() / fits["prior_log_sd"]
    expected = f"a value within {FARTHEST:g} prior_log_sd of its prior"
    yield from fits.refused(distance > FARTHEST, "value", expected)


@check_each("training_blind")
def blind_predictions(sheet: Sheet) -> Iterator[Problem]:
    """Predictions outside their own interval, of an endless one, or nowhere near what was measured."""
    low, middle, high = sheet["p05_s"], sheet["predicted_s"], sheet["p95_s"]
    wrong = outside(middle, low, high) | (high > WIDEST * low)
    yield from sheet.refused(wrong, "predicted_s", "a time between p05_s and p95_s")
    yield from _off(sheet, "predicted_s")


@check_each("training_left_out")
def predictions_without(sheet: Sheet) -> Iterator[Problem]:
    """Predictions of runs left out that are nowhere near what was measured."""
    for column in WITHOUT:
        yield from _off(sheet, column)


def _off(sheet: Sheet, column: str) -> Iterator[Problem]:
    wrong = times_off(sheet[column] / sheet["measured_s"], FARTHEST_OFF)
    yield from sheet.refused(wrong, column, f"within {FARTHEST_OFF:g} times measured_s")
