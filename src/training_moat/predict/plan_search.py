"""The best plan of each of many runs, without looking at every plan closely.

Three bounds leave plans out, none of which changes an answer. A group of plans with the same parallel sizes holds least
with its smallest micro-batch, no interleaving and most recomputation: where that one does not fit, none of them does. A
step takes no less than what its layers and its output head show (`training_step.least_step_seconds`): what that puts
behind a plan that fits is not weighed. And what has to recompute to fit is not timed where its layers done again put it
behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from training_moat.core import training_step as model_of_step
from training_moat.predict.planning import LAYOUT
from training_moat.predict.selecting import lowest
from training_moat.predict.training_batch import (
    LEVEL,
    WEIGHED,
    Evaluated,
    Plans,
    Rows,
    joined,
    mapped,
    rows_of,
)
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import TrainingCase

NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLANS_AT_ONCE = 131_072
"""Plans in one sweep: enough for what a sweep costs however few they are to be little of it."""
FEW, MANY = 64, 256
"""Layouts of a row, of those that promise most, whose plans are tried before the others, and again where none of them
fits."""
TIMED = 16
"""Plans of a row that are timed of those that are tried."""
USUALLY_WEIGHED = 192
"""Plans of a row that are weighed, of however many, as a rule."""
WORTH_CHOOSING = 16_384
"""Plans in a sweep from which on it pays to leave some out."""
ROUNDING = 1e-9
"""Share by which arithmetic may be off."""
ENOUGH_OF_A_MODEL = 4_096
"""Plans of one model that make a sweep of their own: its sizes are plain numbers then."""

_MICRO, _VIRTUAL = LAYOUT.index("micro_batch"), LAYOUT.index("virtual_stages")
_ALIKE = [LAYOUT.index(name) for name in ("zero_stage", "ep", "recompute")]
"""What tells the groups of a block apart."""


def best(rows: Rows) -> Evaluated:
    """The best plan of every row, in the order of the rows: the fastest that fits; where none does, the fastest of those
    that need hardly more than the smallest."""
    parts = list(_parts(rows))
    found = joined([_best(rows, part) for part in parts])
    return found.at(np.argsort(np.concatenate(parts), kind="stable"))


def candidates(case: TrainingCase, constants: Constants) -> Evaluated:
    """The plans of one case that fit, fastest first; where none does, those that need hardly more than the smallest, which
    is first."""
    sweep = _Sweep(Plans.of(rows_of([case], constants), np.array([0])), thin=False)
    seconds, room = sweep.step.total, sweep.room
    fit = sweep.fits.any()
    return sweep.evaluated(np.lexsort((room, seconds) if fit else (seconds, room)))


def _parts(rows: Rows) -> Iterator[np.ndarray]:
    """The rows in groups to be swept together: of the same topologies, by model, neither too many nor too few plans."""
    topology = rows.tables.topology[rows.setting]
    order = np.lexsort((rows.model, topology))
    new_topology = np.diff(topology[order], prepend=-1) != 0
    new_model = np.diff(rows.model[order], prepend=-1) != 0
    start, plans = 0, 0
    for place, count in enumerate(np.minimum(rows.counts[order], USUALLY_WEIGHED).tolist()):
        full = plans + count > PLANS_AT_ONCE or (new_model[place] and plans >= ENOUGH_OF_A_MODEL)
        if place > start and (full or new_topology[place]):
            yield order[start:place]
            start, plans = place, 0
        plans += count
    if len(order):
        yield order[start:]


def _best(rows: Rows, part: np.ndarray) -> Evaluated:
    """The best plan of each of some rows."""
    if rows.counts[part].sum() < WORTH_CHOOSING:
        sweep = _Sweep(Plans.of(rows, part))
    else:
        sweep = _promising_first(rows, part)
    return sweep.evaluated(sweep.fastest())


def _promising_first(rows: Rows, part: np.ndarray) -> _Sweep:
    """Some rows' plans that may be the best: those that promise most are tried; where some of them fit, all that promise as
    much as the fastest of them are swept, else all that may fit."""
    bare = Plans.bare(rows, part)
    bare = bare.keep(_small_enough(bare))
    least, fastest = bare.least(), np.full(len(part), np.inf)
    for few in (FEW, MANY):
        open_ = np.isinf(fastest)
        if not open_.any():
            break
        tried = lowest(least, bare.counts, few) & open_[bare.owner]
        sweep = _Sweep(bare.written_out(tried, open_), few=TIMED)
        best_ = sweep.fastest()
        fastest[open_] = np.where(sweep.fits[best_], sweep.step.total[best_], np.inf)
    worth = np.logical_not(least * (1 - ROUNDING) > fastest[bare.owner])
    return _Sweep(bare.written_out(worth), fastest=fastest)


def _small_enough(bare: Plans) -> np.ndarray:
    """Which layouts may be the best for their memory: those whose group's smallest plan fits; in rows where none does,
    those whose smallest is nearly as small as the row's."""
    columns, starts = bare.layouts, np.cumsum(bare.counts) - bare.counts
    first = np.ones(bare.count, bool)
    for line in (_MICRO, _VIRTUAL):
        first &= columns[line] == np.minimum.reduceat(columns[line], starts)[bare.owner]
    own = bare.keep(first)
    levels = [bare.rows.levels[index] for index in bare.part.tolist()]
    most = np.repeat([own[-1] if own else np.nan for own in levels], own.counts)
    most = np.where(np.isnan(most), own.layouts[LEVEL], most)
    own = Plans(own.rows, own.part, np.vstack([own.layouts[:LEVEL], most]), own.counts)
    weighed = own.weighed(ROUNDING)
    room, may_fit = np.full(bare.count, np.inf), np.zeros(bare.count, bool)
    room[first], may_fit[first] = weighed[0], weighed[WEIGHED.index("fits")] > 0
    smallest = _of_their_groups(bare, first)
    known = smallest >= 0
    fits = np.logical_not(known) | may_fit[smallest]
    near = NEARLY_SMALLEST * (1 + ROUNDING) * np.minimum.reduceat(room, starts)
    far = known & (room[smallest] > near[bare.owner])
    some = np.logical_or.reduceat(fits, starts)
    return np.where(some[bare.owner], fits, np.logical_not(far))


def _of_their_groups(bare: Plans, first: np.ndarray) -> np.ndarray:
    """Where the smallest layout of each one's group stands, of those that are the `first` of their kind; -1 where it is
    not where it is looked for: layouts of the same sizes follow one another, the first ones in the order of all."""
    columns, block = bare.layouts, bare.block
    start = np.flatnonzero(np.diff(block, prepend=-1))[block]
    turn = np.bincount(block[first], minlength=block[-1] + 1)[block]
    found = start + (np.arange(len(block)) - start) % np.maximum(turn, 1)
    alike = first[found] & (start + turn > found)
    for line in _ALIKE:
        alike &= columns[line] == columns[line][found]
    return np.where(alike, found, -1)


class _Sweep:
    """Some rows' plans weighed; of each row those worth timing are kept, and timed. `fastest`: seconds of a plan of each row
    that fits, slower than which none need be timed; `few`: how many of a row are timed at most, those that promise most."""

    def __init__(
        self,
        whole: Plans,
        thin: bool = True,
        fastest: np.ndarray | None = None,
        few: int | None = None,
    ) -> None:
        held = _weighed_thinly(whole) if thin else whole.weighed()
        self._keep(whole, held, _promising(whole, held))
        if fastest is not None:
            slow = self.plans.least() * (1 - ROUNDING) > fastest[self.plans.owner]
            self._keep(self.plans, self.held, np.logical_not(slow))
        if few is not None:
            self._keep(self.plans, self.held, lowest(self.plans.least(), self.plans.counts, few))
        self.step = self.plans.timed()
        self.room, self.fits = self.held[0], self.held[WEIGHED.index("fits")] > 0

    def _keep(self, whole: Plans, held: np.ndarray, kept: np.ndarray) -> None:
        self.plans, self.held = whole.keep(kept), held[:, kept]
        if np.any(whole.asked("open_share")):
            share = self.held[WEIGHED.index("recompute_share")]
            self.plans.plan = replace(self.plans.plan, recompute_share=share)

    def fastest(self) -> np.ndarray:
        """Index of each row's best plan: the fastest; of equally fast ones the smallest, then the first."""
        counts, owner = self.plans.counts, self.plans.owner
        if (counts == 1).all():
            return np.arange(len(counts))
        seconds = self.step.total
        shortest = np.fmin.reduceat(seconds, np.cumsum(counts) - counts)[owner]
        # A plan without a number for its time is nobody's best, unless there are no others.
        first = np.flatnonzero((seconds == shortest) | (shortest != shortest))
        first = first[np.lexsort((self.room[first], owner[first]))]
        return first[np.diff(owner[first], prepend=-1) != 0]

    def evaluated(self, index: np.ndarray) -> Evaluated:
        """Those of the kept plans with all that is known of them."""
        plans = self.plans
        flops = model_of_step.model_flops_per_step(plans.model, plans.plan)
        hardware = model_of_step.hardware_flops_per_step(plans.model, plans.plan)
        whole = Evaluated(plans.plan, self.step, plans.memory(), self.fits, flops, hardware)
        return mapped(whole, lambda column: np.broadcast_to(column, plans.count)[index])


def _weighed_thinly(whole: Plans) -> np.ndarray:
    """As `Plans.weighed`, but a plan that recomputes is weighed only where the same one without would not fit: doing
    layers again takes time. Unweighed plans need endless room."""
    level = whole.layouts[LEVEL]
    first = np.logical_not(np.logical_and(whole.asked("free_level"), level > 0))
    if first.all():
        return whole.weighed()
    found = np.full((len(WEIGHED), whole.count), np.inf)
    fits = found[WEIGHED.index("fits")]
    fits[:] = 0.0
    found[:, first] = whole.keep(first).weighed()
    # Levels that are free vary fastest, from none on.
    without = fits[np.flatnonzero(first)[np.cumsum(first) - 1]] > 0
    second = np.logical_not(np.logical_or(first, without))
    if second.any():
        found[:, second] = whole.keep(second).weighed()
    return found


def _promising(whole: Plans, held: np.ndarray) -> np.ndarray:
    """Where plans fit or, in rows where none does, are nearly as small as the smallest."""
    counts, owner = whole.counts, whole.owner
    if (counts == 1).all():
        return np.ones(whole.count, bool)
    room, fits = held[0], held[WEIGHED.index("fits")] > 0
    starts = np.cumsum(counts) - counts
    some = np.logical_or.reduceat(fits, starts)[owner]
    smallest = np.minimum.reduceat(room, starts)[owner]
    return np.where(some, fits, room <= NEARLY_SMALLEST * smallest)
