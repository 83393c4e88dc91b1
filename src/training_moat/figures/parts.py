"""Pieces that the builders share: checked columns, encodings with units, axes, reference lines, tooltips."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import altair as alt
import pandas as pd

from training_moat.core.errors import InputError, unknown
from training_moat.figures import theme

# d3 writes a billion as "G"; readers of prices and parameter counts expect "B".
_SHORT = "replace(format(datum.value, '~s'), 'G', 'B')"
# And a tenth as "100m".
_FRACTIONS = f"datum.value < 1 ? format(datum.value, '~g') : {_SHORT}"


STRICT = "MOAT_STRICT"
"""Environment variable under which what no longer holds or has no rows is an error: set where the book's own
defaults are run (tests, `moat refresh`, `moat build` without parameters)."""

NOTHING: Any = object()
"""What a builder returns in place of a chart where a reader's settings leave no row to draw."""

P = ParamSpec("P")
T = TypeVar("T")


class NoRows(InputError):
    """A figure or table without rows."""


def or_nothing(draw: Callable[P, T]) -> Callable[P, T]:
    """A builder that returns `NOTHING` where there are no rows; where `STRICT` is set it raises NoRows."""

    @wraps(draw)
    def drawn(*args: P.args, **named: P.kwargs) -> T:
        try:
            return draw(*args, **named)
        except NoRows:
            if os.environ.get(STRICT):
                raise
            return cast(T, NOTHING)

    return drawn


def tidy(frame: pd.DataFrame, *columns: str | None) -> pd.DataFrame:
    """Return the frame with a plain index after checking that it has rows and every named column."""
    for column in columns:
        if column is not None and column not in frame.columns:
            raise unknown("column", column, map(str, frame.columns), "figure")
    if frame.empty:
        raise NoRows("figure: the table to draw has no rows.")
    return frame.reset_index(drop=True)


def field(name: str) -> str:
    """Escape a column name so that Vega-Lite does not read its dots and brackets as a path."""
    for mark in ".[]":
        name = name.replace(mark, "\\" + mark)
    return name


def nominal(channel: Any, column: str, **options: Any) -> Any:
    """A channel that shows a column of words."""
    return channel(field=field(column), type="nominal", **options)


def number(channel: Any, column: str, **options: Any) -> Any:
    """A channel that shows a column of numbers."""
    return channel(field=field(column), type="quantitative", **options)


def dated(column: str, title: str | None, **options: Any) -> alt.X:
    """A column of days along the x axis."""
    axis = alt.Axis(title=title, tickCount=6, **options.pop("axis", {}))
    return alt.X(field=field(column), type="temporal", axis=axis, **options)


def categories(column: str, order: Sequence[str], title: str | None = None, **axis: Any) -> alt.Y:
    """One row per category, in this order."""
    return nominal(alt.Y, column, sort=order, axis=alt.Axis(title=title, **axis))


def paint(
    column: str | None,
    values: Iterable[Any] = (),
    colors: dict[str, str] | None = None,
    legend: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """The colours of a column's values, as an encoding; the book's accent where there is no such column."""
    if column is None:
        return {"color": alt.value(theme.ACCENT)}
    shown = alt.Legend(title=None) if legend else None
    painted = theme.colours(values, colors)
    palette = alt.Scale(domain=list(painted), range=list(painted.values()))
    return {"color": nominal(alt.Color, column, scale=palette, legend=shown, **options)}


def decades(low: float, high: float) -> list[float]:
    """Ticks of a log axis from low to high: powers of ten, thinned to at most eight; 1, 2, 5 on a short axis."""
    if high / low < 30:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [step * 10.0**power for power in powers for step in (1, 2, 5)]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 8))
    return [10.0**power for power in range(first, last + 1, step)]


def bounds(
    values: Iterable[float], log: bool, where: str, reference: Any = None
) -> tuple[float, float]:
    """Smallest and largest finite value, reference lines included; on a log axis everything must be above zero."""
    shown = [*values, *(at for at, _ in pairs(reference))]
    finite = [float(value) for value in shown if pd.notna(value) and math.isfinite(value)]
    if not finite:
        raise InputError(f"figure: column '{where}' has no number to draw.")
    if log and min(finite) <= 0:
        raise InputError(
            f"figure: column '{where}' has values of zero or less, which a log axis cannot show."
        )
    return min(finite), max(finite)


def axis(
    title: str | None,
    low: float,
    high: float,
    log: bool = False,
    fmt: str | None = None,
    domain: Sequence[float] | None = None,
    **more: Any,
) -> alt.Axis:
    """Quantitative axis with its title (unit included) and readable ticks, all of them inside the domain."""
    options: dict[str, Any] = {"title": title, **more}
    if fmt:
        options["format"] = fmt
    elif max(abs(low), abs(high)) >= 10_000 or (log and low < 0.01):
        options["labelExpr"] = _FRACTIONS if log and low < 1 else _SHORT
    if log:
        # The same domain as `measured` draws: a tick outside it would be written at the edge, where it is wrong.
        first, last = domain if domain is not None else (low / 1.25, high * 1.25)
        options["values"] = [tick for tick in decades(first, last) if first <= tick <= last]
    if len(options.get("values", ())) < 2:
        options.pop("values", None)
        options["tickCount"] = 5
    return alt.Axis(**options)


def measured(
    title: str | None,
    low: float,
    high: float,
    log: bool = False,
    fmt: str | None = None,
    domain: Sequence[float] | None = None,
    zero: bool = False,
) -> dict[str, Any]:
    """`scale` and `axis` of a quantity that runs from low to high; `domain` widens it, `zero` starts it at zero."""
    if domain is not None:
        domain = [min(domain[0], low), max(domain[1], high)]
        kind = "log" if log else "linear"
        scale = alt.Scale(type=kind, domain=domain, nice=False, clamp=True)
    elif log:
        scale = alt.Scale(type="log", domain=[low / 1.25, high * 1.25], nice=False)
    else:
        scale = alt.Scale(zero=zero)
    return {"scale": scale, "axis": axis(title, low, high, log, fmt, domain)}


def tooltips(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> list[alt.Tooltip]:
    """Tooltip entries for the named columns (default: the first eight of the frame)."""
    entries = []
    for column in map(str, frame.columns[:8] if columns is None else columns):
        numeric = is_number(frame[column])
        date = pd.api.types.is_datetime64_any_dtype(frame[column])
        kind = "quantitative" if numeric else "temporal" if date else "nominal"
        shown = {"title": column.replace("_", " "), **({"format": ",.4~g"} if numeric else {})}
        entries.append(alt.Tooltip(field=field(column), type=kind, **shown))
    return entries


def is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers; yes and no are none."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def ordered(frame: pd.DataFrame, category: str, value: str, sort: Any) -> list[str]:
    """Order of the categories: "-value" (largest first), "value", None (as in the frame) or a given list."""
    if isinstance(sort, (list, tuple)):
        return [str(item) for item in sort]
    if sort is None:
        return [str(item) for item in dict.fromkeys(frame[category])]
    if sort not in ("value", "-value"):
        raise InputError(
            f"figure: sort is '{sort}'; expected 'value', '-value', None or a list of categories."
        )
    totals = frame.groupby(category, sort=False)[value].sum()
    return [
        str(item) for item in totals.sort_values(ascending=sort == "value", kind="stable").index
    ]


def reference_lines(
    lines: Any, channel: str, span: tuple[Any, ...] | None = None
) -> list[alt.Chart]:
    """Dashed rules at given values across axis `channel` ("x" or "y").

    lines: None, one (value, label) pair, or a list of such pairs. span: smallest and largest value
    of an x axis and whether it is logarithmic; labels in its right part are written to the left.
    """
    layers: list[alt.Chart] = []
    for number, (value, label) in enumerate(pairs(lines)):
        base = alt.Chart(pd.DataFrame({"at": [value], "label": [label]}))
        kind = "T" if isinstance(value, pd.Timestamp) else "Q"
        along = {channel: alt.X(f"at:{kind}") if channel == "x" else alt.Y("at:Q")}
        layers.append(base.mark_rule(strokeDash=[4, 3]).encode(**along))
        if channel == "x":
            right = span is not None and place(value, span) > 0.6
            side = {"align": "right", "dx": -3} if right else {"align": "left", "dx": 3}
            where, edge = {**side, "dy": -2 - 13 * (number % 2)}, {"y": alt.value(0)}
        else:
            where, edge = {"align": "left", "dy": -3}, {"x": alt.value(2)}
        words = base.mark_text(baseline="bottom", fontSize=11, **where)
        layers.append(words.encode(text="label:N", **edge, **along))
    return layers


def pairs(lines: Any) -> list[tuple[float, str]]:
    """Reference lines as a list of (value, label), whatever way they were given."""
    return [] if lines is None else [lines] if isinstance(lines, tuple) else list(lines)


def place(value: float, span: tuple[float, float, bool]) -> float:
    """Where a value lies between the ends of an axis, from zero to one."""
    low, high, log = span
    if log:
        low, high, value = map(math.log, (low, high, value if value > 0 else low))
    return (value - low) / (high - low) if high > low else 0.0


def band_height(count: int, row: int = 24, room: int = 10) -> int:
    """Height in pixels of a chart with `count` rows of categories."""
    return max(60, count * row + room)


def layered(layers: Sequence[alt.Chart], title: str, height: int) -> alt.LayerChart:
    """Stack layers into one chart as wide as its container."""
    return alt.layer(*layers).properties(title=title, height=height, width="container")
