"""Chapters in this process: run once with their defaults, then again under other settings only where these matter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import nbformat

from training_moat.catalog import parameters
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS


@dataclass(frozen=True)
class Cell:
    """A code cell: what it needs from the cells before it, what it sets, and which of that a later cell needs."""

    id: str
    sets_parameters: bool
    source: str
    needs: frozenset[str]
    sets: frozenset[str]
    hands_on: frozenset[str]

    def run(self, space: dict[str, Any]) -> Any:
        """Execute the cell; returns the value of its last expression, None where it ends in a statement."""
        *before, last = ast.parse(self.source).body
        if not isinstance(last, ast.Expr):
            before, last = [*before, last], None
        exec(compile(ast.Module(before, []), self.id, "exec"), space)  # noqa: S102
        return last and eval(compile(ast.Expression(last.value), self.id, "eval"), space)  # noqa: S307


def names(node: ast.AST) -> tuple[set[str], set[str]]:
    """Names that code reads, and names that it sets or changes a part of (`frame["x"] = ...` does both)."""
    read, written = set(), set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            (read if isinstance(part.ctx, ast.Load) else written).add(part.id)
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            read.add(part.target.id)
        elif isinstance(part, (ast.Subscript, ast.Attribute)) and not isinstance(
            part.ctx, ast.Load
        ):
            while isinstance(part, (ast.Subscript, ast.Attribute)):
                part = part.value
            written |= {part.id} if isinstance(part, ast.Name) else set()
        elif isinstance(part, ast.alias):
            written.add((part.asname or part.name).split(".")[0])
    return read, written


def flow(source: str) -> tuple[set[str], set[str], set[str]]:
    """Names that code reads before it has set them, all names that it sets, and those that it sets in any case."""
    needs, sets, certain = set(), set(), set()
    for statement in ast.parse(source).body:
        read, written = names(statement)
        needs |= read - certain
        sets |= written
        if isinstance(statement, ast.Assign):
            whole = {part.id for target in statement.targets for part in ast.walk(target)
                     if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}  # fmt: skip
            certain |= whole
    return needs, sets, certain


@cache
def code(chapter: str) -> tuple[Cell, ...]:
    """The code cells of a chapter, its check handed the values that it would read from a kernel."""
    own = ", ".join(f"{name}={name}" for name in parameters.schema(chapter))
    check = f'parameters.check("{chapter}"'
    page = nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4)
    found: list[Cell] = []
    later: set[str] = set()
    for cell in reversed([cell for cell in page.cells if cell.cell_type == "code"]):
        source = cell.source.replace(f"{check})", f"{check}, {own})")
        needs, sets, certain = flow(source)
        if "globals" in needs:  # a cell that asks for them all
            needs |= set(parameters.schema(chapter))
        tagged = "parameters" in notebooks.tags(cell)
        hands_on = frozenset(sets & later)
        found.append(Cell(cell.id, tagged, source, frozenset(needs), frozenset(sets), hands_on))
        later = (later - certain) | needs
    return tuple(reversed(found))


@cache
def run_once(chapter: str, **settings: Any) -> dict[str, Any]:
    """Every name of a chapter that was run with its defaults but for these settings."""
    space: dict[str, Any] = {}
    for cell in code(chapter):
        cell.run(space)
        if cell.sets_parameters:
            space.update(settings)
    return space


def touched(
    chapter: str, settings: dict[str, Any], **always: Any
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """The cells that other settings reach, each with the names to run it in; the others ran once for all.

    A cell is reached that needs a name which differs, or that sets one which a later cell needs.
    always: settings of every run, the one that others are compared with included.
    """
    space = dict(run_once(chapter, **always))
    changed = {name for name, value in settings.items() if value != space[name]}
    for cell in code(chapter):
        if cell.sets_parameters:
            space.update(settings)
        elif changed & (cell.needs | cell.hands_on):
            yield cell, space
            changed |= cell.sets
