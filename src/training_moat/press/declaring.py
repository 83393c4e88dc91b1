"""How a verb of the command `moat` is declared: what it does, an example, its arguments, its function."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

Argument: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]
"""An argument as `argparse` wants it: its names, and what it is."""
WORD_WIDTH = 25
"""Letters kept for a word of a list in a verb's help."""
Run: TypeAlias = Callable[[argparse.Namespace], int | None]


class Verb(NamedTuple):
    """A verb: what it does, an example, its arguments (a list of them: at most one may be given), its function, and lists of
    words with their meanings that its help ends with, by their titles."""

    help: str
    example: str
    arguments: tuple[Argument | list[Argument], ...]
    run: Run
    lists: Mapping[str, Mapping[str, str]]

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.epilog = "\n\n".join([f"example: {self.example}", *map(_listed, self.lists.items())])
        if self.lists:
            parser.formatter_class = argparse.RawDescriptionHelpFormatter
        for item in self.arguments:
            group = parser.add_mutually_exclusive_group() if isinstance(item, list) else parser
            for names, what in item if isinstance(item, list) else [item]:
                group.add_argument(*names, **what)


def _listed(titled: tuple[str, Mapping[str, str]]) -> str:
    title, words = titled
    lines = [f"  {word:<{WORD_WIDTH}}{meaning}" for word, meaning in words.items()]
    under = " " * (2 + WORD_WIDTH)
    return "\n".join(
        [f"{title}:", *(textwrap.fill(one, 100, subsequent_indent=under) for one in lines)]
    )


VERBS: dict[str, Verb] = {}
"""Every verb by its word, in the order in which the command lists them."""


def argument(*names: str, **what: Any) -> Argument:
    """An argument of a verb."""
    return names, what


def verb(
    help: str,
    example: str,
    *arguments: Argument | list[Argument],
    lists: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Callable[[Run], Run]:
    """Decorator: the function is what the verb of its name does; returns the exit status where that is not 0."""

    def register(run: Run) -> Run:
        VERBS[run.__name__] = Verb(help, example, arguments, run, lists)
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
