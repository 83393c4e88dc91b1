"""Bars: one quantity per category, or its parts stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


def bars(
    frame: pd.DataFrame,
    *,
    value: str,
    category: str,
    title: str,
    value_title: str,
    color: str | None = None,
    label: str | None = None,
    label_format: str = ",.3~g",
    sort: Any = "-value",
    reference: Any = None,
    tooltip: Sequence[str] | None = None,
    colors: dict[str, str] | None = None,
    legend: bool | None = None,
) -> alt.LayerChart:
    """Horizontal bars from zero with the number written at the end of each.

    frame: one row per category. value_title carries the unit. color: column that colours the bars
    (companies keep theirs). label: column with the words at the bar's end (default: the value in
    `label_format`). reference: (value, label) or a list of them, drawn as dashed lines. A quantity
    that spans many powers of ten belongs into `points(..., log_x=True)`: a bar must start at zero.
    """
    data = parts.tidy(frame, value, category, color, label)
    low, high = parts.bounds(
        [*data[value], *(at for at, _ in parts.pairs(reference))], False, value
    )
    order = parts.ordered(data, category, value, sort)
    words = data[label].astype(str).str.len().max() if label else 7
    room = (high - min(low, 0.0)) * min(0.6, 0.05 + 0.022 * words)
    x = alt.X(
        field=parts.field(value),
        type="quantitative",
        stack=None,
        axis=parts.axis(value_title, low, high),
        scale=alt.Scale(
            domain=[min(0.0, low) - (room if low < 0 else 0.0), max(high, 0.0) + room], nice=False
        ),
    )
    y = alt.Y(field=parts.field(category), type="nominal", sort=order, axis=alt.Axis(title=None))
    base = alt.Chart(data).encode(x=x, y=y, tooltip=parts.tooltips(data, tooltip))
    mark = base.mark_bar()
    if color:
        shown = legend if legend is not None else color != category
        mark = mark.encode(
            color=alt.Color(
                field=parts.field(color),
                type="nominal",
                scale=theme.colour_scale(data[color], colors),
                legend=alt.Legend(title=None) if shown else None,
            )
        )
    text = (
        alt.Text(field=parts.field(label), type="nominal")
        if label
        else alt.Text(field=parts.field(value), type="quantitative", format=label_format)
    )
    end = base.mark_text(align="left", baseline="middle", dx=5).encode(text=text)
    span = (min(0.0, low), max(high, 0.0) + room, False)
    layers = [mark, end, *parts.reference_lines(reference, "x", span)]
    return parts.layered(layers, title, parts.band_height(len(order)))


def stacked_bars(
    frame: pd.DataFrame,
    *,
    value: str,
    category: str,
    part: str,
    title: str,
    value_title: str,
    sort: Any = "-value",
    normalise: bool = False,
    part_order: Sequence[str] | None = None,
    colors: dict[str, str] | None = None,
    reference: Any = None,
    tooltip: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Horizontal bars made of coloured parts that add up; `normalise` shows shares of the whole.

    frame: one row per category and part. part_order fixes the order of the parts (default: as they come).
    """
    data = parts.tidy(frame, value, category, part)
    low, high = parts.bounds(data.groupby(category)[value].sum(), False, value)
    kinds = [str(item) for item in (part_order or dict.fromkeys(data[part]))]
    order = parts.ordered(data, category, value, sort)
    rank = {kind: number for number, kind in enumerate(kinds)}
    data = data.assign(_rank=[rank[str(item)] for item in data[part]])
    share = {"format": "%"} if normalise else {}
    axis = (
        alt.Axis(title=value_title, tickCount=5, **share)
        if normalise
        else parts.axis(value_title, min(low, 0.0), high)
    )
    mark = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X(
                field=parts.field(value),
                type="quantitative",
                stack="normalize" if normalise else "zero",
                axis=axis,
            ),
            y=alt.Y(
                field=parts.field(category), type="nominal", sort=order, axis=alt.Axis(title=None)
            ),
            color=alt.Color(
                field=parts.field(part),
                type="nominal",
                sort=kinds,
                scale=theme.colour_scale(kinds, colors),
                legend=alt.Legend(title=None),
            ),
            order=alt.Order(field="_rank", type="quantitative"),
            tooltip=parts.tooltips(data.drop(columns="_rank"), tooltip),
        )
    )
    return parts.layered(
        [mark, *parts.reference_lines(reference, "x", (min(low, 0.0), high, False))],
        title,
        parts.band_height(len(order)),
    )
