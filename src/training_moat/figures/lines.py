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


PHONE = 300.0
"""Width (and the usual height) of the plot on a phone, where names take the largest part of it, in pixels."""

LETTER, LINE, GAP = 6.6, 13.0, 6.0
"""Width and height of a name's letters, and how far it stands from its point, in pixels."""


def _sides(
    data: pd.DataFrame, ends: pd.DataFrame, x: str, y: str, series: str, logs: tuple[bool, bool]
) -> dict[str, str] | None:
    """On which side of its line's end, `top` or `bottom`, each name stands free of all lines and of the other names on a
    phone; None where one stands free on neither."""
    across, down = (_pixels(data[name], log) for name, log in ((x, logs[0]), (y, logs[1])))
    down = PHONE - down
    own = data[series].astype(str)
    paths = []
    for name in own.unique():
        order = np.argsort(across[own == name], kind="stable")
        paths.append((across[own == name][order], down[own == name][order]))
    boxes: list[tuple[float, float]] = []
    found: dict[str, str] = {}
    for index, name in zip(ends.index, ends[series].astype(str), strict=True):
        place = data.index.get_loc(index)
        near = np.linspace(max(0.0, across[place] - LETTER * len(name)), across[place] - 2, 24)
        tops = {"top": down[place] - GAP - LINE, "bottom": down[place] + GAP}
        free = (side for side, top in tops.items() if _is_free(top, near, paths, boxes))
        side = next(free, None)
        if side is None:
            return None
        found[name] = side
        boxes.append((tops[side], tops[side] + LINE))
    return found


def _pixels(values: pd.Series, log: bool) -> np.ndarray:
    """Where values lie on an axis of a phone."""
    told = values.astype("int64") if pd.api.types.is_datetime64_any_dtype(values) else values
    place = told.to_numpy(float)
    place = np.log10(place) if log else place
    low, high = np.nanmin(place), np.nanmax(place)
    return np.asarray(PHONE * (place - low) / (high - low or 1.0))


def _is_free(
    top: float,
    near: np.ndarray,
    paths: Sequence[tuple[np.ndarray, np.ndarray]],
    boxes: Sequence[tuple[float, float]],
) -> bool:
    """Whether no line and no other name lies where a name would stand."""
    if top < -GAP - LINE or top + LINE > PHONE:
        return False
    if any(top < low and high < top + LINE for high, low in boxes):
        return False
    for across, down in paths:
        here = np.interp(near, across, down, left=np.nan, right=np.nan)
        if ((here > top) & (here < top + LINE)).any():
            return False
    return True


def _along(
    data: pd.DataFrame, x: str, title: str, log: bool, form: str | None, reference: Any
) -> tuple[alt.X, tuple[float, float, bool] | None]:
    """The x axis with its reference lines on it, and where it is no date, its ends and whether it is logarithmic."""
    if pd.api.types.is_datetime64_any_dtype(data[x]):
        return parts.dated(x, title), None
    ends = parts.bounds(data[x], log, x, reference)
    reach = alt.Scale(domain=list(ends), nice=False, **({"type": "log"} if log else {}))
    axis = parts.axis(title, *ends, log, form, ends, grid=False)
    return parts.number(alt.X, x, scale=reach, axis=axis), (*ends, log)


def _told_apart(
    data: pd.DataFrame, x: str, y: str, series: str, logs: tuple[bool, bool]
) -> tuple[dict[str, Any], list[alt.Chart]]:
    """Colours of the series, and their names: beside the last point of each, or in a legend where one would lie on a
    line."""
    drawn = data.dropna(subset=[y]).reset_index(drop=True)
    ends = _ends(drawn, x, y, series)
    sides = _sides(drawn, ends, x, y, series, logs)
    names = []
    for side, baseline, away in (("top", "bottom", -GAP), ("bottom", "top", GAP)):
        here = ends[[(sides or {}).get(name) == side for name in ends[series].astype(str)]]
        mark = alt.Chart(here).mark_text(align="right", baseline=baseline, dy=away, fontWeight=600)
        names += [mark.encode(text=parts.nominal(alt.Text, series))] if len(here) else []
    return parts.paint(series, data[series], legend=sides is None), names


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
    paint, names = _told_apart(data, x, y, series, (log_x, log_y)) if series else ({}, [])
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
