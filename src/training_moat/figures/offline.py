"""A chart as text that any machine writes alike and any page draws without a network.

A published figure leaves two outputs in the notebook: a small PNG (what JupyterLab, GitHub and
paper show) and HTML with the chart's specification as inert JSON. On the book's pages
`moat-figures.js` draws the specification with the one shared Vega bundle and hides the PNG.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import disable_debug_mode

from training_moat.core.whole_files import write_text
from training_moat.figures import drawing, theme

# A chart is checked as a whole when it is published; checking each part as it is made besides takes a tenth of a run.
disable_debug_mode()

PNG_WIDTH = 640
SCRIPT, STYLE, BUNDLE = "moat-figures.js", "moat-figures.css", "vega-bundle.js"
# What could end or hide a script element from inside, beside "</".
_ENDS = re.compile(r"<(!--|script)", re.I)
STATIC = Path(__file__).parent / "static"
# Properties of a Vega-Lite specification that hold code, and the numbers in that code.
_EXPRESSIONS = ("test", "expr", "labelExpr", "filter", "calculate")
_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_FRACTION = re.compile(
    r"(?<![\w.])\d+\.\d+(?:[eE][+-]?\d+)?(?![\w.])|(?<![\w.])\d+[eE][+-]?\d+(?![\w.])"
)


def rounded(value: Any, digits: int = 5) -> Any:
    """Round every float in a nested structure to significant digits, so that machines agree on the text.

    Numbers inside the expressions of a specification (conditions, labels) are rounded alike.
    """
    if isinstance(value, dict):
        return {
            key: _rounded_text(item, digits)
            if key in _EXPRESSIONS and isinstance(item, str)
            else rounded(item, digits)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        near = float(f"{value:.{digits}g}")
        return int(near) if near.is_integer() and abs(near) < 1e15 else near
    return value


def _rounded_text(expression: str, digits: int) -> str:
    """An expression with its numbers rounded; what stands in quotes, such as a column's name, stays."""
    parts = _QUOTED.split(expression)
    for place in range(0, len(parts), 2):
        parts[place] = _FRACTION.sub(
            lambda found: repr(rounded(float(found[0]), digits)), parts[place]
        )
    return "".join(parts)


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The chart's Vega-Lite specification: rounded numbers, stable data names, no address of another host."""
    spec = rounded(chart.to_dict())
    spec.pop("$schema", None)
    spec.pop("config", None)
    names = {old: f"data{number}" for number, old in enumerate(spec.get("datasets", {}))}
    spec["datasets"] = {names[old]: rows for old, rows in spec.get("datasets", {}).items()}
    _rename_data(spec, names)
    return spec


def _rename_data(node: Any, names: dict[str, str]) -> None:
    if isinstance(node, dict):
        data = node.get("data")
        if isinstance(data, dict) and data.get("name") in names:
            data["name"] = names[data["name"]]
        for item in node.values():
            _rename_data(item, names)
    elif isinstance(node, list):
        for item in node:
            _rename_data(item, names)


def to_text(spec: dict[str, Any]) -> str:
    """JSON with sorted keys and one data row a line, safe inside a script element."""
    head = {key: value for key, value in spec.items() if key != "datasets"}
    sets = []
    for name, rows in sorted(spec.get("datasets", {}).items()):
        lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
        sets.append(f"{json.dumps(name)}: [\n{lines}\n]")
    text = json.dumps(head, sort_keys=True)
    body = text[:-1] + (", " if head else "") + '"datasets": {\n' + ",\n".join(sets) + "\n}}"
    return _ENDS.sub(r"\\u003c\1", body.replace("</", "<\\/"))


def digest(spec: dict[str, Any]) -> str:
    """Short name of a specification: ten hexadecimal digits of its hash."""
    return hashlib.sha1(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:10]


_draw: Callable[[str], bytes | drawing.Coming] = drawing.draw


def draw_with(painter: drawing.Painter) -> None:
    """Let another process make this one's pictures from now on."""
    global _draw
    _draw = painter.order


def ordered_png(spec: dict[str, Any]) -> bytes | drawing.Coming:
    """The chart as a small PNG on white, title included, for paper and for viewers without scripts; on its way where another
    process draws."""
    page = json.loads(json.dumps(spec))
    if page.get("width") == "container":
        page["width"] = PNG_WIDTH - 170
    title = page.get("title")
    if isinstance(title, str):
        page["title"] = textwrap.wrap(title, 84)
    page["config"] = theme.config("light") | {"background": "#ffffff", "font": "sans-serif"}
    return _draw(json.dumps(page))


def write_assets(folder: Path) -> list[Path]:
    """Write what a page needs to draw figures into `folder`: Vega bundle, script with the theme, style.

    Each file appears whole or not at all; the bundle, which takes seconds to make, is made once a folder, and again where
    a disk has damaged it since.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / BUNDLE
    if not _is_as_written(bundle):
        # The bundle declares a top-level `_`, which collides with Sphinx's doctools.js: hence the function.
        text = vl_convert.javascript_bundle(vl_version=drawing.VEGALITE)  # type: ignore[call-arg]  # the stub lags
        write_text(bundle, _with_digest("(function(){\n" + text + "\n})();\n"))
    themes = {mode: theme.config(mode) for mode in ("light", "dark")}
    script = (STATIC / SCRIPT).read_text(encoding="utf-8")
    script = script.replace("/*THEMES*/ {}", json.dumps(themes, sort_keys=True))
    write_text(folder / SCRIPT, script)
    write_text(folder / STYLE, (STATIC / STYLE).read_text(encoding="utf-8"))
    return [bundle, folder / SCRIPT, folder / STYLE]


def _with_digest(text: str) -> str:
    """A script with its own digest in a last line, a comment."""
    return f"{text}// {hashlib.sha256(text.encode()).hexdigest()}\n"


def _is_as_written(script: Path) -> bool:
    """Whether a script ends in the digest of what is before."""
    if not script.is_file():
        return False
    said = script.read_text(encoding="utf-8", errors="replace")
    return said == _with_digest(said[: said.rfind("// ")])


def bundle_version() -> str:
    """Version of what draws the figures: a folder of assets of one version suits no other."""
    return f"{drawing.VEGALITE}-{version('vl-convert-python')}"
