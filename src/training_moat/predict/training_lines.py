"""Many requests read at once: words once for all requests that share them, whole numbers as columns.

What a request says is its model, its setting (`training_settings.Setting`: words and fractions) and whole numbers. Each
distinct model and setting is read once by the functions that read a single request; the numbers of all are checked
together. Requests that this finds anything unusual in are left to be read one by one: those give the error, or the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
import orjson

from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.predict import (
    planning,
    training_batch,
    training_nodes,
    training_plans,
    training_settings,
)
from training_moat.predict import requests as reading
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import SIZES, WHOLE, Costs
from training_moat.predict.training_tables import Rows, Tables

_NOT_SETTLING = {"id", "model", *WHOLE, *Costs._fields}
"""Fields that are no part of a setting."""
_PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_ALONE = -1
COST_NAMES = frozenset(Costs._fields)


@dataclass(frozen=True)
class Lines:
    """Requests read together: `rows`, at `places` among the requests, with what their answers repeat; `alone` are the
    places of those that must be read one by one."""

    rows: Rows
    places: np.ndarray
    notes: list[list[str]]
    costs: list[Costs | None]
    alone: list[int]


class _Distinct:
    """Numbers distinct things by what a request says of them; `_ALONE` where that is no good."""

    def __init__(self, build: Callable[[Mapping[str, Any]], Any]) -> None:
        self.build = build
        self.number: dict[Any, int] = {}
        self.items: list[Any] = []

    def __call__(self, key: Any, said: Mapping[str, Any]) -> int:
        found = self.number.get(key)
        if found is not None:
            return found
        try:
            self.items.append(self.build(said))
        except (InputError, OverflowError, RecursionError):
            self.number[key] = _ALONE
        else:
            self.number[key] = len(self.items) - 1
        return self.number[key]


def read(requests: Sequence[Any], constants: Constants) -> Lines | None:
    """Read what can be read together; None where nothing can."""
    sound: dict[tuple[int, str], Chip] = {}
    models = _Distinct(training_plans.shape)
    settings = _Distinct(lambda said: _setting(said, sound))
    settling: dict[tuple[str, ...], tuple[str, ...] | None] = {}
    found, costs = _told(requests, models, settings, settling)
    if not found:
        return None
    places, which, setting = np.array(found).T
    chosen = [requests[place] for place in places.tolist()]
    numbers = {name: _column(chosen, name, settling) for name in WHOLE}
    tables = Tables([model for model, _ in models.items], settings.items, constants)
    rows, good = _rows(numbers, tables, which, setting)
    if not len(rows):
        return None
    taken = places[good].tolist()
    unsaid = {name: np.isnan(numbers[name][good]) for name in ("seq_len", "global_batch")}
    notes = _shared_notes(rows, unsaid, models.items, settings.items)
    alone = np.delete(np.arange(len(requests)), taken).tolist()
    return Lines(rows, places[good], notes, [costs.get(place) for place in taken], alone)


def _told(
    requests: Sequence[Any],
    models: _Distinct,
    settings: _Distinct,
    settling: dict[tuple[str, ...], tuple[str, ...] | None],
) -> tuple[list[tuple[int, int, int]], dict[int, Costs]]:
    """(place, model and setting, by their numbers, of the requests whose words can be read together; costs by place).
    `settling`: what of the fields of a request settles something, by all of them."""
    found: list[tuple[int, int, int]] = []
    costs: dict[int, Costs] = {}
    for place, request in enumerate(requests):
        if type(request) is not dict:
            continue
        names = tuple(request)
        if names not in settling:
            settling[names] = _settling(names)
        own = settling[names]
        if own is None:
            continue
        try:
            words = [request[name] for name in own]
            key = own, orjson.dumps(words, option=_PLAIN)
            model = request["model"]
            model_key = model if type(model) is str else orjson.dumps(model, option=_PLAIN)
            if not COST_NAMES.isdisjoint(names):
                costs[place] = training_plans.costs(request)
        except (TypeError, InputError):
            # The first: what JSON has no word for, or a number too long.
            continue
        setting = settings(key, request)
        which = models(model_key, request)
        if setting != _ALONE and which != _ALONE:
            found.append((place, which, setting))
    return found, costs


def _settling(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The fields among these that settle something; None for requests of which some are unknown or tell of other runs."""
    if "anchors" in names or "model" not in names or not set(names) <= set(training_plans.FIELDS):
        return None
    return tuple(name for name in names if name not in _NOT_SETTLING)


def _setting(
    said: Mapping[str, Any], sound: dict[tuple[int, str], Chip]
) -> training_settings.Setting:
    """A setting whose chip, one of `sound` for its format, has all that a step time needs.

    A chip of a request's own is gone with it, and another one may take its place in memory and its `id`.
    """
    setting = training_settings.settle(said)
    key = id(setting.chip), setting.precision
    if sound.get(key) is not setting.chip:
        training_nodes.reject_silent_chip(setting.chip, setting.precision)
        sound[key] = setting.chip
    if setting.software.states_in_backward:
        raise InputError("what such software keeps depends on the number of chips")
    return setting


def _shared_notes(
    rows: Rows,
    unsaid: Mapping[str, np.ndarray],
    models: Sequence[tuple[Any, list[str]]],
    settings: Sequence[training_settings.Setting],
) -> list[list[str]]:
    """Notes on what was assumed for each row: one list for all that share it."""
    batch = np.where(unsaid["global_batch"], rows.global_batch, 0.0)
    keys = zip(
        rows.model.tolist(),
        rows.setting.tolist(),
        unsaid["seq_len"].tolist(),
        batch.tolist(),
        strict=True,
    )
    made: dict[tuple, list[str]] = {}
    found = []
    for key in keys:
        own = made.get(key)
        if own is None:
            model, setting, no_length, size = key
            said = {"seq_len": None if no_length else 1, "global_batch": None if size else 1}
            assumed = training_plans.assumed_numbers(said, size)
            own = made[key] = [*models[model][1], *settings[setting].notes, *assumed]
        found.append(own)
    return found


def _rows(
    numbers: dict[str, np.ndarray], tables: Tables, model: np.ndarray, setting: np.ndarray
) -> tuple[Rows, np.ndarray]:
    """(the rows of those requests whose numbers are good and leave a layout, their indices)."""
    good = np.logical_and.reduce([_within(name, column) for name, column in numbers.items()])
    # Sizes that are none of any machine run over; they are not within bounds and stay out.
    with np.errstate(invalid="ignore", over="ignore"):
        good &= _settle_chips(numbers)
    # What is told of a stage on chips whose store has all states is told one by one.
    streamed = np.array([one.streamed for one in tables.settings], bool)[setting]
    good &= ~(streamed & (numbers["zero_stage"] > 0))
    numbers = {name: column[good] for name, column in numbers.items()}
    index, model, setting = np.flatnonzero(good), model[good], setting[good]
    _assume(numbers)
    layouts, levels, given = _layouts(numbers, tables, model, setting)
    chips, seq_len, batch = (numbers[name] for name in ("chips", "seq_len", "global_batch"))
    kept = np.array([part.shape[1] > 0 for part in layouts], bool)
    rows = Rows(tables, model, setting, chips, seq_len, batch, layouts, levels)
    to_check = np.flatnonzero(given & kept)
    if len(to_check):
        checked = training_batch.possible(rows, to_check)
        for place, own in zip(to_check.tolist(), checked, strict=True):
            layouts[place] = own
            kept[place] = own.shape[1] > 0
    if kept.all():
        return rows, index
    left = [part for part in layouts if part.shape[1]]
    turned = [levels[place] for place in np.flatnonzero(kept).tolist()]
    settled = (model[kept], setting[kept], chips[kept], seq_len[kept], batch[kept])
    return Rows(tables, *settled, left, turned), index[kept]


def _column(
    requests: list[Mapping[str, Any]], name: str, named: Collection[tuple[str, ...]]
) -> np.ndarray:
    """A field of all requests: NaN where it is absent or null, minus infinity where it is no whole number."""
    told = [name in names for names in named]
    if not any(told):
        return np.full(len(requests), np.nan)
    take = itemgetter(name) if all(told) else methodcaller("get", name)
    values = list(map(take, requests))
    if not set(map(type, values)) <= {int, type(None)}:
        values = [v if v is None or type(v) is int else -np.inf for v in values]
    try:
        return np.array(values, float)
    except OverflowError:
        return np.array([v if v is None or abs(v) < 1e300 else -np.inf for v in values], float)


def _within(name: str, column: np.ndarray) -> np.ndarray:
    low, high = (0, 3) if name == "zero_stage" else (1, reading.LARGEST)
    return np.isnan(column) | ((column >= low) & (column <= high))


def _settle_chips(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """Where the parallel sizes agree with the number of chips, which they settle where it is absent."""
    sizes = [numbers[name] for name in ("tp", "pp", "dp", "cp")]
    product = np.prod([np.nan_to_num(size, nan=1.0) for size in sizes], axis=0)
    chips = np.where(np.isnan(numbers["chips"]), product, numbers["chips"])
    told = ~(np.isnan(numbers["chips"]) & np.isnan(numbers["dp"]))
    complete = ~np.isnan(sizes[:3]).any(axis=0)
    numbers["chips"] = chips
    return told & (chips % product == 0) & (~complete | (product == chips))


def _assume(numbers: dict[str, np.ndarray]) -> None:
    """Sequence length and batch where they are absent."""
    seq_len, batch = numbers["seq_len"], numbers["global_batch"]
    seq_len[np.isnan(seq_len)] = training_plans.CUSTOMARY_SEQUENCE
    for place in np.flatnonzero(np.isnan(batch)).tolist():
        sizes = (numbers[name][place] for name in ("dp", "micro_batch"))
        given = (None if np.isnan(size) else int(size) for size in sizes)
        chips = int(numbers["chips"][place])
        batch[place] = training_plans.customary_batch(chips, int(seq_len[place]), *given)


def _layouts(
    numbers: dict[str, np.ndarray], tables: Tables, model: np.ndarray, setting: np.ndarray
) -> tuple[list[np.ndarray], list[tuple[int, ...]], np.ndarray]:
    """(every row's layouts, the levels of recomputation that each stands for, whether the request settles any of their
    numbers, how experts are cut, how wide adapters are, or how many replicas share)."""
    given = ~np.isnan([numbers[name] for name in SIZES])
    levels = [one.recompute for one in tables.settings]
    settled = np.array([level is not None for level in levels], bool)[setting]
    pinned = np.delete(given, SIZES.index("dp"), axis=0).all(axis=0) & settled
    layouts: list[np.ndarray] = [np.empty(0)] * len(model)
    free_levels = [planning.levels(one.experts) for one in tables.models]
    turned: list[tuple[int, ...]] = [
        () if fixed else free_levels[which]
        for fixed, which in zip(settled.tolist(), model.tolist(), strict=True)
    ]
    _pin(layouts, np.flatnonzero(pinned), numbers, np.array(levels, float)[setting])
    free = np.flatnonzero(~pinned)
    columns = [numbers[name][free] for name in ("chips", "seq_len", "global_batch", *SIZES)]
    for place, *own in zip(free.tolist(), *(column.tolist() for column in columns), strict=True):
        chips, seq_len, batch = (int(value) for value in own[:3])
        sizes = (None if value != value else int(value) for value in own[3:])
        one = tables.settings[setting[place]]
        said = dict(zip(SIZES, sizes, strict=True))
        fixed = training_plans.fixed(said, one.recompute or 0, one)
        sharded = bool(one.software.fully_sharded)
        shape = tables.models[model[place]]
        about = (one.chip, chips, seq_len, batch, fixed, sharded)
        layouts[place] = planning.layouts(shape, *about)
    cut = [
        one.expert_tp is not None or one.lora_rank > 0 or one.shard_group > 0
        for one in tables.settings
    ]
    return layouts, turned, given.any(axis=0) | np.array(cut, bool)[setting]


def _pin(
    layouts: list[np.ndarray], places: np.ndarray, numbers: dict[str, np.ndarray], level: np.ndarray
) -> None:
    """The one layout of each of the rows that settle all of it, or none where it does not divide the batch."""
    named = numbers | {"recompute": level}
    table = np.array([*(named[name][places] for name in planning.LAYOUT), np.zeros(len(places))])
    tp, pp, cp, dp, micro_batch = table[:5]
    dp[:] = numbers["chips"][places] // (tp * pp * cp)
    batch = numbers["global_batch"][places]
    divides = (tp * pp * cp * dp == numbers["chips"][places]) & (batch % (dp * micro_batch) == 0)
    for column, (place, good) in enumerate(zip(places.tolist(), divides.tolist(), strict=True)):
        layouts[place] = table[:, column : column + good]
