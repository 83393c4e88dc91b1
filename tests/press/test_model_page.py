"""The model page is core's docstrings: every public function of the listed modules, with its words."""

import ast
import html

import pytest

from training_moat.press import model_page
from training_moat.press.folders import PACKAGE


@pytest.mark.parametrize("name", model_page.ORDER)
def test_every_public_function_is_on_the_page(name):
    shown = model_page.page()
    for function in model_page.public_functions(PACKAGE / "core" / f"{name}.py"):
        assert f'id="core-{name}-{function.name}"' in shown
        first = (ast.get_docstring(function) or "").split("`")[0].split("\n")[0]
        assert first and html.escape(first, quote=False)[:40] in shown


def test_equations_are_set_apart():
    assert "<pre>T = launch + steps x latency" in model_page.page()
