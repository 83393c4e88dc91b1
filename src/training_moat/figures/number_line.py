"""Number formats on one logarithmic line, with a tensor that the reader slides along it."""

from __future__ import annotations

import altair as alt
import pandas as pd

from training_moat.figures import parts, theme


def number_line(
    marks: pd.DataFrame,
    losses: pd.DataFrame,
    *,
    body: tuple[float, float],
    domain: tuple[float, float],
    title: str,
    x_title: str,
    slider_title: str,
    row: str = "format",
    place: str = "log2_value",
    shift: str = "log2_scale",
    loss: str = "error_percent",
) -> alt.LayerChart:
    """One row of marks per format and a slider that moves a shaded tensor; each row says what the tensor loses.

    marks: one row per number, with `place` on the axis and the format's ends in log2_smallest and log2_largest.
    losses: one row per format and whole-numbered `shift`, with the error in percent. body: where the tensor lies at
    shift zero. The axis is fixed, so that only the tensor moves.
    """
    marks, losses = parts.tidy(marks, row, place), parts.tidy(losses, row, shift, loss)
    rows = list(dict.fromkeys(marks[row]))
    low, high = (int(losses[shift].min()), int(losses[shift].max()))
    slider = alt.param(
        name="tensor",
        value=0,
        bind=alt.binding_range(min=low, max=high, step=1, name=slider_title + " "),
    )
    room = (domain[1] - domain[0]) * 0.2
    along = alt.Scale(domain=[domain[0], domain[1] + room], nice=False)
    ticks = [value for value in range(int(domain[0]), int(domain[1]) + 1, 8)]
    x = alt.X(
        field=place,
        type="quantitative",
        scale=along,
        axis=alt.Axis(title=x_title, values=ticks, grid=False),
    )
    y = alt.Y(field=row, type="nominal", sort=rows, axis=alt.Axis(title=None))
    spans = marks.drop_duplicates(row)
    span = (
        alt.Chart(spans)
        .mark_rule(strokeWidth=2, opacity=0.35, color=theme.MUTED)
        .encode(
            x=alt.X(field="log2_smallest", type="quantitative", scale=along),
            x2=alt.X2(field="log2_largest"),
            y=y,
        )
    )
    numbers = (
        alt.Chart(marks)
        .mark_tick(thickness=1.2, size=16, opacity=0.8, color=theme.ACCENT)
        .encode(x=x, y=y)
    )
    place_of_body = pd.DataFrame({"low": [body[0]], "high": [body[1]]})
    tensor = (
        alt.Chart(place_of_body)
        .transform_calculate(left="datum.low + tensor", right="datum.high + tensor")
        .mark_rect(opacity=0.22, color=theme.PALETTE[1])
        .encode(x=alt.X("left:Q", scale=along), x2="right:Q")
    )
    words = (
        alt.Chart(losses)
        .transform_filter(f"datum['{shift}'] == tensor")
        .transform_calculate(
            words=f"format(datum['{loss}'], '.2~r') + '%'", end=str(domain[1] + room * 0.08)
        )
        .mark_text(align="left", baseline="middle")
        .encode(x=alt.X("end:Q", scale=along), y=y, text="words:N")
    )
    return parts.layered(
        [tensor, span, numbers, words], title, parts.band_height(len(rows), row=28)
    ).add_params(slider)
