"""Bars: one quantity per category, or its parts stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme

LABEL_SHARE = 0.05 + 0.022 * 7
"""Share of the axis that a number of seven characters takes at the end of a bar."""


@parts.or_nothing
def bars(
    frame: pd.DataFrame,
    *,
    value: str,
    category: str,
    title: str,
    value_title: str,
    label_format: str = ",.2~r",
    sort: Any = "-value",
) -> alt.LayerChart:
    """Horizontal bars from zero with the number written at the end of each.

    frame: one row per category. value_title carries the unit. A quantity that spans many powers of ten
    belongs into `points(..., log_x=True)`: a bar must start at zero.
    """
    data = parts.tidy(frame, value, category)
    low, high = parts.bounds(data[value], False, value)
    order = parts.ordered(data, category, value, sort)
    least = min(low, 0.0)
    room = (high - least) * LABEL_SHARE
    most = max(high, 0.0) + room
    reach = alt.Scale(domain=[least - (room if low < 0 else 0.0), most], nice=False)
    axis = parts.axis(value_title, low, high)
    x = parts.number(alt.X, value, stack=None, axis=axis, scale=reach)
    base = alt.Chart(data).encode(
        x=x, y=parts.categories(category, order), tooltip=parts.tooltips(data)
    )
    end = base.mark_text(align="left", baseline="middle", dx=5)
    layers = [base.mark_bar(), end.encode(text=parts.number(alt.Text, value, format=label_format))]
    return parts.layered(layers, title, parts.band_height(len(order)))


@parts.or_nothing
def stacked_bars(
    frame: pd.DataFrame,
    *,
    value: str,
    category: str,
    part: str,
    title: str,
    value_title: str,
    sort: Any = "-value",
    normalise: bool = False,
    part_order: Sequence[str] | None = None,
    colors: dict[str, str] | None = None,
) -> alt.LayerChart:
    """Horizontal bars made of coloured parts that add up; `normalise` shows shares of the whole.

    frame: one row per category and part. part_order fixes the order of the parts (default: as they come).
    """
    data = parts.tidy(frame, value, category, part)
    low, high = parts.bounds(data.groupby(category)[value].sum(), False, value)
    kinds = [str(item) for item in (part_order or dict.fromkeys(data[part]))]
    order = parts.ordered(data, category, value, sort)
    rank = {kind: number for number, kind in enumerate(kinds)}
    stacked = data.assign(_rank=[rank[str(item)] for item in data[part]])
    if normalise:
        stack = "normalize"
        axis = alt.Axis(title=value_title, tickCount=5, format="%")
    else:
        stack = "zero"
        axis = parts.axis(value_title, min(low, 0.0), high)
    painted = theme.colours(kinds, colors)
    mark = alt.Chart(stacked).mark_bar()
    mark = mark.encode(
        x=parts.number(alt.X, value, stack=stack, axis=axis),
        y=parts.categories(category, order),
        order=alt.Order(field="_rank", type="quantitative"),
        tooltip=parts.tooltips(data),
        **parts.paint(part, kinds, {kind: painted[kind] for kind in kinds}, sort=kinds),
    )
    return parts.layered([mark], title, parts.band_height(len(order)))
