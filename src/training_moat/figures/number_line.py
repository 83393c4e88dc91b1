"""Number formats on one logarithmic line, with a tensor that the reader slides along it."""

from __future__ import annotations

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


@parts.or_nothing
def number_line(
    marks: pd.DataFrame,
    losses: pd.DataFrame,
    *,
    body: tuple[float, float],
    domain: tuple[float, float],
    title: str,
    x_title: str,
    slider_title: str,
) -> alt.LayerChart:
    """One row of marks per format and a slider that moves a shaded tensor; each row says what the tensor loses.

    marks: one row per number, with log2_value on the axis and the format's ends in log2_smallest and log2_largest.
    losses: one row per format and whole-numbered log2_scale, with its error_percent. body: where the tensor lies at
    shift zero. The axis is fixed, so that only the tensor moves.
    """
    marks = parts.tidy(marks, "format", "log2_value")
    losses = parts.tidy(losses, "format", "log2_scale", "error_percent")
    rows = parts.ordered(marks, "format", "log2_value", None)
    shifts = losses["log2_scale"]
    low, high = int(shifts.min()), int(shifts.max())
    bind = alt.binding_range(min=low, max=high, step=1, name=slider_title + " ")
    slider = alt.param(name="tensor", value=0, bind=bind)
    room = (domain[1] - domain[0]) * 0.2
    along = alt.Scale(domain=[domain[0], domain[1] + room], nice=False)
    ticks = list(range(int(domain[0]), int(domain[1]) + 1, 8))
    axis = alt.Axis(title=x_title, values=ticks, grid=False)
    y = parts.categories("format", rows)
    rule = {"strokeWidth": 2, "opacity": 0.35, "color": theme.MUTED}
    span = alt.Chart(marks.drop_duplicates("format")).mark_rule(**rule)
    numbers = alt.Chart(marks).mark_tick(thickness=1.2, size=16, opacity=0.8, color=theme.ACCENT)
    ends = {"left": "datum.low + tensor", "right": "datum.high + tensor"}
    moved = alt.Chart(pd.DataFrame({"low": [body[0]], "high": [body[1]]}))
    tensor = moved.transform_calculate(**ends).mark_rect(opacity=0.22, color=theme.PALETTE[1])
    told = {
        "words": "format(datum['error_percent'], '.2~r') + '%'",
        "end": str(domain[1] + room * 0.08),
    }
    now = alt.Chart(losses).transform_filter("datum['log2_scale'] == tensor")
    words = now.transform_calculate(**told).mark_text(align="left", baseline="middle")
    layers = [
        tensor.encode(x=alt.X("left:Q", scale=along), x2="right:Q"),
        span.encode(x=parts.number(alt.X, "log2_smallest", scale=along), x2="log2_largest", y=y),
        numbers.encode(x=parts.number(alt.X, "log2_value", scale=along, axis=axis), y=y),
        words.encode(x=alt.X("end:Q", scale=along), y=y, text="words:N"),
    ]
    height = parts.band_height(len(rows), row=28)
    return parts.layered(layers, title, height).add_params(slider)
