"""Evaluations per second and the time of a plan search, ours and the peers', round by round in one run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from training_moat.predict import training

from .ours import GPT3, GPT3_IN_2021, Search, command_line_seconds, free_requests
from .peers import Peer
from .timing import Rate, cpu_seconds, rate

OURS = "training-moat"
PUBLISHED = ((8, 8), (8, 16))
"""Tensor and pipeline parallel sizes of Narayanan et al. 2021 near this size: 8 x 8 for 145B (table 1) and, as its
8 x 12 for 175B (table 2) does not divide 4,096 chips, the next 8 x 16."""


@dataclass(frozen=True)
class Size:
    """How much is done per repeat."""

    repeats: int = 5
    singles: int = 2000
    batches: tuple[int, ...] = (100_000, 1_000_000)
    lines: int = 40_000
    free_lines: int = 20_000
    peer_plans: int = 300


TINY = Size(repeats=1, singles=20, batches=(1000,), lines=5, free_lines=3, peer_plans=5)


@dataclass(frozen=True)
class Timed:
    """One kind of work of one system."""

    work: str
    system: str
    rate: Rate


@dataclass(frozen=True)
class Found:
    """One plan search: plans tried, its rate (searches per CPU second), the winner and its predicted step."""

    system: str
    how: str
    plans: int
    rate: Rate
    winner: dict[str, Any]
    step_seconds: float


def evaluations(peers: dict[str, Peer], size: Size) -> list[Timed]:
    """Evaluations per CPU second, ours and the peers', measured in turn in every repeat."""
    search = Search(GPT3)
    counts: dict[tuple[str, str], int] = {}
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    pieces = {("one plan a call", OURS): (size.singles, search.singles(size.singles))}
    pieces |= {(f"{n:,} plans a call", OURS): (n, search.batch(n)) for n in size.batches}
    requests = search.requests(size.lines)
    free = free_requests(size.free_lines)
    pieces["requests with their plan, in process", OURS] = (
        size.lines,
        lambda: training.predict(requests),
    )
    pieces["requests that leave the plan free, in process", OURS] = (
        size.free_lines,
        lambda: training.predict(free),
    )
    commands = {"with their plan": requests, "that leave the plan free": free}
    plans = list(islice(cycle(search.for_peers()), size.peer_plans))
    for repeat in range(size.repeats + 1):
        measured = {key: (count, cpu_seconds(work)) for key, (count, work) in pieces.items()}
        for which, lines in commands.items():
            work = f"JSON lines {which}, moat predict training"
            measured[work, OURS] = len(lines), command_line_seconds(lines)
        for name, peer in peers.items():
            measured["one plan a call", name] = (
                len(plans),
                peer.ask("predict", cases=plans)["cpu_s"],
            )
        for key, (count, seconds) in measured.items():
            counts[key] = count
            # The first round fills caches.
            if repeat:
                spent[key].append(seconds)
    return [
        Timed(work, system, rate(counts[work, system], each))
        for (work, system), each in spent.items()
    ]


def searches(peers: dict[str, Peer], size: Size) -> list[Found]:
    """The search for the fastest plan of GPT-3 175B on 4,096 A100: ours, and every peer's."""
    found = [
        _ours(GPT3, "its own search, software of today", size),
        _ours(GPT3_IN_2021, "the same, software of 2021", size),
    ]
    cases = Search(GPT3).for_peers()
    for name, peer in peers.items():
        found.append(_over_our_plans(name, peer, cases, size))
    if "mlsysim" in peers:
        found.append(_own_search("mlsysim", peers["mlsysim"], cases[0], size))
    return found


def published() -> list[Found]:
    """Our best plan with the parallel sizes of the published runs."""
    return [
        _ours(GPT3 | {"tp": tp, "pp": pp}, f"published sizes {tp} x {pp}", TINY)
        for tp, pp in PUBLISHED
    ]


def _ours(request: dict[str, Any], how: str, size: Size) -> Found:
    search = Search(request)
    best = search.best()
    spent = [cpu_seconds(search.best) for _ in range(size.repeats)]
    return Found(
        OURS, how, len(search.case.plans), rate(1, spent), best["plan"], best["step_time_s"]
    )


def _over_our_plans(name: str, peer: Peer, cases: list[dict[str, Any]], size: Size) -> Found:
    answers = [peer.ask("predict", cases=cases) for _ in range(size.repeats)]
    outcomes = answers[0]["outcomes"]
    fitting = [
        (outcome[0], index) for index, outcome in enumerate(outcomes) if outcome and outcome[1]
    ]
    seconds, index = min(fitting)
    spent = [answer["cpu_s"] for answer in answers]
    return Found(
        name, "called on each of our plans", len(cases), rate(1, spent), cases[index], seconds
    )


def _own_search(name: str, peer: Peer, case: dict[str, Any], size: Size) -> Found:
    answers = [peer.ask("search", case=case) for _ in range(size.repeats)]
    best = answers[0]["best"]
    spent = [answer["cpu_s"] for answer in answers]
    return Found(name, "its own search", answers[0]["plans"], rate(1, spent), best, best["seconds"])
