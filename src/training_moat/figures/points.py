"""Points: two quantities against each other, or one quantity per category on a log axis; and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


def _paint(
    data: pd.DataFrame, color: str | None, colors: dict[str, str] | None, legend: bool
) -> dict[str, Any]:
    if color is None:
        return {"color": alt.value(theme.ACCENT)}
    shown = alt.Legend(title=None) if legend else None
    return {
        "color": alt.Color(
            field=parts.field(color),
            type="nominal",
            scale=theme.colour_scale(data[color].astype(str), colors),
            legend=shown,
        )
    }


_SIDES = {
    "right": ("left", 8, 0),
    "left": ("right", -8, 0),
    "above": ("center", 0, -11),
    "below": ("center", 0, 12),
}
"""Where a name may stand beside its dot: alignment of the text and its shift in pixels."""


def _places(data: pd.DataFrame, label: str, across: tuple, up: tuple, height: int) -> list[str]:
    """A side for the name of each dot on which it meets neither dot nor name, or nothing where there is no room.

    across, up: column, smallest and largest value, whether logarithmic. Names left out stay in the tooltip.
    """
    width = 560.0
    dots = [
        (
            parts.place(row[across[0]], across[1:]) * width,
            (1 - parts.place(row[up[0]], up[1:])) * height,
        )
        for _, row in data.iterrows()
    ]
    taken = [(at_x - 5, at_y - 5, at_x + 5, at_y + 5) for at_x, at_y in dots]
    chosen = []
    for (at_x, at_y), name in zip(dots, data[label].fillna("").astype(str)):
        long = 6.3 * len(name)
        start = {
            "right": at_x + 8,
            "left": at_x - 8 - long,
            "above": at_x - long / 2,
            "below": at_x - long / 2,
        }
        found = ""
        for side, (_, _, shift) in _SIDES.items():
            box = (start[side], at_y + shift - 6, start[side] + long, at_y + shift + 6)
            free = not any(
                box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken
            )
            if name and free and box[0] >= 0 and box[2] <= width:
                found = side
                taken.append(box)
                break
        chosen.append(found)
    return chosen


def _named(base: alt.Chart, data: pd.DataFrame, label: str, sides: list[str]) -> list[alt.Chart]:
    """Text layers that write the names, one layer per side."""
    layers = []
    for side, (align, shift_x, shift_y) in _SIDES.items():
        rows = data[[chosen == side for chosen in sides]]
        if rows.empty:
            continue
        words = base.properties(data=rows).mark_text(
            align=align, baseline="middle", dx=shift_x, dy=shift_y, fontSize=11
        )
        layers.append(words.encode(text=alt.Text(field=parts.field(label), type="nominal")))
    return layers


def points(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    x_title: str,
    y_title: str | None = None,
    color: str | None = None,
    label: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    diagonal: bool = False,
    reference: Any = None,
    reference_x: Any = None,
    sort: Any = "-value",
    x_domain: Sequence[float] | None = None,
    y_domain: Sequence[float] | None = None,
    height: int = 340,
    legend: bool = True,
    colors: dict[str, str] | None = None,
    tooltip: Sequence[str] | None = None,
    x_format: str | None = None,
    y_format: str | None = None,
) -> alt.LayerChart:
    """Dots; `y` may be a column of numbers (scatter) or of categories (a dot plot, sorted by x).

    label: column whose words are written beside the dots where there is room. diagonal: draw the line on
    which x equals y, for predicted against measured (both axes then share one domain).
    """
    data = parts.tidy(frame, x, y, color, label)
    dates = pd.api.types.is_datetime64_any_dtype(data[x])
    scatter = pd.api.types.is_numeric_dtype(data[y])
    marks = [value for value, _ in parts.pairs(reference_x)]
    left, right = (0.0, 1.0) if dates else parts.bounds([*data[x], *marks], log_x, x)
    layers: list[alt.Chart] = []
    if scatter:
        low, high = parts.bounds(
            [*data[y], *(value for value, _ in parts.pairs(reference))], log_y, y
        )
        if diagonal:
            both = (
                [min(left, low) / 1.3, max(right, high) * 1.3]
                if log_x
                else [min(left, low, 0.0), max(right, high) * 1.05]
            )
            x_domain = y_domain = both
            ends = pd.DataFrame({"a": both, "b": both})
            layers.append(
                alt.Chart(ends)
                .mark_line(strokeDash=[4, 3], strokeWidth=1.2, color=theme.MUTED)
                .encode(x="a:Q", y="b:Q")
            )
        up = alt.Y(
            field=parts.field(y),
            type="quantitative",
            scale=parts.scale(low, high, log_y, False, y_domain),
            axis=parts.axis(y_title, low, high, log_y, y_format, y_domain),
        )
    else:
        order = parts.ordered(data, y, x, sort)
        height = parts.band_height(len(order))
        up = alt.Y(
            field=parts.field(y),
            type="nominal",
            sort=order,
            axis=alt.Axis(title=y_title, grid=True),
        )
    if dates:
        along = alt.X(
            field=parts.field(x), type="temporal", axis=alt.Axis(title=x_title, tickCount=6)
        )
    else:
        along = alt.X(
            field=parts.field(x),
            type="quantitative",
            scale=parts.scale(left, right, log_x, False, x_domain),
            axis=parts.axis(x_title, left, right, log_x, x_format, x_domain),
        )
    base = alt.Chart(data).encode(x=along, y=up)
    paint = _paint(data, color, colors, legend and color != y)
    layers.append(
        base.mark_point(opacity=0.9).encode(tooltip=parts.tooltips(data, tooltip), **paint)
    )
    if label and scatter and not dates:
        layers += _named(
            base,
            data,
            label,
            _places(
                data,
                label,
                (x, *(x_domain or (left, right)), log_x),
                (y, *(y_domain or (low, high)), log_y),
                height,
            ),
        )
    elif label:
        words = base.mark_text(align="left", baseline="middle", dx=8, fontSize=11)
        layers.append(words.encode(text=alt.Text(field=parts.field(label), type="nominal")))
    span = None if dates else (*(x_domain or (left, right)), log_x)
    layers += [
        *parts.reference_lines(reference, "y"),
        *parts.reference_lines(reference_x, "x", span),
    ]
    return parts.layered(layers, title, height)


def ranges(
    frame: pd.DataFrame,
    *,
    category: str,
    low: str,
    high: str,
    title: str,
    value_title: str,
    mid: str | None = None,
    color: str | None = None,
    log: bool = False,
    reference: Any = None,
    sort: Any = "-value",
    domain: Sequence[float] | None = None,
    legend: bool | None = None,
    colors: dict[str, str] | None = None,
    tooltip: Sequence[str] | None = None,
    value_format: str | None = None,
) -> alt.LayerChart:
    """One horizontal line from low to high per category, with a dot at `mid` (the median).

    For 90% ranges (5th to 95th percentile) and for lower and upper bounds.
    """
    data = parts.tidy(frame, category, low, high, mid, color)
    marks = [value for value, _ in parts.pairs(reference)]
    left, right = parts.bounds([*data[low], *data[high], *marks], log, low)
    order = parts.ordered(data, category, mid or high, sort)
    along = {
        "scale": parts.scale(left, right, log, False, domain),
        "axis": parts.axis(value_title, left, right, log, value_format, domain),
    }
    y = alt.Y(field=parts.field(category), type="nominal", sort=order, axis=alt.Axis(title=None))
    paint = _paint(
        data, color, colors, legend if legend is not None else color not in (None, category)
    )
    base = alt.Chart(data).encode(y=y, tooltip=parts.tooltips(data, tooltip), **paint)
    span = base.mark_rule(strokeWidth=5, strokeCap="round", opacity=0.55).encode(
        x=alt.X(field=parts.field(low), type="quantitative", **along),
        x2=alt.X2(field=parts.field(high)),
    )
    layers = [span]
    if mid:
        layers.append(
            base.mark_point(size=80, opacity=1).encode(
                x=alt.X(field=parts.field(mid), type="quantitative", **along)
            )
        )
    span_x = (*(domain or (left, right)), log)
    return parts.layered(
        [*layers, *parts.reference_lines(reference, "x", span_x)],
        title,
        parts.band_height(len(order), row=26),
    )
