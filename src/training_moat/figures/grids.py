"""Heatmap, timeline and tornado."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


def _ramp(value: str, low: float, high: float, middle: float | None) -> tuple[alt.Scale, str]:
    """Colours of numbers from low to high, and the expression that tells which of them are dark."""
    if middle is None:
        scale = alt.Scale(type="linear", domain=[low, high], range=theme.SEQUENTIAL)
        return scale, f"datum['{value}'] > {(low + high) / 2}"
    reach = max(high - middle, middle - low) or 1.0
    stops = [middle + part * reach for part in (-1, -0.5, 0, 0.5, 1)]
    # The usual interpolation goes through hues that stand for neither side.
    scale = alt.Scale(domain=stops, range=theme.DIVERGING, interpolate="rgb")
    return scale, f"abs(datum['{value}'] - {middle}) > {0.55 * reach}"


@parts.or_nothing
def heatmap(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    title: str,
    value_title: str,
    x_title: str | None = None,
    y_title: str | None = None,
    label: str | None = None,
    label_format: str = ".2~g",
    show_labels: bool = True,
    middle: float | None = None,
    x_sort: Any = None,
    colors: dict[str, str] | None = None,
    value_format: str | None = None,
) -> alt.LayerChart:
    """Coloured cells of `value` over two categories.

    value may be a number (a colour ramp; `middle` for a ramp that diverges around that value) or a
    category (company, verdict or palette colours, with a legend, in the order of `colors` where these are given).
    value_format: how the legend of a ramp writes its numbers.
    """
    data = parts.tidy(frame, x, y, value, label)
    columns, rows = parts.ordered(data, x, x, x_sort), parts.ordered(data, y, y, None)
    top = alt.Axis(title=x_title, orient="top", **_upright(columns))
    side = parts.nominal(alt.X, x, sort=columns, axis=top)
    down = parts.categories(y, rows, y_title)
    base = alt.Chart(data).encode(x=side, y=down, tooltip=parts.tooltips(data))
    ink = alt.value(theme.ON_DARK)
    text = parts.nominal(alt.Text, label or value)
    if pd.api.types.is_numeric_dtype(data[value]):
        ramp, dark = _ramp(value, *parts.bounds(data[value], False, value), middle)
        form = {"format": value_format} if value_format else {}
        legend = alt.Legend(
            title=value_title, titleLimit=320, gradientLength=160, tickCount=3, **form
        )
        paint = {"color": parts.number(alt.Color, value, scale=ramp, legend=legend)}
        ink = alt.condition(dark, ink, alt.value(theme.ON_PALE))
        text = text if label else parts.number(alt.Text, value, format=label_format)
    else:
        paint = parts.paint(value, data[value], colors)
        pale = [name for name, colour in (colors or {}).items() if theme.is_pale(colour)]
        if pale:
            on_pale = alt.FieldOneOfPredicate(field=parts.field(value), oneOf=pale)
            ink = alt.condition(on_pale, alt.value(theme.ON_PALE), ink)
    layers = [base.mark_rect(stroke="#88888833").encode(**paint)]
    layers += [base.mark_text(fontSize=11).encode(text=text, color=ink)] if show_labels else []
    return parts.layered(layers, title, parts.band_height(len(rows), row=28, room=0))


def _upright(columns: Sequence[Any]) -> dict[str, Any]:
    """How a few columns are labelled: upright, a long label on several lines; many at a slant."""
    if len(columns) >= 9:
        return {"labelAngle": -45}
    if all(len(str(one)) <= LONG_LABEL for one in columns):
        return {"labelAngle": 0}
    lines = max(len(str(one).split()) for one in columns)
    room = 4 + LINE_HEIGHT * (lines - 1)  # lines go downwards from the first
    return {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')", "labelPadding": room}


LONG_LABEL = 12
"""Characters that still fit above a column."""

LINE_HEIGHT = 13
"""Points from one line of a label to the next."""


@parts.or_nothing
def timeline(
    frame: pd.DataFrame,
    *,
    start: str,
    lane: str,
    title: str,
    color: str,
    x_title: str,
    sort: Any = None,
    reference: Any = None,
    tooltip: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Events on dated lanes: a dot per event, on its day."""
    data = parts.tidy(frame, start, lane, color)
    rows = parts.ordered(data, lane, lane, sort)
    first, last = data[start].min(), data[start].max()
    room = (last - first) * 0.03
    span = alt.Scale(domain=[end.strftime("%Y-%m-%d") for end in (first - room, last + room)])
    along = parts.dated(start, x_title, axis={"grid": True, "format": "%Y"}, scale=span)
    base = alt.Chart(data).encode(
        x=along, y=parts.categories(lane, rows), tooltip=parts.tooltips(data, tooltip)
    )
    paint = parts.paint(color, data[color], legend=color != lane)
    layers = [base.mark_point(size=85, opacity=1).encode(**paint)]
    layers += parts.reference_lines(reference, "x")
    return parts.layered(layers, title, parts.band_height(len(rows), row=26))


@parts.or_nothing
def tornado(
    frame: pd.DataFrame,
    *,
    name: str,
    low: str,
    high: str,
    base: float,
    title: str,
    value_title: str,
    reference: Any = None,
    value_format: str | None = None,
) -> alt.LayerChart:
    """How far the answer moves when one input goes from its low to its high value, the twelve widest first.

    frame: one row per input; low, high: the answer at the input's low and high value; base: the
    answer with every input at its central value.
    """
    data = parts.tidy(frame, name, low, high)
    swing = (data[high] - data[low]).abs().sort_values(ascending=False, kind="stable")
    data = data.loc[swing.index[:12]]
    kept = [column for column in data.columns if column not in (low, high)]
    ends = data.melt(kept, [low, high], var_name="input at", value_name="answer")
    shown = {low: "its low value", high: "its high value"}
    ends = ends.assign(base=base, **{"input at": ends["input at"].map(shown)})
    left, right = parts.bounds([*ends["answer"], base], False, "answer")
    order = [str(item) for item in data[name]]
    sides = alt.Scale(domain=list(shown.values()), range=theme.PALETTE[1::-1])
    bar = (
        alt.Chart(ends)
        .mark_bar(height=14)
        .encode(
            x=alt.X(
                "answer:Q",
                stack=None,
                **parts.measured(value_title, left, right, False, value_format),
            ),
            x2="base:Q",
            y=parts.categories(name, order),
            color=alt.Color("input at:N", scale=sides, legend=alt.Legend(title="input at")),
            tooltip=parts.tooltips(ends),
        )
    )
    middle = alt.Chart(pd.DataFrame({"base": [base]})).mark_rule().encode(x="base:Q")
    lines = parts.reference_lines(reference, "x", (left, right, False))
    return parts.layered([bar, middle, *lines], title, parts.band_height(len(order)))
