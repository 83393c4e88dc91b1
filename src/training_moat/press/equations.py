"""Equations: LaTeX of the chapters as MathML, which browsers draw themselves, without a script or a font."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from training_moat.press.failures import WorkFailed

_UNKNOWN = re.compile(r"<m[iot][^>]*>\s*(\\[A-Za-z]+)")
# The converter knows tables, not alignments.
_ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|align\*?|split)\}")
_AS_TABLE = {"begin": r"\begin{array}{rl}", "end": r"\end{array}"}
_BARE = re.compile(r"&(?!#?\w+;)")


def mathml(latex: str, block: bool = False) -> str:
    """An equation as MathML. Raises WorkFailed for a command or environment that cannot be shown."""
    text = _ALIGNED.sub(lambda found: _AS_TABLE[found[1]], latex)
    try:
        made = convert(text, display="block" if block else "inline")
    except Exception as error:
        raise WorkFailed(f"equation '{latex}': {type(error).__name__} {error}".strip()) from None
    unknown = _UNKNOWN.search(made)
    if unknown or _BARE.search(made):
        what = f"the command {unknown[1]}" if unknown else "an alignment outside of `aligned`"
        raise WorkFailed(f"equation '{latex}': {what} cannot be shown.")
    return made


def markdown(html: bool) -> MarkdownIt:
    """Markdown as the chapters write it, for pages that Sphinx does not make. html: whether tags are tags."""
    made = MarkdownIt("commonmark", {"html": html}).enable("table")
    return (
        dollarmath_plugin(
            made, renderer=lambda text, options: mathml(text, options["display_mode"])
        )
        or made
    )


def setup(app: Any) -> None:
    """Let Sphinx draw equations this way; its own renderers load a script from another host."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="moat-equation">{mathml(node.astext(), True)}</div>')
    raise nodes.SkipNode
