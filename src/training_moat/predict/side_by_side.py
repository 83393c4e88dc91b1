"""Searches that ask for one prediction after another, run step by step beside one another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


def run(
    searches: Sequence[Generator[list[Asked], list[Answer], Result]],
    answered: Callable[[list[Asked]], Sequence[Answer]],
) -> list[Result]:
    """What the searches return. All that they ask for at a time is answered at once, which costs little more than one of
    it; a search gets its answers in the order in which it asked."""
    whole, answers = beside(searches), None
    while True:
        try:
            asked = whole.send(answers)
        except StopIteration as end:
            return end.value
        answers = answered(asked)


def beside(
    searches: Sequence[Generator[list[Asked], list[Answer], Result]],
) -> Generator[list[Asked], Any, list[Result]]:
    """Several searches as one, which asks for all that they ask for at a time."""
    found: dict[int, Result] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(searches)))
    while answers:
        asked: dict[int, list[Asked]] = {}
        for place, answer in answers.items():
            try:
                asked[place] = searches[place].send(answer)
            except StopIteration as end:
                found[place] = end.value
        if asked:
            every = iter((yield [one for own in asked.values() for one in own]))
        answers = {place: [next(every) for _ in own] for place, own in asked.items()}
    return [found[place] for place in range(len(searches))]
