"""Findings stop the book's own build and no reader's re-run."""

import pytest

from training_moat.figures import expect, findings


def test_a_finding_that_holds_says_nothing(monkeypatch):
    monkeypatch.setenv(findings.STRICT, "1")
    assert expect(1 < 2, "one is less than two") is None


@pytest.mark.parametrize("condition", [False, None, float("nan")])
def test_a_broken_finding_fails_at_the_defaults(monkeypatch, condition):
    monkeypatch.setenv(findings.STRICT, "1")
    with pytest.raises(AssertionError, match="no longer holds: more is faster"):
        expect(condition, "more is faster")


def test_a_broken_finding_is_said_in_a_re_run(monkeypatch):
    shown = []
    monkeypatch.delenv(findings.STRICT, raising=False)
    monkeypatch.setattr(findings, "display", shown.append)
    expect(float("nan"), "more is faster")
    assert "no longer holds that more is faster" in str(shown[0])


def test_a_sentence_records_its_numbers():
    from training_moat.figures import publishing, sentence

    shown = sentence("Half of it.", share=1 / 2, third=1 / 3, nothing=float("nan"), who="A")
    kept = {"share": 0.5, "third": 0.333333, "nothing": None, "who": "A"}
    assert shown.metadata == {publishing.RECORD: kept}
