"""How every picture looks: fonts, axes, the fixed colour of each company, light and dark.

Colours stay readable on white and on near-black (contrast of at least three to one on both), and
neighbours in a palette differ in lightness as well as in hue, so that colour-blind readers can
tell them apart. Charts still carry direct labels: colour never is the only carrier of meaning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt

COMPANY_COLOURS = {
    "NVIDIA": "#5a9a08",
    "AMD": "#d1495b",
    "Google": "#3d7dd8",
    "AWS": "#cf7a00",
    "SambaNova": "#8f5fd0",
    "Groq": "#e0561b",
    "NVIDIA (Groq)": "#a98b1d",
    "Cerebras": "#0f8b8d",
    "d-Matrix": "#c65fa6",
    "Graphcore": "#b0496f",
    "Intel": "#2f90c4",
    "Intel Habana": "#2f90c4",
    "Intel-Habana": "#2f90c4",
    "Intel Nervana": "#5b7fa3",
    "Huawei": "#c0392b",
    "Microsoft": "#418a6b",
    "Meta": "#5870e0",
    "Tenstorrent": "#7a6fae",
    "Cambricon": "#a5693d",
    "Etched": "#8a7a5c",
    "Mythic": "#6f8296",
    "Untether AI": "#7d8b3a",
    "Tesla": "#b5485d",
}
"""One colour per company, kept through the whole book."""

VERDICT_COLOURS = {
    "strongly supported": "#0f8b6d",
    "leans supported": "#5a9a08",
    "mixed": "#a98b1d",
    "leans against": "#cf7a00",
    "strongly against": "#c0392b",
    "supported": "#0f8b6d",
    "contradicted": "#c0392b",
    "open": "#7a8591",
}
"""One colour per grade of a claim, and per verdict of the experiment, kept through the whole book."""

PALETTE = [
    "#3d7dd8",
    "#cf7a00",
    "#0f8b8d",
    "#c65fa6",
    "#5a9a08",
    "#d1495b",
    "#8f5fd0",
    "#8a7a5c",
    "#2f90c4",
    "#a98b1d",
]
"""Colours for anything that is neither a company nor a verdict, in order of use."""

ACCENT = "#3d7dd8"
MUTED = "#7f8a96"
SEQUENTIAL = ["#dce9f8", "#9cc3ec", "#5d9bdb", "#2f6fb9", "#174a86"]
DIVERGING = ["#b3561f", "#e5a97c", "#f2efe9", "#8db8dd", "#2b66a8"]

_INK = {"light": "#2b2f36", "dark": "#d6dae0"}
_SOFT = {"light": "#5f6873", "dark": "#a3adb8"}
_GRID = {"light": "#e3e6ea", "dark": "#353b43"}


def colours(values: Iterable[Any], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each distinct value with its colour, in the order of a legend.

    First come the values of `given`, then companies and verdicts, which keep their colours, each in the order of
    their table (NVIDIA before its rivals, support before contradiction); the others follow as they appear and take
    the palette, without a colour that somebody beside them has.
    """
    fixed = dict(given or {}) | {
        name: colour
        for name, colour in (COMPANY_COLOURS | VERDICT_COLOURS).items()
        if name not in (given or {})
    }
    shown = list(dict.fromkeys(map(str, values)))
    chosen = {name: fixed[name] for name in fixed if name in shown}
    others = [name for name in shown if name not in chosen]
    taken = set(chosen.values())
    spare = [colour for colour in PALETTE if colour not in taken] or PALETTE
    return chosen | dict(zip(others, itertools.cycle(spare)))


def is_pale(colour: str) -> bool:
    """Whether white on it would be hard to read: its relative luminance (WCAG 2, without the gamma's linear part)."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > PALE


PALE = 0.4
"""Luminance above which dark ink has the better contrast by far."""


def colour_scale(values: Iterable[Any], given: Mapping[str, str] | None = None) -> alt.Scale:
    """Altair scale with this book's colour for each value; `given` overrides some, and its order is the legend's."""
    table = colours(values, given)
    return alt.Scale(domain=list(table), range=list(table.values()))


def config(mode: str = "light") -> dict[str, Any]:
    """Vega-Lite configuration of the book for `mode` "light" or "dark"."""
    ink, soft, grid = _INK[mode], _SOFT[mode], _GRID[mode]
    axis = {
        "labelColor": soft,
        "titleColor": soft,
        "domainColor": grid,
        "gridColor": grid,
        "tickColor": grid,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 230,
        "labelOverlap": "greedy",
        "tickSize": 4,
        "titleLimit": 560,
    }
    return {
        "background": None,
        "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        # Titles end at the plot's edge and stand upright: on a phone a centred or turned one is cut off.
        "axisX": {"titleAnchor": "end"},
        "axisYQuantitative": {
            "titleAngle": 0,
            "titleAlign": "left",
            "titleAnchor": "end",
            "titleX": 0,
            "titleY": -14,
            "titleBaseline": "bottom",
        },
        "axisBand": {
            "grid": False,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "labelOverlap": False,
        },
        "axisPoint": {"labelOverlap": False},
        "legend": {
            "orient": "top",
            "labelColor": soft,
            "titleColor": soft,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "symbolType": "circle",
            "labelLimit": 240,
            "columns": 4,
            "offset": 32,
        },
        "title": {"anchor": "start", "color": ink, "fontSize": 14, "fontWeight": 600, "offset": 12},
        "header": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": soft},
        "line": {"strokeWidth": 2.5},
        "point": {"size": 70, "filled": True},
        "bar": {"color": ACCENT, "cornerRadiusEnd": 2},
        "range": {
            "category": PALETTE,
            "ramp": SEQUENTIAL,
            "heatmap": SEQUENTIAL,
            "diverging": DIVERGING,
        },
    }
