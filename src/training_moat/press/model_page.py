"""The page "The model in one page": core's own docstrings, so that the page cannot differ from the code."""

from __future__ import annotations

import ast
import html
import inspect
import re
import textwrap
from pathlib import Path

from markupsafe import Markup

from training_moat.press import markup
from training_moat.press.folders import PACKAGE

ORDER = (
    *(
        "workload",
        "adapters",
        "plan",
        "activations",
        "memory",
        "tiers",
        "collectives",
        "fabrics",
        "layer_step",
    ),
    *("training_step", "serving_memory", "routing", "serving_exchange", "serving_step"),
    *("formats", "lifecycle", "breakeven"),
)
"""Modules of core that hold equations, in the order in which a step is put together."""

_CODE = re.compile(r"`([^`]+)`")


def _paragraphs(docstring: str) -> Markup:
    """A docstring as HTML: indented blocks are equations, back-quoted words code."""
    parts = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        if all(line.startswith("    ") for line in block.splitlines()):
            parts.append(f"<pre>{html.escape(textwrap.dedent(block))}</pre>")
        else:
            words = html.escape(" ".join(block.split()), quote=False)
            parts.append("<p>" + _CODE.sub(r"<code>\1</code>", words) + "</p>")
    return Markup("\n".join(parts))


def _signature(function: ast.FunctionDef) -> str:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return f"{function.name}({', '.join(names + [a.arg for a in function.args.kwonlyargs])})"


def public_functions(path: Path) -> list[ast.FunctionDef]:
    """Functions of a module that others may call."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def page() -> str:
    """Every equation of the model by module: what it means, its parts and its source."""
    modules = []
    for name in ORDER:
        path = PACKAGE / "core" / f"{name}.py"
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        modules.append((name, _paragraphs(told), public_functions(path)))
    return markup.page(
        "model.html",
        modules=modules,
        signature=_signature,
        meaning=lambda of: _paragraphs(ast.get_docstring(of) or ""),
    )
