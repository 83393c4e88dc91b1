"""Figures: the same text on every machine, honest axes, accessible and offline."""

import io
import json
import re

import altair as alt
import numpy as np
import pandas as pd
import pytest
from altair.utils.schemapi import SchemaValidationError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training_moat import figures
from training_moat.core.errors import InputError
from training_moat.figures import drawing, offline, parts, publishing, templating, theme

FRAME = pd.DataFrame(
    {
        "company": ["NVIDIA", "AMD", "Groq"],
        "chip": ["H100", "MI300X", "LPU"],
        "hbm_gb": [80.123456789, 192.0, 0.23],
        "low": [1.0, 2.0, 3.0],
        "high": [3.0, 5.0, 8.0],
        "day": pd.to_datetime(["2020-01-01", "2021-02-01", "2023-01-01"]),
        "verdict": ["supported", "open", "partly"],
    }
)
AXES = {"title": "t", "x_title": "a", "y_title": "b"}
VALUE = {"title": "t", "value_title": "x"}
TWICE = pd.concat([FRAME, FRAME.assign(low=FRAME["low"] + 1)])
PLACES = {"x": "low", "y": "high"} | AXES
OF_CHIPS = {"value": "hbm_gb", "category": "chip"} | VALUE
GRID = {"x": "chip", "y": "company"} | VALUE
ENDS = {"low": "low", "high": "high"} | VALUE
CHARTS = {
    "bars": lambda: figures.bars(FRAME, **OF_CHIPS),
    "stacked_bars": lambda: figures.stacked_bars(FRAME, part="company", **OF_CHIPS),
    "lines": lambda: figures.lines(TWICE, series="company", band=("low", "high"), **PLACES),
    "dates": lambda: figures.lines(
        FRAME, **PLACES | {"x": "day"}, log_y=True, reference=(3, "three")
    ),
    "points": lambda: figures.points(
        FRAME, color="company", diagonal=True, log_x=True, log_y=True, **PLACES
    ),
    "dots": lambda: figures.points(
        FRAME, x="hbm_gb", y="chip", color="company", title="t", x_title="a", log_x=True
    ),
    "ranges": lambda: figures.ranges(
        FRAME, category="chip", mid="low", color="company", reference=[(2, "two")], **ENDS
    ),
    "heatmap": lambda: figures.heatmap(FRAME, value="high", **GRID),
    "verdicts": lambda: figures.heatmap(FRAME, value="verdict", **GRID),
    "timeline": lambda: figures.timeline(
        FRAME, start="day", lane="company", color="company", title="t", x_title="a"
    ),
    "tornado": lambda: figures.tornado(FRAME, name="chip", base=3, **ENDS),
}


def page_of(chart, caption="c", alt="a", source="k"):
    """A chart as its page shows it."""
    shown = figures.publish(chart, caption=caption, alt=alt, source=source)
    return shown.forms["text/html"]


def page_of_table(frame, caption="c"):
    """A table as its page shows it."""
    return figures.table(frame, caption=caption, source="k").forms["text/html"]


def axis_of(chart, channel):
    """How the first layer of a chart is drawn along a channel."""
    return chart.to_dict()["layer"][0]["encoding"][channel]


@pytest.fixture
def silent(monkeypatch):
    shown = []
    monkeypatch.setattr(publishing, "display", lambda data, **_: shown.append(data))
    monkeypatch.setattr(publishing, "_numbers", {"Figure": {}, "Table": {}})
    return shown


def embedded(page):
    return json.loads(
        re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)[1]
    )


@pytest.mark.parametrize("kind", CHARTS)
def test_publishing_twice_gives_the_same_text_and_a_picture(kind, silent):
    pages = [page_of(CHARTS[kind]()) for _ in range(2)]
    assert pages[0] == pages[1]
    spec = embedded(pages[0])
    assert spec["width"] == "container" and spec["datasets"]
    picture = Image.open(io.BytesIO(silent[0]["image/png"]))
    assert picture.width > 300 and len(picture.convert("RGB").getcolors(1 << 20)) > 2


@pytest.mark.parametrize("kind", CHARTS)
def test_a_page_names_no_other_host(kind, silent):
    assert not re.search(r"https?://", page_of(CHARTS[kind]()))


def test_alt_text_and_caption_are_escaped_and_required(silent):
    page = page_of(CHARTS["bars"](), "a < b & c", 'says "x" <b>', ("k1", "k2"))
    assert 'aria-label="says &quot;x&quot; &lt;b&gt;"' in page and "a &lt; b &amp; c" in page
    assert page.count('class="moat-source"') == 2
    for missing in ({"alt": " "}, {"caption": ""}, {"source": ()}):
        with pytest.raises(InputError):
            page_of(CHARTS["bars"](), **missing)


def test_text_in_the_data_cannot_end_the_script(silent):
    evil = FRAME.assign(chip=["</script><b>", "x", "y"])
    page = page_of(figures.bars(evil, **OF_CHIPS))
    assert page.count("</script>") == 1
    assert any(row["chip"] == "</script><b>" for row in embedded(page)["datasets"]["data0"])


def test_figures_are_numbered_in_order_and_keep_their_number(silent):
    texts = [page_of(CHARTS["bars"](), caption) for caption in ("one", "two", "one")]
    assert [re.search(r"Figure (\d+)", text)[1] for text in texts] == ["1", "2", "1"]


def test_the_csv_link_holds_the_data(silent):
    from urllib.parse import unquote

    page = page_of(CHARTS["bars"]())
    text = unquote(re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', page)[1])
    frame = pd.read_csv(io.StringIO(text))
    assert list(frame["chip"]) == list(FRAME["chip"]) and frame["hbm_gb"][0] == 80.123


def test_a_table_marks_numbers_blanks_and_flags(silent, monkeypatch):
    frame = pd.DataFrame(
        {
            "chip": ["a<b", "c"],
            "hbm (GB)": [1234.5, None],
            "trains": [True, False],
            "page": ["https://example.org/x", ""],
        }
    )
    page = page_of_table(frame)
    assert "a&lt;b" in page and '<td class="number">1,234</td>' in page
    assert '<td class="number"></td>' in page
    assert "<td>yes</td>" in page and '<a href="https://example.org/x">example.org/x</a>' in page
    assert 'class="moat-scroll"' in page and '<th scope="col"' in page
    monkeypatch.setenv("MOAT_STRICT", "1")
    with pytest.raises(InputError):
        page_of_table(frame.head(0))


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [(112.4, ".2g", "110"), (1034.0, ".3g", "1,030"), (8.13, ".2g", "8.1"), (1e-9, ".2g", "1e-09")],
)
def test_a_number_of_a_table_has_no_power_of_ten_where_it_is_short(value, form, shown):
    """Pages had shown 1.1e+02 gigabytes and 1.03e+03 runs."""
    assert publishing.cell(value, form) == shown


def test_a_wide_table_of_words_becomes_cards_and_a_narrow_one_does_not(silent):
    words = "a sentence that is long enough to wrap"
    wide = pd.DataFrame({f"column {number}": [words] for number in range(6)})
    page = page_of_table(wide)
    assert "moat-stack" in page and 'data-label="column 3"' in page
    assert "moat-stack" not in page_of_table(wide.iloc[:, :2], "d")
    assert "moat-stack" not in page_of_table(pd.concat([wide] * 20), "e")


def test_a_table_a_little_too_wide_takes_the_margin_beside_the_page(silent):
    words = "a sentence that is long enough to wrap"
    frame = pd.DataFrame({f"column {number}": [words] for number in range(6)})
    shown = [page_of_table(frame.iloc[:, :columns], str(columns)) for columns in (3, 4, 6)]
    assert ["full-width" in page for page in shown] == [False, True, False]
    assert ["moat-fold" in page for page in shown] == [False, True, False]


def test_a_long_address_is_cut_between_letters_not_inside_one():
    shown = templating.text_of(
        publishing.cell("https://example.org/" + "a" * 24 + "&b=" + "c" * 20)
    )
    assert shown == "example.org/" + "a" * 24 + "&..."


def test_verdicts_in_tables_carry_their_colour():
    style = (offline.STATIC / offline.STYLE).read_text(encoding="utf-8")
    for verdict, colour in theme.VERDICT_COLOURS.items():
        assert f".moat-{verdict.replace(' ', '-')}::before {{ color: {colour}; }}" in style


@pytest.mark.parametrize("cell", ["-1e-05", "+3.5E4%", "-12", "a = b"])
def test_a_number_in_a_download_is_no_formula(cell):
    assert publishing._safe(cell) == cell
    assert publishing._safe(f"-{cell}") == f"'-{cell}"


def test_dollars_in_a_sentence_never_become_formulas():
    assert figures.sentence("from $5 to $7").forms["text/markdown"] == "from \\$5 to \\$7"
    assert figures.sentence("from \\$5").forms["text/markdown"] == "from \\$5"


def test_bars_start_at_zero_and_log_axes_refuse_zero():
    assert axis_of(CHARTS["bars"](), "x")["scale"]["domain"][0] == 0
    with pytest.raises(InputError, match="log axis"):
        figures.points(FRAME.assign(low=0.0), log_x=True, **PLACES)


@pytest.mark.parametrize("domain", [None, (60, 4000), (30, 150)])
def test_ticks_of_a_log_axis_lie_inside_its_domain(domain):
    frame = pd.DataFrame({"a": [70.0, 2000.0], "b": [1.0, 2.0]})
    x = axis_of(figures.points(frame, x="a", y="b", log_x=True, x_domain=domain, **AXES), "x")
    (low, high), ticks = x["scale"]["domain"], x["axis"]["values"]
    assert len(ticks) >= 2 and all(low <= tick <= high for tick in ticks)


def test_a_log_axis_too_short_for_round_ticks_leaves_them_to_the_renderer():
    options = parts.axis("a", 2.5, 4.5, log=True, domain=(2.5, 4.5)).to_dict()
    assert "values" not in options and options["tickCount"] == 5


def test_a_misspelt_column_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'hbm_gb'"):
        figures.bars(FRAME, **OF_CHIPS | {"value": "hmb_gb"})


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_rounding_keeps_five_digits_and_is_stable(value):
    near = offline.rounded(value)
    assert near == pytest.approx(value, rel=5.1e-5, abs=1e-320)
    assert offline.rounded(near) == near


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "colour",
    sorted({*theme.PALETTE, *theme.COMPANY_COLOURS.values(), *theme.VERDICT_COLOURS.values()}),
)
def test_colours_stand_out_on_light_and_on_dark_pages(colour):
    """WCAG 2.1, 1.4.11: graphical objects need a contrast of at least 3 to 1."""
    bright = luminance(colour)
    assert 1.05 / (bright + 0.05) >= 3.0
    assert (bright + 0.05) / (luminance("#121212") + 0.05) >= 3.0


def test_values_keep_their_colour_whatever_else_is_shown():
    assert theme.colours(["NVIDIA", "x"])["NVIDIA"] == theme.colours(["y", "z", "NVIDIA"])["NVIDIA"]
    many = theme.colours([f"v{number}" for number in range(10)])
    assert len(set(many.values())) == 10


def test_no_two_values_share_a_colour_and_legends_run_by_rank():
    makers = theme.colours(["CPU-only", "Alibaba", "Google", "Intel-Habana", "AMD", "NVIDIA"])
    assert len(set(makers.values())) == len(makers)
    assert list(makers)[:2] == ["NVIDIA", "AMD"]
    grades = theme.colours(["open", "strongly against", "mixed", "leans supported"])
    assert list(grades) == ["leans supported", "mixed", "strongly against", "open"]
    given = {"small": "#0f8b6d", "beyond": "#c0392b", "never": "#7a8591"}
    frame = pd.DataFrame({"x": ["1", "2", "3"], "y": "a", "band": ["never", "small", "beyond"]})
    chart = figures.heatmap(frame, x="x", y="y", value="band", colors=given, **VALUE)
    assert axis_of(chart, "color")["scale"]["domain"] == list(given)


def test_the_parts_of_a_bar_stand_as_in_the_legend():
    frame = pd.DataFrame({"year": "2025", "maker": ["Google", "NVIDIA"], "runs": [1, 2]})
    chart = figures.stacked_bars(frame, value="runs", category="year", part="maker", **VALUE)
    assert axis_of(chart, "color")["scale"]["domain"] == ["Google", "NVIDIA"]


def test_a_diverging_grid_has_no_third_hue_and_its_long_labels_stand_on_lines():
    frame = pd.DataFrame(
        {"x": ["compute", "price and power"], "y": ["a", "a"], "value": [-0.5, 0.9]}
    )
    chart = figures.heatmap(frame, x="x", y="y", value="value", middle=0.0, **VALUE)
    scale = axis_of(chart, "color")["scale"]
    assert scale["interpolate"] == "rgb" and len(scale["domain"]) == len(scale["range"]) == 5
    axis = axis_of(chart, "x")["axis"]
    assert "split" in axis["labelExpr"] and axis["labelPadding"] > 2 * 13


def test_a_reference_line_beyond_the_data_lies_on_the_axis():
    """A chip that offers less than the curve's first point was marked outside the picture."""
    chart = figures.lines(FRAME, reference_x=(0.2, "offered"), **PLACES)
    assert axis_of(chart, "x")["scale"]["domain"] == [0.2, 3.0]


def test_a_chart_with_a_wrong_part_is_refused_as_it_is_published():
    chart = alt.Chart(FRAME).mark_bar().encode(x=alt.X("hbm_gb:Q", bin="wrong"))
    with pytest.raises(SchemaValidationError, match="'wrong' is an invalid value for `bin`"):
        offline.specification(chart)


def test_a_picture_keeps_the_colours_of_its_few_dots():
    """A picture has few colours; those of a single dot must be among them, or two companies look alike."""
    makers = ["AMD", "Intel", "AWS", *["NVIDIA"] * 11]
    ends = [1 + number / 20 for number in range(14)]
    frame = pd.DataFrame({"run": list("abcdefghijklmn"), "low": ends, "vendor": makers})
    frame["high"] = frame["low"].where(frame.index < 5, frame["low"] + 0.3)
    look = {"category": "run", "low": "low", "mid": "high", "high": "high", "color": "vendor"}
    chart = figures.ranges(frame, **look, sort=None, value_title="v", title="t")
    picture = Image.open(io.BytesIO(drawing.draw(chart.to_json()))).convert("RGB")
    found = np.asarray(picture).reshape(-1, 3).astype(int)
    for maker in ("AMD", "Intel", "AWS", "NVIDIA"):
        colour = theme.COMPANY_COLOURS[maker]
        wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert np.abs(found - wanted).max(axis=1).min() <= 24, maker


def test_loose_points_lie_inside_the_axes_and_a_tenth_is_no_hundred_milli():
    frame = pd.DataFrame({"x": [0.1, 1e5], "y": [1.0, 2.0], "s": ["a", "a"]})
    loose = pd.DataFrame({"x": [4e6], "y": [1.5]})
    chart = figures.lines(frame, x="x", y="y", series="s", log_x=True, marked=loose, **AXES)
    along = axis_of(chart, "x")
    assert along["scale"]["domain"][1] >= 4e6 and "'~g'" in along["axis"]["labelExpr"]


def test_words_on_pale_cells_are_dark():
    frame = pd.DataFrame({"x": ["1", "2"], "y": ["a", "a"], "kind": ["hit", "left out"]})
    shades = {"hit": "#0f8b6d", "left out": "#c9ced4"}
    chart = figures.heatmap(frame, x="x", y="y", value="kind", colors=shades, **VALUE)
    ink = chart.to_dict()["layer"][1]["encoding"]["color"]
    assert ink["condition"]["test"]["oneOf"] == ["left out"]
    assert ink["condition"]["value"] != ink["value"] == "#ffffff"


def named(*ends):
    """Texts of a chart of lines that end at these heights, one that falls to it from above and others that rise."""
    rows = [
        {"x": at, "y": value, "s": f"a series {number}"}
        for number, values in enumerate(ends)
        for at, value in zip((1.0, 8.0, 10.0), values)
    ]
    look = {"x_title": "x", "y_title": "y", "title": "t"}
    spec = figures.lines(pd.DataFrame(rows), x="x", y="y", series="s", **look).to_dict()
    marks = [layer["mark"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    legend = spec["layer"][0]["encoding"]["color"]["legend"]
    return [mark["baseline"] for mark in marks], legend is not None


def test_a_name_at_the_end_of_a_line_lies_on_no_line():
    """The name of a line that fell to its end was struck through by it on a phone."""
    assert named((0.0, 4.0, 10.0), (0.0, 0.0, 0.0)) == (["bottom"], False)
    assert named((10.0,) * 3, (9.0, 8.0, 5.0), (0.0,) * 3) == (["bottom", "top"], False)
    assert named((10.0,) * 3, (9.7,) * 3, (9.4,) * 3, (0.0,) * 3) == ([], True)


def test_a_point_beyond_the_asked_axis_widens_it():
    """A gain of more than the axis asked for was drawn at its end, as if it had been that."""
    look = {"x_title": "x", "title": "t", "x_domain": [0.5, 2.0]}
    along = figures.points(FRAME, x="high", y="chip", **look).to_dict()["layer"][-1]["encoding"][
        "x"
    ]
    assert along["scale"]["domain"] == [0.5, float(FRAME["high"].max())]


def test_paper_leaves_folded_code_out_on_a_page_of_its_own_too():
    """The rule stands in the style that every page carries, not in the site's alone."""
    style = (offline.STATIC / offline.STYLE).read_text(encoding="utf-8")
    assert ".moat-code" in style.partition("@media print")[2]


def test_kinds_of_makers_keep_their_colours_from_picture_to_picture():
    """Two neighbouring charts of the same five kinds had swapped the colours of Nvidia's and the clouds'."""
    kinds = ["Nvidia", "cloud", "established", "startup", "not named"]
    assert theme.colours(kinds) == theme.colours(kinds[::-1])
    assert theme.colours(kinds)["Nvidia"] == theme.COMPANY_COLOURS["NVIDIA"]
