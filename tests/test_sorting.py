"""Whatever is sorted keeps the order of equals on every machine: each sort says that it is stable."""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SORTS = {"sort_values", "argsort", "sort_index"}
# Methods that take no kind and pick among equals by themselves; their callers break ties by name.


def bare_sorts(code: str) -> list[int]:
    """Lines that sort without `kind="stable"`; vectorised sorts leave equals in an order of their own."""
    lines = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        kinds = [word.value for word in node.keywords if word.arg == "kind"]
        stable = any(isinstance(kind, ast.Constant) and kind.value == "stable" for kind in kinds)
        if node.func.attr in SORTS and not stable:
            lines.append(node.lineno)
    return lines


def test_every_sort_of_the_package_is_stable():
    paths = sorted((ROOT / "src").rglob("*.py"))
    found = {str(path): bare_sorts(path.read_text(encoding="utf-8")) for path in paths}
    assert found and {path: lines for path, lines in found.items() if lines} == {}


def test_every_sort_of_a_chapter_is_stable():
    found = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found += [(path.stem, number) for number, text in enumerate(code) if bare_sorts(text)]
    assert found == []


def test_a_bare_sort_is_found():
    assert bare_sorts("f.sort_values('a')\nf.sort_values('a', kind='stable')\nx.argsort()") == [
        1,
        3,
    ]
