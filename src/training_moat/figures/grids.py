"""Heatmap, timeline and tornado."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


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
    log: bool = False,
    middle: float | None = None,
    x_sort: Any = None,
    y_sort: Any = None,
    tooltip: Sequence[str] | None = None,
    colors: dict[str, str] | None = None,
) -> alt.LayerChart:
    """Coloured cells of `value` over two categories.

    value may be a number (a colour ramp; `log` for many powers of ten, `middle` for a ramp that
    diverges around that value) or a category (company, verdict or palette colours, with a legend).
    """
    data = parts.tidy(frame, x, y, value, label)
    columns, rows = parts.ordered(data, x, x, x_sort), parts.ordered(data, y, y, y_sort)
    side = alt.X(
        field=parts.field(x),
        type="nominal",
        sort=columns,
        axis=alt.Axis(title=x_title, orient="top", **_upright(columns)),
    )
    down = alt.Y(field=parts.field(y), type="nominal", sort=rows, axis=alt.Axis(title=y_title))
    base = alt.Chart(data).encode(x=side, y=down, tooltip=parts.tooltips(data, tooltip))
    if pd.api.types.is_numeric_dtype(data[value]):
        low, high = parts.bounds(data[value], log, value)
        if middle is not None:
            reach = max(high - middle, middle - low) or 1.0
            ramp = alt.Scale(
                domain=[middle + part * reach for part in (-1, -0.5, 0, 0.5, 1)],
                range=theme.DIVERGING,
                interpolate="rgb",  # the default goes through hues that stand for neither side
            )
            dark = f"abs(datum['{value}'] - {middle}) > {0.55 * reach}"
        else:
            ramp = alt.Scale(
                type="log" if log else "linear", domain=[low, high], range=theme.SEQUENTIAL
            )
            dark = f"datum['{value}'] > {(low * high) ** 0.5 if log else (low + high) / 2}"
        kind, text = (
            "quantitative",
            alt.Text(
                field=parts.field(label or value),
                type="nominal" if label else "quantitative",
                **({} if label else {"format": label_format}),
            ),
        )
        legend = alt.Legend(title=value_title, titleLimit=320, gradientLength=160, tickCount=3)
        ink = alt.condition(dark, alt.value("#ffffff"), alt.value("#1d232a"))
    else:
        ramp, kind, legend = (
            theme.colour_scale(data[value].astype(str), colors),
            "nominal",
            alt.Legend(title=None),
        )
        text, ink = (
            alt.Text(field=parts.field(label or value), type="nominal"),
            alt.value("#ffffff"),
        )
    cells = base.mark_rect(stroke="#88888833").encode(
        color=alt.Color(field=parts.field(value), type=kind, scale=ramp, legend=legend)
    )
    layers = (
        [cells, base.mark_text(fontSize=11).encode(text=text, color=ink)]
        if show_labels
        else [cells]
    )
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


def timeline(
    frame: pd.DataFrame,
    *,
    start: str,
    lane: str,
    title: str,
    label: str | None = None,
    end: str | None = None,
    color: str | None = None,
    reference: Any = None,
    sort: Any = None,
    x_title: str | None = None,
    colors: dict[str, str] | None = None,
    tooltip: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Events on dated lanes: a dot per event, or a bar where the row has an end.

    start, end: datetime columns. label: words beside the event (keep them short, a phone is narrow).
    """
    data = parts.tidy(frame, start, lane, label, end, color)
    rows = parts.ordered(data, lane, lane, sort)
    first, last = data[start].min(), (data[end] if end else data[start]).max()
    room = (last - first) * 0.25 if label else (last - first) * 0.03
    span = alt.Scale(
        domain=[day.strftime("%Y-%m-%d") for day in (first - (last - first) * 0.03, last + room)]
    )
    along = alt.X(
        field=parts.field(start),
        type="temporal",
        axis=alt.Axis(title=x_title, tickCount=6, grid=True, format="%Y"),
        scale=span,
    )
    down = alt.Y(field=parts.field(lane), type="nominal", sort=rows, axis=alt.Axis(title=None))
    base = alt.Chart(data).encode(x=along, y=down, tooltip=parts.tooltips(data, tooltip))
    paint: dict[str, Any] = {"color": alt.value(theme.ACCENT)}
    if color:
        shown = alt.Legend(title=None) if color != lane else None
        paint = {
            "color": alt.Color(
                field=parts.field(color),
                type="nominal",
                scale=theme.colour_scale(data[color].astype(str), colors),
                legend=shown,
            )
        }
    layers: list[alt.Chart] = []
    if end:
        layers.append(
            base.mark_bar(height=8, opacity=0.6).encode(x2=alt.X2(field=parts.field(end)), **paint)
        )
    layers.append(base.mark_point(size=85, opacity=1).encode(**paint))
    if label:
        layers.append(
            base.mark_text(align="left", baseline="middle", dx=8, fontSize=11).encode(
                text=alt.Text(field=parts.field(label), type="nominal")
            )
        )
    return parts.layered(
        [*layers, *parts.reference_lines(reference, "x")],
        title,
        parts.band_height(len(rows), row=26),
    )


def tornado(
    frame: pd.DataFrame,
    *,
    name: str,
    low: str,
    high: str,
    base: float,
    title: str,
    value_title: str,
    log: bool = False,
    tooltip: Sequence[str] | None = None,
    top: int = 12,
    reference: Any = None,
) -> alt.LayerChart:
    """How far the answer moves when one input goes from its low to its high value, widest first.

    frame: one row per input; low, high: the answer at the input's low and high value; base: the
    answer with every input at its central value.
    """
    data = parts.tidy(frame, name, low, high)
    swing = (data[high] / data[low]).abs() if log else (data[high] - data[low]).abs()
    swing = swing.where(swing >= 1, 1 / swing) if log else swing
    data = (
        data.assign(_swing=swing)
        .sort_values("_swing", ascending=False, kind="stable")
        .head(top)
        .drop(columns="_swing")
    )
    ends = data.melt(
        id_vars=[column for column in data.columns if column not in (low, high)],
        value_vars=[low, high],
        var_name="input at",
        value_name="answer",
    )
    ends["input at"] = ends["input at"].map({low: "its low value", high: "its high value"})
    ends = ends.assign(base=base)
    left, right = parts.bounds([*ends["answer"], base], log, "answer")
    order = [str(item) for item in data[name]]
    bar = (
        alt.Chart(ends)
        .mark_bar(height=14)
        .encode(
            x=alt.X(
                "answer:Q",
                scale=parts.scale(left, right, log),
                stack=None,
                axis=parts.axis(value_title, left, right, log),
            ),
            x2="base:Q",
            y=alt.Y(field=parts.field(name), type="nominal", sort=order, axis=alt.Axis(title=None)),
            color=alt.Color(
                "input at:N",
                scale=alt.Scale(
                    domain=["its low value", "its high value"],
                    range=[theme.PALETTE[1], theme.PALETTE[0]],
                ),
                legend=alt.Legend(title="input at"),
            ),
            tooltip=parts.tooltips(ends, tooltip),
        )
    )
    middle = alt.Chart(pd.DataFrame({"base": [base]})).mark_rule().encode(x="base:Q")
    return parts.layered(
        [bar, middle, *parts.reference_lines(reference, "x", (left, right, log))],
        title,
        parts.band_height(len(order)),
    )
