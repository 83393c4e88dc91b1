"""Recorded requests are answered as before: a change that moves a prediction says so by storing them anew."""

import pytest
import recording

DIGEST = "704e2925d60f06844288014c1d87b01c0bd4dcc2d030170e1fe424ce9a3e9206"
"""Of the two thousand requests, drawn by chance in November 2026; their answers follow the model."""


@pytest.mark.parametrize(
    "places",
    [range(1), pytest.param(range(1, 8), marks=pytest.mark.slow)],
    ids=["one in eight", "the others"],
)
def test_recorded_requests_are_answered_as_before(places):
    records = recording.recorded()
    assert recording.digest(records) == DIGEST and len(records) == 2000
    chosen = [record for place, record in enumerate(records) if place % 8 in places]
    wrong = [
        (before["request"], list(recording.moved(before["answer"], now["answer"])))
        for before, now in zip(chosen, recording.answered(chosen), strict=True)
    ]
    wrong = [(request, moved) for request, moved in wrong if moved]
    said = f"{len(wrong)} of {len(chosen)} answers moved, the first: {wrong[:1]}"
    assert not wrong, f"{said}; if that is meant, `python tests/recording.py` stores them"


def test_a_moved_answer_is_seen():
    (record,) = [one for one in recording.recorded()[:50] if one["answer"]["ok"]][:1]
    answer = record["answer"]
    assert not list(recording.moved(answer, recording.short(answer)))
    slower = answer | {"step_time_s": answer["step_time_s"] * 1.002}
    assert [place for place, *_ in recording.moved(answer, slower)] == ["step_time_s"]
    assert list(recording.moved(answer, answer | {"fits": not answer["fits"]}))
