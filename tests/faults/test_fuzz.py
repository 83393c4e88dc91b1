"""Random inputs to the command, the short form; all of them are `python -m benchmarks.fuzz`."""

import json
from collections import Counter
from unittest import mock

import pytest

from benchmarks import fuzz, fuzz_words
from benchmarks.fuzz_inputs import Call
from training_moat import cli


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "share"), [(True, 0.03), (False, 0.01)])
def test_no_input_brings_a_fault(bad, share):
    counts = fuzz.MALFORMED if bad else fuzz.VALID
    found = {kind: list(fuzz.faults(kind, int(n * share), bad)) for kind, n in counts.items()}
    assert found == dict.fromkeys(counts, [])


def test_the_counts_are_what_was_asked():
    malformed = {kind: count for kind, count in fuzz.MALFORMED.items() if kind != "words"}
    assert sum(malformed.values()) == 2_000 and sum(fuzz.VALID.values()) == 20_000
    verbs = Counter(verb for verb, _ in fuzz_words.places())
    each = fuzz.MALFORMED["words"] / len(fuzz_words.places())
    assert set(verbs) == {"", *cli.VERBS} and each * min(verbs.values()) >= 60


@pytest.mark.parametrize(
    ("does", "fault"),
    [
        (lambda _: 1 / 0, "traceback: ZeroDivisionError"),
        (lambda _: 3, "exit status 3"),
        (lambda _: open("half", "w").close() or 0, "left behind: half"),
        (lambda _: fuzz.sys.stderr.write("moat: a\nb\n") and 2, "message of 2 lines"),
        (lambda _: fuzz.sys.stderr.write("moat: " + "x" * 300) and 2, "message of 1 lines, 306"),
        (lambda _: fuzz.sys.stderr.write("moat: no\n") and 1, "exit status 1 with a message"),
    ],
)
def test_a_fault_of_the_command_is_seen(does, fault):
    with mock.patch.object(cli, "main", does):
        assert any(fault in said for said in fuzz.common(fuzz.ask(Call(("chips",)))))


GOOD = {
    "ok": True, "step_time_s": 2.0, "step_time_s_p05": 1.0, "step_time_s_p95": 3.0, "mfu": 0.5,
    "seconds": {"compute": 1.5, "other": 0.5}, "memory_gib": {"weights": 1.0, "total": 1.0}, "plan": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"mfu": 1.5},
        {"step_time_s_p05": 2.5},
        {"seconds": {"compute": 3.0, "other": -1.0}},
        {"seconds": {"compute": 1.0}},
        {"memory_gib": {"weights": 0.0, "total": 0.0}},
        {"memory_gib": {"weights": 1.0, "total": 2.0}},
        {"ok": False, "error": "cannot be answered (KeyError: 'x')."},
        {"ok": False, "error": "x" * 400},
    ],
    ids=str,
)
def test_an_absurd_answer_is_seen(wrong):
    assert not list(fuzz.line_faults("training", json.dumps(GOOD)))
    assert list(fuzz.line_faults("training", json.dumps(GOOD | wrong)))


ROW = {
    "error": "", "step_time_s": 2.0, "step_time_s_p05": 1.0, "step_time_s_p95": 3.0, "mfu": 0.5,
    "seconds.compute": 2.0, "memory_gib.weights": 1.0, "memory_gib.total": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("wrong", [{"mfu": 1.5}, {"seconds.compute": 1.0}, {"error": "a\nb"}])
def test_an_absurd_row_of_a_sweep_is_seen(wrong):
    def found(row):
        said = fuzz.Said(0, "", "", (), 0.0, table=fuzz.pd.DataFrame([row]))
        return list(fuzz.table_faults(said, "training"))

    assert not found(ROW) and found(ROW | wrong)


HEAD = "tp step_s mfu fits"


@pytest.mark.parametrize("rows", ["1 2 0.5 yes\n1 1 0.5 yes", "1 2 1.5 yes", "1 nan 0.5 yes", ""])
def test_an_absurd_answer_of_a_search_is_seen(rows):
    def found(rows):
        said = fuzz.Said(0, f"{HEAD}\n{rows}\n", "", (), 0.0)
        return list(fuzz.printed_faults(Call(("search", "--model")), said))

    assert not found("1 1 0.5 yes\n1 2 0.5 yes\nnote: x") and found(rows)


def test_a_row_that_was_not_asked_for_is_seen():
    said = fuzz.Said(0, "id name\nh100-sxm H100\nsn40l SN40L\n", "", (), 0.0)
    assert list(fuzz.printed_faults(Call(("chips", "h100")), said))
