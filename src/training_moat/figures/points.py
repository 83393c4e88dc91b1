"""Points: two quantities against each other, or one quantity per category on a log axis; and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


def _diagonal(ends: list[float]) -> alt.Chart:
    """The line on which x equals y."""
    line = alt.Chart(pd.DataFrame({"a": ends, "b": ends}))
    mark = line.mark_line(strokeDash=[4, 3], strokeWidth=1.2, color=theme.MUTED)
    return mark.encode(x="a:Q", y="b:Q")


def _both(least: float, most: float, log: bool) -> list[float]:
    """The domain of two axes that share one."""
    return [least / 1.3, most * 1.3] if log else [min(least, 0.0), most * 1.05]


def _across(
    data: pd.DataFrame, x: str, title: str, log: bool, ends: tuple[float, float], domain: Any
) -> tuple[alt.X, tuple[float, float, bool] | None]:
    """The x axis, and where it is no date, its ends and whether it is logarithmic."""
    if pd.api.types.is_datetime64_any_dtype(data[x]):
        return parts.dated(x, title), None
    measured = parts.measured(title, *ends, log, None, domain)
    return parts.number(alt.X, x, **measured), (*(domain or ends), log)


@parts.or_nothing
def points(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    x_title: str,
    y_title: str | None = None,
    color: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    diagonal: bool = False,
    reference: Any = None,
    reference_x: Any = None,
    sort: Any = "-value",
    x_domain: Sequence[float] | None = None,
    y_domain: Sequence[float] | None = None,
    legend: bool = True,
    tooltip: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Dots; `y` may be a column of numbers (scatter) or of categories (a dot plot, sorted by x).

    diagonal: draw the line on which x equals y, for predicted against measured (both axes then share one domain).
    """
    data = parts.tidy(frame, x, y, color)
    dates = pd.api.types.is_datetime64_any_dtype(data[x])
    left, right = (0.0, 1.0) if dates else parts.bounds(data[x], log_x, x, reference_x)
    layers: list[alt.Chart] = []
    if pd.api.types.is_numeric_dtype(data[y]):
        height = 340
        low, high = parts.bounds(data[y], log_y, y, reference)
        if diagonal:
            x_domain = y_domain = _both(min(left, low), max(right, high), log_x)
            layers.append(_diagonal(x_domain))
        up = parts.number(alt.Y, y, **parts.measured(y_title, low, high, log_y, None, y_domain))
    else:
        order = parts.ordered(data, y, x, sort)
        height = parts.band_height(len(order))
        up = parts.categories(y, order, y_title, grid=True)
    along, span = _across(data, x, x_title, log_x, (left, right), x_domain)
    paint = parts.paint(color, data[color] if color else (), legend=legend and color != y)
    dots = alt.Chart(data).encode(x=along, y=up).mark_point(opacity=0.9)
    layers.append(dots.encode(tooltip=parts.tooltips(data, tooltip), **paint))
    layers += parts.reference_lines(reference, "y")
    layers += parts.reference_lines(reference_x, "x", span)
    return parts.layered(layers, title, height)


@parts.or_nothing
def ranges(
    frame: pd.DataFrame,
    *,
    category: str,
    low: str,
    mid: str,
    high: str,
    title: str,
    value_title: str,
    color: str | None = None,
    log: bool = False,
    reference: Any = None,
    sort: Any = "-value",
    domain: Sequence[float] | None = None,
    value_format: str | None = None,
) -> alt.LayerChart:
    """One horizontal line from low to high per category, with a dot at `mid` (the median).

    For 90% ranges (5th to 95th percentile) and for lower and upper bounds.
    """
    data = parts.tidy(frame, category, low, high, mid, color)
    left, right = parts.bounds([*data[low], *data[high]], log, low, reference)
    order = parts.ordered(data, category, mid, sort)
    along = parts.measured(value_title, left, right, log, value_format, domain)
    paint = parts.paint(color, data[color] if color else (), legend=color not in (None, category))
    row = {"y": parts.categories(category, order), "tooltip": parts.tooltips(data), **paint}
    base = alt.Chart(data).encode(**row)
    ends = {"x": parts.number(alt.X, low, **along), "x2": alt.X2(field=parts.field(high))}
    layers = [
        base.mark_rule(strokeWidth=5, strokeCap="round", opacity=0.55).encode(**ends),
        base.mark_point(size=80, opacity=1).encode(x=parts.number(alt.X, mid, **along)),
        *parts.reference_lines(reference, "x", (*(domain or (left, right)), log)),
    ]
    return parts.layered(layers, title, parts.band_height(len(order), row=26))
