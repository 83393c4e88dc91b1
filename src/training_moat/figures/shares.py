"""Shares of a whole that the reader moves: ratios scaled by a slider on a fixed axis."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts


@parts.or_nothing
def scaled_shares(
    frame: pd.DataFrame,
    *,
    category: str,
    low: str,
    mid: str,
    high: str,
    title: str,
    value_title: str,
    slider_title: str,
    reference: Any,
) -> alt.LayerChart:
    """One range per category on an axis from zero to one that a slider moves.

    low, mid, high: columns with a ratio r of the part to the rest at a factor of one. At a factor k the share
    shown is k r / (1 + k r), with its value written beside the dot. The slider runs from 0.1 to 30; the
    axis is fixed, so that only the shares move.
    """
    data = parts.tidy(frame, category, low, mid, high)
    slider = alt.binding_range(min=0.1, max=30.0, step=0.1, name=slider_title + " ")
    factor = alt.param(name="factor", value=1, bind=slider)
    base = alt.Chart(data)
    for end, column in (("a", low), ("s", mid), ("b", high)):
        ratio = f"factor * datum['{column}']"
        base = base.transform_calculate(**{end: f"({ratio}) / (1 + {ratio})"})
    rows = parts.ordered(data, category, mid, None)
    y = parts.categories(category, rows)
    along = parts.measured(value_title, 0.0, 1.0, False, "%", (0.0, 1.0))
    dot = {"x": alt.X("s:Q", **along), "y": y}
    span = base.mark_rule(strokeWidth=5, strokeCap="round", opacity=0.4)
    words = base.transform_calculate(words="format(datum.s, '.2~p')").mark_text(dy=-13, fontSize=11)
    layers = [
        span.encode(x=alt.X("a:Q", **along), x2="b:Q", y=y, **parts.paint(None)),
        base.mark_point(size=80, opacity=1).encode(**dot, **parts.paint(None)),
        words.encode(**dot, text="words:N"),
        *parts.reference_lines(reference, "x", (0.0, 1.0, False)),
    ]
    return parts.layered(layers, title, parts.band_height(len(rows), row=42)).add_params(factor)
