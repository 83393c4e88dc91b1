"""Findings of a chapter, guarded: they stop a build at the defaults and a reader's re-run never."""

from __future__ import annotations

import os

import pandas as pd
from IPython.display import display

from training_moat.figures.parts import STRICT
from training_moat.figures.publishing import sentence


def expect(condition: object, finding: str) -> None:
    """Say in the page that a finding no longer holds, if so; with the book's own settings, fail.

    condition: what must hold; something missing (None, NaN) counts as not holding.
    finding: the finding as a clause in plain words ("serving fits on fewer chips than training").
    Raises AssertionError with the finding where `STRICT` is set.
    """
    holds = bool(condition) if condition is not None and not pd.isna(condition) else False
    if holds:
        return
    if os.environ.get(STRICT):
        raise AssertionError(f"a finding of this chapter no longer holds: {finding}")
    display(sentence(f"With these settings it no longer holds that {finding}."))
