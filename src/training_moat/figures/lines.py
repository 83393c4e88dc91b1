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


def _crowded(ends: pd.DataFrame, y: str, low: float, high: float, log: bool) -> bool:
    """Whether two line ends lie so close that their names would overlap."""
    place = np.sort(np.log10(ends[y].to_numpy(float)) if log else ends[y].to_numpy(float))
    span = np.log10(high / low) if log else high - low
    return len(place) > 1 and span > 0 and float(np.diff(place).min()) < 0.07 * span


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
    x_domain: Sequence[float] | None = None,
    y_domain: Sequence[float] | None = None,
    y_format: str | None = None,
    x_format: str | None = None,
    zero: bool = False,
    step: bool = False,
    height: int = 300,
    colors: dict[str, str] | None = None,
    tooltip: Sequence[str] | None = None,
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
    everything = pd.concat([data[column] for column in (y, *(band or ()))])
    everything = everything if loose is None else pd.concat([everything, loose[y]])
    low, high = parts.bounds(everything, log_y, y)
    date = pd.api.types.is_datetime64_any_dtype(data[x])
    if date:
        along = alt.X(
            field=parts.field(x), type="temporal", axis=alt.Axis(title=x_title, tickCount=6)
        )
    else:
        left, right = parts.bounds(data[x], log_x, x)
        x_scale = (
            alt.Scale(type="log", domain=[left, right], nice=False)
            if log_x and x_domain is None
            else parts.scale(left, right, log_x, False, x_domain)
        )
        if not log_x and x_domain is None:
            x_scale = alt.Scale(domain=[left, right], nice=False)
        along = alt.X(
            field=parts.field(x),
            type="quantitative",
            scale=x_scale,
            axis=parts.axis(
                x_title, left, right, log_x, x_format, x_domain or [left, right], grid=False
            ),
        )
    upward = {
        "scale": parts.scale(low, high, log_y, zero, y_domain),
        "axis": parts.axis(y_title, low, high, log_y, y_format, y_domain),
    }
    up = alt.Y(field=parts.field(y), type="quantitative", **upward)
    base = alt.Chart(data).encode(x=along)
    paint: dict[str, Any] = {}
    names: list[alt.Chart] = []
    if series:
        ends = _ends(data, x, y, series)
        crowded = _crowded(ends, y, low, high, log_y)
        table = theme.colour_scale(data[series].astype(str), colors)
        paint["color"] = alt.Color(
            field=parts.field(series),
            type="nominal",
            scale=table,
            legend=alt.Legend(title=None) if crowded else None,
        )
        if not crowded:
            mark = alt.Chart(ends).mark_text(
                align="right", baseline="bottom", dy=-6, fontWeight=600
            )
            names = [
                mark.encode(
                    x=along, y=up, text=alt.Text(field=parts.field(series), type="nominal"), **paint
                )
            ]
    layers: list[alt.Chart] = []
    if band:
        layers.append(
            base.mark_area(opacity=0.18).encode(
                y=alt.Y(field=parts.field(band[0]), type="quantitative", **upward),
                y2=alt.Y2(field=parts.field(band[1])),
                **paint,
            )
        )
    shape: dict[str, Any] = {"interpolate": "step-after"} if step else {}
    if points:
        shape["point"] = True
    layers.append(
        base.mark_line(**shape).encode(y=up, tooltip=parts.tooltips(data, tooltip), **paint)
    )
    if loose is not None:
        dots = alt.Chart(loose).mark_point(filled=True, size=36, opacity=0.75, color="#7a8591")
        layers.append(dots.encode(x=along, y=up, tooltip=parts.tooltips(loose, None)))
    layers += [
        *names,
        *parts.reference_lines(reference, "y"),
        *parts.reference_lines(
            reference_x, "x", None if date else (*(x_domain or (left, right)), log_x)
        ),
    ]
    return parts.layered(layers, title, height)
