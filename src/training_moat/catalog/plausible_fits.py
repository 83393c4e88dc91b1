"""What is expected of constants, and what was made of them: shares up to one, factors about one, predictions within their
own intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog.plausible_bounds import over_median
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside, times_off

SAME_EXPECTATION = 2.5
"""Most by which the expectation that a constant was fitted from may differ from the one told now: more is no refinement."""

LOWEST, HIGHEST = 0.2, 5.0
"""Least and most that an end of a fitted interval is over its middle."""

ALIKE = 4.0
"""Most by which scatters of one kind differ between kinds of runs."""

WIDEST = 15.0
"""Most that the upper end of an interval is over its lower one."""


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


@check_each("calibration_training", "calibration_serving")
def intervals(sheet: Sheet) -> Iterator[Problem]:
    """Ends of fitted intervals that lie on the other side of the middle, or far from it."""
    of_interval, constant = sheet.frame["level"] == "interval", sheet.frame["constant"]
    for end, least, most in (("p05", LOWEST, 1.0), ("p95", 1.0, HIGHEST)):
        wrong = of_interval & constant.str.endswith(end) & outside(sheet["value"], least, most)
        yield from sheet.refused(wrong, "value", f"{least:g} to {most:g} times the middle")


@check_each("calibration_training")
def told_of_runs(sheet: Sheet) -> Iterator[Problem]:
    """Supports that are not the number of their sources, and scatters unlike those of other kinds of runs."""
    level, value = sheet.frame["level"], sheet["value"]
    yield from sheet.refused(
        (level == "support") & (value != sheet["sources"]), "value", "the number of its sources"
    )
    scatter = value.where(level == "scatter")
    usual = over_median(scatter, sheet.frame["key"])
    expected = f"within {ALIKE:g} times the scatters of its key"
    yield from sheet.refused(times_off(usual, ALIKE), "value", expected)


@check_each("training_blind")
def blind_predictions(sheet: Sheet) -> Iterator[Problem]:
    """Predictions outside their own interval, or of an endless one."""
    low, middle, high = sheet["p05_s"], sheet["predicted_s"], sheet["p95_s"]
    wrong = outside(middle, low, high) | (high > WIDEST * low)
    yield from sheet.refused(wrong, "predicted_s", "a time between p05_s and p95_s")
