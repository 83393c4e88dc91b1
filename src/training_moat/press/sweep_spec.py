"""What a sweep asks: a YAML file of grids, lists and distributions, as a numbered sequence of points."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training_moat.catalog import parameters, yaml_files
from training_moat.core import numbers
from training_moat.core.errors import InputError, require_known
from training_moat.inquiry.uncertainty import Uncertain, sample
from training_moat.press import notebooks

KEYS = ("title", "level", "base", "grid", "list", "draw")
MODEL_LEVELS = ("training", "serving")
_DRAW_KEYS = ("count", "seed", "values")
_BOUNDS = ("p05", "median", "p95", "low", "high")
MOST_POINTS = 100_000_000
MOST_CHECKED = 200
"""Points of a chapter's sweep that are checked before any runs."""
MOST_STEPS = 1_000_000
"""Values of one range, which are all held at once."""


ABSENT = -1
"""Code of a field that a point leaves out."""


class Coded(NamedTuple):
    """A field of many points: its different values, and which of them each point has, `ABSENT` where none."""

    values: list[Any]
    codes: np.ndarray


@dataclass(frozen=True)
class Sweep:
    """A checked sweep.

    level: "training" or "serving" (requests to the model), or the name of a chapter. base: fields of
    every point. grid: field to its values, crossed. rows: points that are listed, crossed with the
    grid. draws: uncertain fields, drawn together `draw_count` times with `seed`, crossed with the rest.
    """

    title: str
    level: str
    base: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    rows: tuple[Mapping[str, Any], ...]
    draws: tuple[Uncertain, ...]
    draw_count: int
    seed: int

    @property
    def is_chapter(self) -> bool:
        """Whether the points are runs of a chapter."""
        return self.level not in MODEL_LEVELS

    @property
    def fields(self) -> list[str]:
        """Every field that some point sets, in the order of the file."""
        names = [*self.base, *self.grid, *(name for row in self.rows for name in row)]
        return list(dict.fromkeys([*names, *(item.name for item in self.draws)]))

    def __len__(self) -> int:
        crossed = math.prod(len(values) for values in self.grid.values())
        return crossed * max(1, len(self.rows)) * self.draw_count

    @cached_property
    def _drawn(self) -> dict[str, list[float]]:
        if not self.draws:
            return {}
        drawn = sample(self.draws, self.draw_count, self.seed)
        return {name: [float(f"{v:.9g}") for v in values] for name, values in drawn.items()}

    def columns(self, indices: np.ndarray) -> dict[str, Coded]:
        """The fields of some points: the draws turn fastest, then the list, then the grid's last field."""
        rest, draw = np.divmod(indices, self.draw_count)
        rest, row = np.divmod(rest, max(1, len(self.rows)))
        found = {
            name: Coded([value], np.zeros(len(indices), int)) for name, value in self.base.items()
        }
        chosen: dict[str, Coded] = {}
        for name, values in reversed(list(self.grid.items())):
            rest, position = np.divmod(rest, len(values))
            chosen[name] = Coded(list(values), position)
        found |= {name: chosen[name] for name in self.grid}
        for name in dict.fromkeys(name for one in self.rows for name in one):
            found[name] = self._listed(name, row, found.get(name))
        return found | {name: Coded(values, draw) for name, values in self._drawn.items()}

    def _listed(self, name: str, row: np.ndarray, before: Coded | None) -> Coded:
        """A field of the list, where a row leaves it out as it was `before`."""
        has = [number for number, one in enumerate(self.rows) if name in one]
        code = np.full(len(self.rows), ABSENT)
        code[has] = np.arange(len(has))
        values, codes = [self.rows[number][name] for number in has], code[row]
        if before is None:
            return Coded(values, codes)
        return Coded(
            [*values, *before.values], np.where(codes < 0, before.codes + len(values), codes)
        )

    def point(self, index: int) -> dict[str, Any]:
        """Fields of one point."""
        return self.points(np.array([index]))[0]

    def points(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """Fields of some points, one by one."""
        found: list[dict[str, Any]] = [{} for _ in indices]
        for name, (values, codes) in self.columns(indices).items():
            for point, code in zip(found, codes.tolist(), strict=True):
                if code != ABSENT:
                    point[name] = values[code]
        return found

    def digests(self, indices: np.ndarray | None = None) -> np.ndarray:
        """What identifies some points, or all, in whatever file and place they stand: the sum of the hashes of the fields
        of each as JSON, in their order."""
        which = np.arange(len(self)) if indices is None else indices
        total = np.zeros((len(which), _WORDS), np.uint32)
        for name, (values, codes) in self.columns(which).items():
            used, place = np.unique(codes, return_inverse=True)
            own = [_hashed(name, values[code]) if code != ABSENT else [0] * _WORDS for code in used]
            total += np.array(own, np.uint32)[place]
        return _written(total)


_WORDS = 3
"""Words of four bytes in a digest, added up with one another without carrying from one to the next."""


def _hashed(name: str, value: Any) -> list[int]:
    """The words of one field's hash."""
    text = f"{json.dumps(name)}: {json.dumps(value, sort_keys=True)}"
    hashed = hashlib.blake2b(text.encode(), digest_size=4 * _WORDS).digest()
    return np.frombuffer(hashed, ">u4").tolist()


def _written(total: np.ndarray) -> np.ndarray:
    """Sums as text of hexadecimal digits."""
    digits = total.astype(">u4").tobytes().hex().encode()
    return np.frombuffer(digits, f"S{8 * _WORDS}")


def load(path: str | Path) -> Sweep:
    """Read and check a sweep's file. Raises InputError: file, line and column, key, expected value."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"sweep '{path}': no such file")
    document = yaml_files.read_known(path, KEYS)
    content = document.content
    draw = _mapping(content, "draw", path.name)
    for key in draw:
        require_known("key", key, _DRAW_KEYS, f"{path.name}, draw")
    values, level = _mapping(draw, "values", f"{path.name}, draw"), str(content.get("level"))
    require_known("level", level, [*MODEL_LEVELS, *notebooks.chapter_names()], path.name)
    sweep = Sweep(
        title=str(content.get("title") or path.stem),
        level=level,
        base=_mapping(content, "base", path.name),
        grid={
            name: _values(entry, f"{path.name}, grid.{name}")
            for name, entry in _mapping(content, "grid", path.name).items()
        },
        rows=_rows(content.get("list"), path.name),
        draws=tuple(_uncertain(n, entry, path.name) for n, entry in values.items()),
        draw_count=numbers.given(draw.get("count", 1), f"{path.name}, draw.count", True, 1),
        seed=numbers.given(draw.get("seed", 0), f"{path.name}, draw.seed", True, 0),
    )
    _check(sweep, path.name)
    return sweep


def _mapping(content: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found = content.get(key) or {}
    if not isinstance(found, dict):
        raise InputError(f"{where}, {key}: expected a mapping from names to values")
    return {str(name): _plain(value, f"{where}, {key}.{name}") for name, value in found.items()}


def _plain(value: Any, where: str) -> Any:
    """A value, of words, numbers, lists and mappings alone: what a request can hold."""
    try:
        json.dumps(value)
    except TypeError:
        raise InputError(f"{where}: expected words and numbers, got {value!r:.60}") from None
    return value


def _values(entry: Any, where: str) -> tuple[Any, ...]:
    if isinstance(entry, dict):
        return _range(entry, where)
    if not isinstance(entry, list) or not entry:
        raise InputError(f"{where}: expected a list, or a mapping with from, to and steps")
    return tuple(entry)


def _range(entry: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Evenly spaced values: {from, to, steps}, on a log scale with `log: true`."""
    if not {"from", "to", "steps"} <= set(entry) <= {"from", "to", "steps", "log"}:
        raise InputError(f"{where}: expected from, to, steps and perhaps log: true")
    low, high = (_number(entry[key], f"{where}.{key}") for key in ("from", "to"))
    steps = numbers.given(entry["steps"], f"{where}.steps", True, 2, MOST_STEPS)
    if not isinstance(entry.get("log", False), bool):
        raise InputError(f"{where}.log: expected true or false, got {str(entry['log'])[:40]!r}")
    if not math.isfinite(high - low):
        raise InputError(f"{where}: expected ends that are not as far apart")
    shares = (i / (steps - 1) for i in range(steps))
    if entry.get("log"):
        if min(low, high) <= 0:
            raise InputError(f"{where}: a log scale needs ends above 0")
        found = [float(f"{low ** (1 - share) * high**share:.12g}") for share in shares]
    else:
        found = [float(f"{low + (high - low) * share:.12g}") for share in shares]
    return tuple(map(int, found) if all(map(float.is_integer, found)) else found)


def _rows(entry: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    if entry is None:
        return ()
    if not isinstance(entry, list) or not entry or not all(isinstance(row, dict) for row in entry):
        raise InputError(f"{where}, list: expected a list of mappings from names to values")
    return tuple(
        {str(name): _plain(value, f"{where}, list.{name}") for name, value in row.items()}
        for row in entry
    )


def _uncertain(name: str, entry: Any, where: str) -> Uncertain:
    where = f"{where}, draw.values.{name}"
    if not isinstance(entry, dict) or not {"p05", "median", "p95"} <= set(entry) <= set(_BOUNDS):
        raise InputError(f"{where}: expected p05, median and p95, and perhaps low and high")
    numbers = {key: _number(value, f"{where}.{key}") for key, value in entry.items()}
    return Uncertain(name, unit="", **numbers)


def _number(value: Any, where: str) -> float:
    most = sys.float_info.max
    return float(numbers.given(value, where, False, -most, most))


def _check(sweep: Sweep, where: str) -> None:
    """Names and values that no point could use are refused before anything runs."""
    if sweep.draw_count > 1 and not sweep.draws:
        raise InputError(f"{where}, draw.values: expected at least one name with p05, median, p95")
    if not sweep.fields and sweep.is_chapter:
        raise InputError(f"{where}: expected a grid, a list or a draw; there is nothing to vary")
    if len(sweep) > MOST_POINTS:
        raise InputError(f"{where}: {len(sweep):,} points; expected at most {MOST_POINTS:,}")
    if sweep.is_chapter:
        for index in _corners(sweep):
            parameters.convert_all(sweep.level, sweep.point(index))
        return
    from training_moat.predict import serving_plans, training_plans

    plans = training_plans if sweep.level == "training" else serving_plans
    for name in sweep.fields:
        require_known("field", name, plans.FIELDS, f"{where}, {sweep.level}")


def _corners(sweep: Sweep) -> list[int]:
    """Points that between them hold every value of grid and list once, as far as `MOST_CHECKED` reaches."""
    step = max(1, len(sweep) // MOST_CHECKED)
    return list(range(0, len(sweep), step))[:MOST_CHECKED]
