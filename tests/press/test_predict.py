"""JSON lines in, JSON lines out: same order, a bad line answered in its place, the rest still run."""

import json

import pytest
from calling import moat, one_sentence

from training_moat.press.verbs import predict

CASE = {
    "model": "llama3.1-70b",
    "chip": "h100-sxm",
    "chips": 64,
    "seq_len": 4096,
    "global_batch": 128,
}


def test_lines_keep_their_order_and_bad_ones_their_place():
    lines = [
        '{"id": "a"}\n',
        "\n",
        "{bad\n",
        "[1]\n",
        '{"id": "b", "x": NaN}\n',
        '"text"\n',
        '{"id": "c"}',
    ]
    parsed = list(predict.parse(lines))
    assert [case.get("id") for case in parsed if "_bad" not in case] == ["a", "c"]
    assert ["_bad" in case for case in parsed] == [False, True, True, True, True, False]
    for case, words in zip(
        parsed[1:5],
        [
            "line 3: not valid JSON",
            "line 4: expected a JSON object, got list",
            "line 5: not valid JSON (NaN",
            "line 6",
        ],
    ):
        assert case["_bad"]["ok"] is False and words in case["_bad"]["error"]


def test_every_answer_stands_where_its_case_stood(monkeypatch, capsys):
    monkeypatch.setattr(predict, "_BATCH", 2)
    status = predict._answer(
        iter(['{"id": 1}', "no", '{"id": 2}', '{"id": 3}', "[]"]),
        lambda cases: [{"id": case["id"], "ok": case["id"] != 2} for case in cases],
    )
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["id"], answer["ok"]) for answer in answers] == [
        (1, True),
        (None, False),
        (2, False),
        (3, True),
        (None, False),
    ]
    assert status == 1


def test_the_command_answers_training_and_says_what_is_wrong():
    lines = [
        json.dumps({"id": "good", **CASE}),
        "no json",
        json.dumps({"id": "bad", **CASE, "chip": "h100-smx"}),
    ]
    done = moat("predict", "training", stdin="\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and done.stderr == ""
    assert [answer["ok"] for answer in answers] == [True, False, False]
    assert sum(answers[0]["seconds"].values()) == pytest.approx(answers[0]["step_time_s"])
    assert "did you mean 'h100-sxm'" in answers[2]["error"]


def test_a_wrong_call_is_one_sentence(tmp_path):
    assert "expected 'training' or 'serving'" in one_sentence(moat("predict", "trainng"))
    assert "no file" in one_sentence(moat("predict", "serving", tmp_path / "none.jsonl"))
