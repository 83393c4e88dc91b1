"""Who may import whom: downwards only, and the model on the standard library alone."""

import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "training_moat"
LAYERS = ("core", "catalog", "predict", "calibrate", "inquiry", "contest", "claims", "press", "cli")
"""The rooms from the ground up: each may import those before it."""
BESIDE = {"figures": {"core"}, "numerics": {"core"}}
"""Rooms beside the layers, and what they may import."""
MAY_IMPORT = {**{room: set(LAYERS[:i]) for i, room in enumerate(LAYERS)}, **BESIDE}
for reader in ("inquiry", "contest", "claims", "press", "cli"):
    MAY_IMPORT[reader] |= {"numerics"}
MAY_IMPORT["press"] |= {"figures"}
NOTEBOOKS_MAY_IMPORT = {*LAYERS[:-2], "figures"}
NUMERICS_CHAPTERS = {"precision"}
ALLOWED_TWICE: dict[str, set[str]] = {}
LARGEST_SHARE = 0.2
# The one place where core may look for NumPy, and must do without it.
NUMPY_GATE = PACKAGE / "core" / "elementwise.py"


def imported(tree: ast.AST, package: tuple[str, ...] = ()) -> list[str]:
    """Dotted names of everything that the code imports, relative imports resolved."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{stem}.{alias.name}" for alias in node.names]
    return names


def rooms(names: list[str]) -> set[str]:
    """Rooms of this package among imported names (`__version__` is no room)."""
    parts = [name.split(".") for name in names if name.startswith("training_moat.")]
    return {part[1] for part in parts if part[1] in MAY_IMPORT}


def tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules() -> list[Path]:
    return sorted(
        path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem == "cli"
    )


def test_modules_import_downwards_only():
    upwards = {}
    for path in modules():
        relative = path.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        names = imported(tree(path), ("training_moat", *relative.parts[:-1]))
        upwards[str(relative)] = rooms(names) - {room} - MAY_IMPORT[room]
    assert upwards and {path: found for path, found in upwards.items() if found} == {}


def test_core_is_standard_library_only():
    known = {*sys.stdlib_module_names, "training_moat"}
    for path in sorted((PACKAGE / "core").rglob("*.py")):
        names = imported(tree(path), ("training_moat", "core"))
        outside = {name.split(".")[0] for name in names} - known
        assert outside <= ({"numpy"} if path == NUMPY_GATE else set()), path


def test_chapters_import_what_asks_and_shows():
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        allowed = NOTEBOOKS_MAY_IMPORT | ({"numerics"} if path.stem in NUMERICS_CHAPTERS else set())
        assert rooms(imported(ast.parse(code))) <= allowed, path


def test_only_catalog_reads_the_tables():
    readers = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        if path.relative_to(PACKAGE).parts[0]
        in ("claims", "contest", "inquiry", "calibrate", "predict", "figures", "core")
        and "read_csv(" in path.read_text(encoding="utf-8")
    ]
    assert readers == []


def test_no_basename_stands_in_two_rooms():
    # The verbs are named after the word a user types.
    stems = [
        (path.stem, path.relative_to(PACKAGE).parts[0])
        for path in modules()
        if path.stem != "__init__" and path.parent.name != "verbs"
    ]
    rooms_of = {}
    for stem, room in stems:
        rooms_of.setdefault(stem, set()).add(room)
    assert {stem: rooms for stem, rooms in rooms_of.items() if len(rooms) > 1} == ALLOWED_TWICE


def test_no_room_is_larger_than_a_fifth_of_the_house():
    lines = {}
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0]
        lines[room] = lines.get(room, 0) + len(path.read_text(encoding="utf-8").splitlines())
    assert max(lines.values()) <= LARGEST_SHARE * sum(lines.values()), lines
