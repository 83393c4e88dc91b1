"""`moat predict training`: requests in, step times, memory and plans out, many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.core.training_step import step_bytes
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.predict import (
    own_runs,
    plan_search,
    training_answers,
    training_lines,
    training_nodes,
    training_plans,
)
from training_moat.predict import requests as reading
from training_moat.predict import training_constants as known
from training_moat.predict.own_runs import Shift
from training_moat.predict.training_answers import Asked
from training_moat.predict.training_batch import Evaluated
from training_moat.predict.training_constants import Constants
from training_moat.predict.training_plans import TrainingCase, parse
from training_moat.predict.training_tables import rows_of


class OwnRuns(NamedTuple):
    """The asker's own runs: logarithms of measured over predicted seconds, over how far they scatter for the run's model
    (`training_constants.relative_scatter`), and the setting of each."""

    errors: list[float]
    told: list[np.ndarray]


def predict(requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answer each request in order; a bad one gets `ok: false` and its error, the others still run.

    The fields of requests and answers are those of the command-line contract. Times are seconds, memory GiB.
    """
    with tables.steady():
        return _answered(requests, known.load())


def _answered(requests: Sequence[Mapping[str, Any]], constants: Constants) -> list[dict[str, Any]]:
    lines = training_lines.read(requests, constants)
    if lines is None:
        found = one_by_one(requests, range(len(requests)), constants)
    else:
        ids = [requests[place].get("id") for place in lines.places]
        asked = Asked(ids, lines.notes, lines.costs)
        best = plan_search.best(lines.rows)
        told = training_answers.answers(lines.rows, best, asked, constants)
        found = one_by_one(requests, lines.alone, constants)
        found.update(zip(lines.places.tolist(), told, strict=True))
    return [found[place] for place in range(len(requests))]


def one_by_one(
    requests: Sequence[Mapping[str, Any]], places: Sequence[int], constants: Constants
) -> dict[int, dict[str, Any]]:
    """Answers by their places, each request read by itself."""
    found: dict[int, dict[str, Any]] = {}
    cases: dict[int, TrainingCase] = {}
    runs: dict[int, OwnRuns] = {}
    for place in places:
        request = requests[place]
        try:
            case = parse(request)
            training_nodes.reject_silent_chip(case.chip, case.precision)
            own = _own_runs(request, case, constants)
        except (InputError, OverflowError, RecursionError) as error:
            found[place] = _refusal(request, error)
        else:
            cases[place], runs[place] = case, own
    if cases:
        every = list(cases.values())
        best = _best(every, constants)
        shifts = [
            _shift(case, best.one(index), runs[place], constants)
            for index, (place, case) in enumerate(cases.items())
        ]
        found.update(zip(cases, _told(every, best, constants, shifts), strict=True))
    return found


def _refusal(request: Any, error: Exception) -> dict[str, Any]:
    if isinstance(error, InputError):
        return reading.refused(request, str(error))
    sentence = "a value is too large or nested too deeply; expected plain numbers and names"
    return reading.refused(request, sentence)


def _shift(case: TrainingCase, plan: Evaluated, own: OwnRuns, constants: Constants) -> Shift:
    """What a case's own runs say of its plan."""
    if not own.errors:
        return training_answers.NO_SHIFT
    scatter = known.scatter(constants, case.chip.family, case.model.experts > 0)
    said = own_runs.shift(own.errors, np.hstack(own.told), _setting(case, plan), scatter)
    routed = (case.model.experts > 0) & plan.plan.routed
    reach = known.reach(constants, case.model.hidden, routed)
    return replace(said, factor=said.factor ** float(np.ravel(reach)[0]))


def _own_runs(request: Mapping[str, Any], case: TrainingCase, constants: Constants) -> OwnRuns:
    """A request's own runs, each against the model's prediction of it. Raises `InputError` in one sentence."""
    own = own_runs.anchors(request, case)
    if not own:
        return OwnRuns([], [])
    best = _best([run for run, _ in own], constants)
    measured = [seconds for _, seconds in own]
    errors = own_runs.errors(measured, best.step.total.tolist())
    hidden, experts = np.array([(run.model.hidden, run.model.experts) for run, _ in own]).T
    reach = known.reach(constants, hidden, (experts > 0) & best.plan.routed)
    errors = (np.array(errors) / reach).tolist()
    return OwnRuns(errors, [_setting(run, best.one(index)) for index, (run, _) in enumerate(own)])


def _setting(case: TrainingCase, found: Evaluated) -> np.ndarray:
    return own_runs.settings(case.model, found.plan, BYTES_PER_VALUE[case.precision], found.step)


def _told(
    cases: Sequence[TrainingCase],
    found: Evaluated,
    constants: Constants,
    shifts: Sequence[Shift] | None = None,
) -> list[dict[str, Any]]:
    """The contract's answers for one evaluated plan of each case."""
    rows = rows_of(cases, constants)
    asked = Asked(
        [case.id for case in cases],
        [case.notes for case in cases],
        [case.costs for case in cases],
        shifts,
    )
    return list(training_answers.answers(rows, found, asked, constants))


def answer(
    case: TrainingCase, found: Evaluated, index: int, constants: Constants
) -> dict[str, Any]:
    """The contract's answer for one of a case's evaluated plans, or a refusal where it would be absurd."""
    return _told([case], found.one(index), constants)[0]


def search(request: Mapping[str, Any], top: int = 10) -> list[dict[str, Any]]:
    """The fastest plans that fit for one request, best first. Raises `InputError` for a bad request
    and where the best answer would be absurd.

    Where nothing fits, the answer for the one that needs least memory, marked `fits: false`.
    """
    case, constants = _case(request)
    found = plan_search.candidates(case, constants)
    own = _own_runs(request, case, constants)
    count = min(top, max(1, int(found.fits.sum())))
    plans = [found.one(index) for index in range(count)]
    shifts = [_shift(case, plan, own, constants) for plan in plans]
    told = _told([case] * count, found.at(slice(count)), constants, shifts)
    if not told[0]["ok"]:
        raise InputError(told[0]["error"])
    return [each for each in told if each["ok"]]


def _case(request: Mapping[str, Any]) -> tuple[TrainingCase, Constants]:
    case, constants = parse(request), known.load()
    training_nodes.reject_silent_chip(case.chip, case.precision)
    if case.pages:
        _best([case], constants)
    return case, constants


def _best(cases: Sequence[TrainingCase], constants: Constants) -> Evaluated:
    """The best plan of each case; states page out of those of which no other plan fits."""
    found = plan_search.best(rows_of(cases, constants))
    short = [case for case, fits in zip(cases, found.fits, strict=True) if case.pages and not fits]
    for case in short:
        training_plans.page_states(case)
    return plan_search.best(rows_of(cases, constants)) if short else found


def sent_bytes(request: Mapping[str, Any]) -> dict[str, float]:
    """Bytes that one chip sends in a step of a request's best plan, by kind of exchange. Raises `InputError`."""
    case, constants = _case(request)
    best = plan_search.best(rows_of([case], constants))
    sent = step_bytes(case.model, best.plan, training_nodes.scaleup(case.chip))
    return {kind: float(np.ravel(size)[0]) for kind, size in sent.items()}
