"""Reading a YAML file that somebody else wrote: plain values only, bounded, with the place of every key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from training_moat.catalog import files
from training_moat.core.errors import InputError, unknown

MOST_VALUES = 20_000
"""Values that a file may stand for once its aliases are followed."""


@dataclass(frozen=True)
class Document:
    """A file's mapping, and the line and column (from 1) of each key, by its path from the top."""

    name: str
    content: dict[str, Any] = field(default_factory=dict)
    marks: Mapping[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)

    def place(self, *keys: object) -> str:
        """ "line 3, column 5" of a key, or of the nearest key above it that the file has."""
        path = tuple(map(str, keys))
        while path and path not in self.marks:
            path = path[:-1]
        return "line {}, column {}".format(*self.marks[path]) if path else "line 1, column 1"

    @contextmanager
    def at(self, *keys: object) -> Iterator[None]:
        """Errors of bad input inside the block end with the place of this key; those of a data table name their own."""
        try:
            yield
        except files.TableError:
            raise
        except InputError as error:
            raise InputError(f"{str(error).removesuffix('.')} ({self.place(*keys)})") from None


def read(path: Path, keys: Sequence[str]) -> Document:
    """The mapping of a file. Aliases are counted before they are followed: a few lines can stand for billions.

    keys: what a sentence gives as examples of what is expected. Raises InputError in one sentence with
    file, line and column.
    """
    text = files.text_of(path, path.name)
    try:
        loader = yaml.SafeLoader(text)
        loader.name = path.name
        tree = loader.get_single_node()
        if tree is not None and _size(tree, {}) > MOST_VALUES:
            raise InputError(f"{path.name}: stands for more than {MOST_VALUES:,} values")
        content = None if tree is None else loader.construct_document(tree)
        str(content)  # a whole number of thousands of digits has no text
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(
            f"{path.name}{line}: not valid YAML ({getattr(error, 'problem', error)})"
        ) from None
    except RecursionError:
        raise InputError(f"{path.name}: nested too deeply, or an alias within itself") from None
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A date that does not exist, a tag whose value is none of its kind.
        raise InputError(f"{path.name}: a value cannot be read ({error})") from None
    if content is None or tree is None:
        return Document(path.name)
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: expected a mapping with keys such as {', '.join(keys)}")
    return Document(path.name, content, dict(_marks(tree, ())))


def read_known(path: Path, keys: Sequence[str]) -> Document:
    """As `read`, of a file that may have no other keys than these."""
    document = read(path, keys)
    for key in document.content:
        if key not in keys:
            with document.at(key):
                raise unknown("key", str(key), keys, where=path.name)
    return document


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """Values that a node stands for once its aliases are followed."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until counted: a node within itself is endless
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for item in below for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _marks(
    node: yaml.Node, above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[int, int]]]:
    """Where every key stands; entries of a list by their number from 0."""
    if isinstance(node, yaml.MappingNode):
        below = [(str(key.value), key.start_mark, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        below = [(str(i), value.start_mark, value) for i, value in enumerate(node.value)]
    else:
        return
    seen: set[str] = set()
    for name, mark, value in below:
        if name in seen and name != "<<":
            raise InputError(
                f"{node.start_mark.name}: '{name}' is there twice; expected each once"
                f" (line {mark.line + 1}, column {mark.column + 1})"
            )
        seen.add(name)
        yield (*above, name), (mark.line + 1, mark.column + 1)
        yield from _marks(value, (*above, name))
