"""The best plan of each of many runs, without looking at every plan closely.

Three bounds leave plans out, none of which changes an answer. A group of plans with the same parallel sizes holds least
with its smallest micro-batch, no interleaving and most recomputation: where that one does not fit, none of them does. A
step takes no less than what its layers and its output head show (`training_step.least_step_seconds`): what that puts
behind a plan that fits is not weighed; layouts that differ by their interleaving alone have one such bound. And what has
to recompute to fit is not weighed, and not timed, where its layers done again put it behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from training_moat.core import training_step as model_of_step
from training_moat.predict.planning import DEGREES, LEVEL, MAX_VIRTUAL_STAGES, MICRO, VIRTUAL
from training_moat.predict.records import joined, mapped
from training_moat.predict.selecting import lowest
from training_moat.predict.training_batch import ALIKE, ROUNDING, Evaluated, Plans, Weighed
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import TrainingCase
from training_moat.predict.training_tables import Rows, rows_of

NEARLY_SMALLEST = 1.15
"""Memory over the smallest plan's up to which a plan that does not fit is still preferred for its speed."""
PLANS_AT_ONCE = 131_072
"""Plans in one sweep: enough for what a sweep costs however few they are to be little of it."""
FEW, MANY = 48, 192
"""Layouts of a row, of those that promise most, whose plans are tried before the others, and again where none of them
fits."""
USUALLY_WEIGHED = 192
"""Plans of a row that are weighed, of however many, as a rule."""
WORTH_CHOOSING = 16_384
"""Plans in a sweep from which on it pays to leave some out."""
ENOUGH_OF_A_MODEL = 4_096
"""Plans of one model that make a sweep of their own: its sizes are plain numbers then."""

_MOST = (DEGREES * np.arange(MAX_VIRTUAL_STAGES + 1)).max(axis=1)
"""The highest degree in each set of them."""


def best(rows: Rows) -> Evaluated:
    """The best plan of every row, in the order of the rows: the fastest that fits; where none does, the fastest of those
    that need hardly more than the smallest."""
    parts = list(_parts(rows))
    found = joined([_best(rows, part) for part in parts])
    return found.at(np.argsort(np.concatenate(parts), kind="stable"))


def candidates(case: TrainingCase, constants: Constants) -> Evaluated:
    """The plans of one case that fit, fastest first; where none does, those that need hardly more than the smallest, which
    is first."""
    plans = Plans.bare(rows_of([case], constants), np.array([0])).written_out()
    sweep = _Sweep(plans, plans.weighed())
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
        sweep = _Sweep(*_weighed_thinly(Plans.bare(rows, part)))
    else:
        sweep = _promising_first(rows, part)
    return sweep.evaluated(sweep.fastest())


def _promising_first(rows: Rows, part: np.ndarray) -> _Sweep:
    """Some rows' plans that may be the best: those that promise most are tried; where some of them fit, all that promise as
    much as the fastest of them are swept, else all that may fit."""
    bare, degrees = Plans.folded(rows, part)
    small = _small_enough(bare)
    bare, degrees = bare.keep(small), degrees[small]
    bare.show()
    most = np.maximum(_MOST[degrees], bare.layouts[VIRTUAL])
    least, fastest = bare.least(most), np.full(len(part), np.inf)
    for few in (FEW, MANY):
        open_ = np.isinf(fastest)
        if not open_.any():
            break
        tried = np.flatnonzero(lowest(least, bare.counts, few) & open_[bare.owner])
        sweep = _Sweep(*_weighed_thinly(bare.at(tried, most[tried]).only(open_)))
        best_ = sweep.fastest()
        fastest[open_] = np.where(sweep.fits[best_], sweep.step.total[best_], np.inf)
    worth = np.flatnonzero(np.logical_not(least * (1 - ROUNDING) > fastest[bare.owner]))
    place, degree = np.nonzero(DEGREES[degrees[worth]])
    plans = bare.at(worth[place], degree)
    plans = plans.keep(plans.fast_enough(fastest))
    return _Sweep(*_weighed_thinly(plans, fastest))


def _small_enough(bare: Plans) -> np.ndarray:
    """Which layouts may be the best for their memory: those whose group's smallest plan fits; in rows where none does,
    those whose smallest is nearly as small as the row's."""
    first = np.ones(bare.count, bool)
    for size in bare.layouts[[MICRO, VIRTUAL]]:
        first &= size == bare.of_rows(np.minimum, size)
    own = bare.keep(first)
    levels = [bare.rows.levels[index] for index in bare.part.tolist()]
    most = np.repeat([own[-1] if own else np.nan for own in levels], own.counts)
    most = np.where(np.isnan(most), own.layouts[LEVEL], most)
    own = Plans(own.rows, own.part, np.vstack([own.layouts[:LEVEL], most]), own.counts)
    weighed = own.weighed(ROUNDING)
    room, may_fit = np.full(bare.count, np.inf), np.zeros(bare.count, bool)
    room[first], may_fit[first] = weighed.room, weighed.fits
    smallest = _of_their_groups(bare, first)
    known = smallest >= 0
    fits = known & may_fit[smallest]
    far = room[smallest] > NEARLY_SMALLEST * (1 + ROUNDING) * bare.of_rows(np.minimum, room)
    some = bare.of_rows(np.logical_or, fits)
    return np.logical_not(known) | np.where(some, fits, np.logical_not(far))


def _of_their_groups(bare: Plans, first: np.ndarray) -> np.ndarray:
    """Where the smallest layout of each one's group stands, of those that are the `first` of their kind; -1 where it is
    not where it is looked for: layouts of the same sizes follow one another, the first ones in the order of all."""
    columns, block = bare.layouts, bare.block
    start = np.flatnonzero(np.diff(block, prepend=-1))[block]
    turn = np.bincount(block[first], minlength=block[-1] + 1)[block]
    found = start + (np.arange(len(block)) - start) % np.maximum(turn, 1)
    alike = first[found] & (start + turn > found)
    for line in ALIKE:
        alike &= columns[line] == columns[line][found]
    return np.where(alike, found, -1)


class _Sweep:
    """Some rows' plans as they were weighed; of each row those worth timing are kept, and timed."""

    def __init__(self, whole: Plans, held: Weighed) -> None:
        self._keep(whole, held, _promising(whole, held))
        self.step = self.plans.timed()
        self.room, self.fits = self.held.room, self.held.fits

    def _keep(self, whole: Plans, held: Weighed, kept: np.ndarray) -> None:
        self.plans, self.held = whole.keep(kept), held.at(np.flatnonzero(kept))
        if np.any(whole.open_share):
            share = self.held.recompute_share
            self.plans.plan = replace(self.plans.plan, recompute_share=share)

    def fastest(self) -> np.ndarray:
        """Index of each row's best plan: the fastest; of equally fast ones the smallest, then the first."""
        counts, owner = self.plans.counts, self.plans.owner
        if (counts == 1).all():
            return np.arange(len(counts))
        seconds = self.step.total
        shortest = self.plans.of_rows(np.fmin, seconds)
        # A plan without a number for its time is nobody's best, unless there are no others.
        first = np.flatnonzero((seconds == shortest) | (shortest != shortest))
        first = first[np.lexsort((self.room[first], owner[first]))]
        return first[np.diff(owner[first], prepend=-1) != 0]

    def evaluated(self, index: np.ndarray) -> Evaluated:
        """Those of the kept plans with all that is known of them."""
        plans = self.plans
        flops = model_of_step.model_flops_per_step(plans.model, plans.plan)
        hardware = model_of_step.hardware_flops_per_step(plans.model, plans.plan)
        masked = model_of_step.masked_flops_per_step(plans.model, plans.plan)
        whole = Evaluated(plans.plan, self.step, plans.memory(), self.fits, flops, masked, hardware)
        return mapped(whole, lambda column: np.broadcast_to(column, plans.count)[index])


def _weighed_thinly(bare: Plans, fastest: np.ndarray | None = None) -> tuple[Plans, Weighed]:
    """(plans of bare layouts, what they hold): one that recomputes is among them only where the same one without would not
    fit, as doing layers again takes time, or keeps what a slow link has to carry to the host and back. `fastest`: seconds
    of a plan of each row that fits; of those that take longer for what they have to recompute at least only some are
    there."""
    held, more = bare.weighed(), (bare.rows.turns[bare.part] - 1)[bare.owner]
    again = (more > 0) & (
        ~held.fits | np.broadcast_to(bare.plan.activation_offload > 0, bare.count)
    )
    if not again.any():
        return bare, held
    levels = bare.keep(again).written_out(but=1)
    if fastest is not None:
        share = np.repeat(_least_share(bare, held)[again], more[again])
        share = np.where(levels.open_share, share, levels.plan.recompute_share)
        levels.plan = replace(levels.plan, recompute_share=share)
        levels = levels.keep(levels.fast_enough(fastest))
    weighed = levels.weighed()
    if fastest is not None:
        kept = levels.fast_enough(fastest)
        levels, weighed = levels.keep(kept), weighed.at(np.flatnonzero(kept))
    some = np.zeros(len(bare.part), bool)
    for plans, known in ((bare, held), (levels, weighed)):
        some[plans.owner[known.fits]] = True
    kept = held.fits | ~some[bare.owner]
    plans, order = bare.keep(kept).beside(levels)
    return plans, held.at(np.flatnonzero(kept)).beside(weighed).at(order)


def _least_share(bare: Plans, held: Weighed) -> np.ndarray:
    """The share of the layers that has to be recomputed for plans to fit, at least: no layer gives more room than it keeps,
    and what a stack holds of `spare` layers goes with the first."""
    spare = bare.spare_share()
    return np.clip((held.short - spare) / (1 - spare), 0.0, 1.0)


def _promising(whole: Plans, held: Weighed) -> np.ndarray:
    """Where plans fit or, in rows where none does, are nearly as small as the smallest."""
    if (whole.counts == 1).all():
        return np.ones(whole.count, bool)
    near = held.room <= NEARLY_SMALLEST * whole.of_rows(np.minimum, held.room)
    return np.where(whole.of_rows(np.logical_or, held.fits), held.fits, near)
