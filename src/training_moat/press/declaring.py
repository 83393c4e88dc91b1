"""How a verb of the command `moat` is declared: what it does, an example, its arguments, its function."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

Argument: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
"""An argument as `argparse` wants it: its names, and what it is."""
Run: TypeAlias = Callable[[argparse.Namespace], int | None]


class Verb(NamedTuple):
    """A verb: what it does, an example, its arguments (a list of them: at most one may be given) and its function."""

    help: str
    example: str
    arguments: tuple[Argument | list[Argument], ...]
    run: Run

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.epilog = f"example: {self.example}"
        for item in self.arguments:
            group = parser.add_mutually_exclusive_group() if isinstance(item, list) else parser
            for names, what in item if isinstance(item, list) else [item]:
                group.add_argument(*names, **what)


VERBS: dict[str, Verb] = {}
"""Every verb by its word, in the order in which the command lists them."""


def argument(*names: str, **what: Any) -> Argument:
    """An argument of a verb."""
    return names, what


def verb(help: str, example: str, *arguments: Argument | list[Argument]) -> Callable[[Run], Run]:
    """Decorator: the function is what the verb of its name does; returns the exit status where that is not 0."""

    def register(run: Run) -> Run:
        VERBS[run.__name__] = Verb(help, example, arguments, run)
        return run

    return register


def scenario(what: str = "chips and models of your own") -> Argument:
    """The option that names a scenario file."""
    return argument("--scenario", metavar="FILE", help=f"YAML with {what}")


def chapter_options(where: str, out: str) -> tuple[Argument, ...]:
    """Options of verbs that run chapters: their parameters (`where` to read of them), scenario and target."""
    given: dict[str, Any] = {"metavar": "NAME=VALUE", "action": "append", "default": []}
    return (
        argument("-p", "--parameter", help=where, **given),
        scenario("chips, models and parameters"),
        argument("--out", metavar="DIR", help=out),
    )
