"""How every picture looks: fonts, axes, the fixed colour of each company, light and dark.

`static/theme.yml` holds it. Neighbours in a palette differ in lightness as well as in hue, so that colour-blind
readers can tell them apart. Charts still carry direct labels: colour never is the only carrier of meaning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

_THEME = yaml.safe_load(
    (Path(__file__).parent / "static" / "theme.yml").read_text(encoding="utf-8")
)
COMPANY_COLOURS: dict[str, str] = _THEME["companies"]
"""One colour per company, and per kind of maker, kept through the whole book."""
VERDICT_COLOURS: dict[str, str] = _THEME["verdicts"]
"""One colour per grade of a claim, and per verdict of the experiment, kept through the whole book."""
SCALES: dict[str, dict[str, str]] = _THEME["scales"]
"""Colours of words that belong together, by what they are about: a chip's standing, what a report finds, ..."""
PALETTE: list[str] = _THEME["palette"]
"""Colours for anything else, in order of use."""
ACCENT, MUTED, LOOSE = _THEME["accent"], _THEME["muted"], _THEME["loose"]
ON_DARK, ON_PALE = _THEME["inks"]
SEQUENTIAL, DIVERGING = _THEME["sequential"], _THEME["diverging"]


def colours(values: Iterable[Any], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Each distinct value with its colour, in the order of a legend.

    First come the values of `given`, then companies and verdicts, which keep their colours, each in the order of
    their table (NVIDIA before its rivals, support before contradiction); the others follow as they appear and take
    the palette, without a colour that somebody beside them has.
    """
    given = given or {}
    fixed = {**given, **COMPANY_COLOURS, **VERDICT_COLOURS, **given}
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


def config(mode: str = "light") -> dict[str, Any]:
    """Vega-Lite configuration of the book for `mode` "light" or "dark"."""
    return _inked(_THEME["vega_lite"], _THEME["modes"][mode])


def _inked(node: Any, inks: Mapping[str, str]) -> Any:
    """A part of the configuration with the mode's colours for their names."""
    if isinstance(node, dict):
        return {name: _inked(value, inks) for name, value in node.items()}
    return inks.get(node, node) if isinstance(node, str) else node
