"""Chapters in this process: run once with their defaults, then again under other settings only where these matter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import nbformat

from training_moat.catalog import parameters, tables
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS


@dataclass(frozen=True)
class Cell:
    """A code cell: what it needs from the cells before it, and what it sets."""

    id: str
    sets_parameters: bool
    source: str
    needs: frozenset[str]
    sets: frozenset[str]

    def run(self, space: dict[str, Any]) -> Any:
        """Execute the cell; returns the value of its last expression, None where it ends in a statement."""
        *before, last = ast.parse(self.source).body
        if not isinstance(last, ast.Expr):
            before, last = [*before, last], None
        with tables.steady():
            exec(compile(ast.Module(before, []), self.id, "exec"), space)  # noqa: S102
            return last and eval(compile(ast.Expression(last.value), self.id, "eval"), space)  # noqa: S307


def names(node: ast.AST) -> tuple[set[str], set[str]]:
    """Names that code reads, and names that it sets or changes a part of (`frame["x"] = ...` does both).

    What a comprehension counts through is its own.
    """
    read, written = set(), set()
    for part in ast.iter_child_nodes(node):
        inner_read, inner_written = names(part)
        read |= inner_read
        written |= inner_written
    if isinstance(node, ast.Name):
        (read if isinstance(node.ctx, ast.Load) else written).add(node.id)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        read.add(node.target.id)
    elif isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        while isinstance(node, (ast.Subscript, ast.Attribute)):
            node = node.value
        written |= {node.id} if isinstance(node, ast.Name) else set()
    elif isinstance(node, ast.alias):
        written.add((node.asname or node.name).split(".")[0])
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return read - written, set()
    return read, written


def flow(source: str) -> tuple[set[str], set[str]]:
    """Names that code reads before it has set them in any case, and all names that it sets."""
    needs, sets, certain = set(), set(), set()
    for statement in ast.parse(source).body:
        read, written = names(statement)
        needs |= read - certain
        sets |= written
        if isinstance(statement, ast.Assign):
            whole = {part.id for target in statement.targets for part in ast.walk(target)
                     if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}  # fmt: skip
            certain |= whole
    return needs, sets


@cache
def code(chapter: str) -> tuple[Cell, ...]:
    """The code cells of a chapter, its check handed the values that it would read from a kernel."""
    own = ", ".join(f"{name}={name}" for name in parameters.schema(chapter))
    check = f'parameters.check("{chapter}"'
    page = nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4)
    found: list[Cell] = []
    for cell in [cell for cell in page.cells if cell.cell_type == "code"]:
        source = cell.source.replace(f"{check})", f"{check}, {own})")
        needs, sets = flow(source)
        if "globals" in needs:  # a cell that asks for them all
            needs |= set(parameters.schema(chapter))
        tagged = "parameters" in notebooks.tags(cell)
        found.append(Cell(cell.id, tagged, source, frozenset(needs), frozenset(sets)))
    return tuple(found)


@dataclass(frozen=True)
class Base:
    """A chapter that was run with its defaults: its names at the end, and what each cell gave its own names and showed."""

    space: dict[str, Any]
    given: dict[str, dict[str, Any]]
    shown: dict[str, Any]


@cache
def run_once(chapter: str, **settings: Any) -> Base:
    """A chapter that was run with its defaults but for these settings."""
    space: dict[str, Any] = {}
    given, shown = {}, {}
    for cell in code(chapter):
        shown[cell.id] = cell.run(space)
        if cell.sets_parameters:
            space.update(settings)
        given[cell.id] = {name: space[name] for name in cell.sets if name in space}
    return Base(space, given, shown)


def touched(
    chapter: str, settings: dict[str, Any], **always: Any
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """The cells that other settings reach, each with the names to run it in; the others ran once for all.

    A cell is reached that needs a name which differs. Any other would do what it did: its names get the values
    that it gave them.
    always: settings of every run, the one that others are compared with included.
    """
    base = run_once(chapter, **always)
    space = dict(base.space)
    changed = {name for name, value in settings.items() if value != space[name]}
    for cell in code(chapter):
        if cell.sets_parameters:
            space.update(settings)
        elif changed & cell.needs:
            yield cell, space
            changed |= cell.sets
        else:
            space.update(base.given[cell.id])
            changed -= cell.sets
