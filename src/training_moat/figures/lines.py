"""Lines: how a quantity moves with another, one line per series, with an optional uncertainty band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from training_moat.figures import parts, theme


def _ends(data: pd.DataFrame, x: str, y: str, series: str) -> pd.DataFrame:
    """The last point of every series, where its name is written."""
    return data.dropna(subset=[y]).sort_values(x, kind="stable").groupby(series, sort=False).tail(1)


def _crowded(ends: pd.DataFrame, y: str, span: tuple[float, float, bool]) -> bool:
    """Whether two line ends lie so close that their names would overlap."""
    low, high, log = span
    place = np.sort(np.log10(ends[y].to_numpy(float)) if log else ends[y].to_numpy(float))
    reach = np.log10(high / low) if log else high - low
    return len(place) > 1 and reach > 0 and float(np.diff(place).min()) < 0.07 * reach


def _along(
    data: pd.DataFrame, x: str, title: str, log: bool, form: str | None, reference: Any = None
) -> tuple[alt.X, tuple[float, float, bool] | None]:
    """The x axis with its reference lines on it, and where it is no date, its ends and whether it is logarithmic."""
    if pd.api.types.is_datetime64_any_dtype(data[x]):
        return parts.dated(x, title), None
    ends = parts.bounds(data[x], log, x, reference)
    reach = alt.Scale(domain=list(ends), nice=False, **({"type": "log"} if log else {}))
    axis = parts.axis(title, *ends, log, form, ends, grid=False)
    return parts.number(alt.X, x, scale=reach, axis=axis), (*ends, log)


def _told_apart(
    data: pd.DataFrame, x: str, y: str, series: str, span: tuple[float, float, bool]
) -> tuple[dict[str, Any], list[alt.Chart]]:
    """Colours of the series, and their names: over the last point of each, or in a legend where ends crowd."""
    ends = _ends(data, x, y, series)
    crowded = _crowded(ends, y, span)
    mark = alt.Chart(ends).mark_text(align="right", baseline="bottom", dy=-6, fontWeight=600)
    names = [] if crowded else [mark.encode(text=parts.nominal(alt.Text, series))]
    return parts.paint(series, data[series], legend=crowded), names


def _area(base: alt.Chart, band: tuple[str, str], upward: dict[str, Any]) -> alt.Chart:
    """The band of uncertainty."""
    low, high = band
    ends = {"y": parts.number(alt.Y, low, **upward), "y2": alt.Y2(field=parts.field(high))}
    return base.mark_area(opacity=0.18).encode(**ends)


def _dots(loose: pd.DataFrame) -> alt.Chart:
    """Points that belong to no line."""
    dots = alt.Chart(loose).mark_point(filled=True, size=36, opacity=0.75, color=theme.LOOSE)
    return dots.encode(tooltip=parts.tooltips(loose))


@parts.or_nothing
def lines(
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    x_title: str,
    y_title: str,
    series: str | None = None,
    band: tuple[str, str] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    points: bool = False,
    reference: Any = None,
    reference_x: Any = None,
    y_domain: Sequence[float] | None = None,
    y_format: str | None = None,
    x_format: str | None = None,
    zero: bool = False,
    step: bool = False,
    height: int = 300,
    marked: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Lines over a number or a date, each named at its end (or in a legend where ends crowd).

    frame: one row per point. band: columns with the lower and upper end of the uncertainty.
    reference, reference_x: (value, label) pairs drawn as dashed lines across y or x.
    step: draw steps, for quantities that change at once and then hold.
    marked: points that belong to no line (columns x and y, the others for the tooltip).
    """
    data = parts.tidy(frame, x, y, series, *(band or ()))
    loose = None if marked is None or marked.empty else parts.tidy(marked, x, y)
    every = data if loose is None else pd.concat([data, loose], ignore_index=True)
    low, high = parts.bounds(every[[y, *(band or ())]].to_numpy(float).ravel(), log_y, y)
    along, span = _along(every, x, x_title, log_x, x_format, reference_x)
    upward = parts.measured(y_title, low, high, log_y, y_format, y_domain, zero)
    up = parts.number(alt.Y, y, **upward)
    base = alt.Chart(data).encode(x=along)
    paint, names = _told_apart(data, x, y, series, (low, high, log_y)) if series else ({}, [])
    shape = ({"interpolate": "step-after"} if step else {}) | ({"point": True} if points else {})
    layers = [
        *([_area(base, band, upward).encode(**paint)] if band else []),
        base.mark_line(**shape).encode(y=up, tooltip=parts.tooltips(data), **paint),
        *([] if loose is None else [_dots(loose).encode(x=along, y=up)]),
        *(name.encode(x=along, y=up, **paint) for name in names),
        *parts.reference_lines(reference, "y"),
        *parts.reference_lines(reference_x, "x", span),
    ]
    return parts.layered(layers, title, height)
