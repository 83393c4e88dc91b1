"""JSON lines in, JSON lines out: same order, a bad line answered in its place, the rest still run."""

import json
import os
import threading

import pytest
from calling import moat, one_sentence

from training_moat import cli
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
            "line 4: expected a JSON object, got a list",
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
    assert "did you mean 'training'?" in one_sentence(moat("predict", "trainng"))
    assert "no file" in one_sentence(moat("predict", "serving", tmp_path / "none.jsonl"))


def answered(
    capsys, lines, predicted=lambda cases: [{"id": case["id"], "ok": True} for case in cases]
):
    """Status and answers of the verb to lines, with a predictor of the test's own."""
    status = predict._answer(iter(lines), predicted)
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_of_any_kind_costs_one_line(capsys):
    lines = [
        '{"id": 1}',
        '{"id": 2, "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"id": 3, "x": ' + "9" * 5000 + "}",
        '{"id": 4, "x": 1e999}',
        '{"id": 5}',
    ]
    status, answers = answered(capsys, lines)
    assert status == 1 and [answer["ok"] for answer in answers] == [True, False, False, False, True]
    assert all(len(answer["error"]) < 300 for answer in answers if not answer["ok"])


def test_a_case_that_brings_the_batch_down_costs_one_line(capsys):
    def predicted(cases):
        if any(case["id"] == 2 for case in cases):
            raise OverflowError("x" * 5000)
        return [{"id": case["id"], "ok": True} for case in cases]

    status, answers = answered(capsys, ['{"id": 1}', '{"id": 2}', '{"id": 3}'], predicted)
    assert status == 1 and [answer["ok"] for answer in answers] == [True, False, True]
    assert "OverflowError" in answers[1]["error"] and len(answers[1]["error"]) < 300


def test_an_answer_that_json_cannot_hold_is_an_error_of_its_line(capsys):
    values = iter([1.0, float("inf"), float("nan")])
    status, answers = answered(
        capsys,
        ['{"id": 1}', '{"id": [2]}', '{"id": 3}'],
        lambda cases: [{"id": case["id"], "ok": True, "mfu": next(values)} for case in cases],
    )
    assert status == 1 and [answer["ok"] for answer in answers] == [True, False, False]
    assert "no finite answer" in answers[1]["error"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_other_editors_are_read(encoding, tmp_path, capsys):
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({"id": "größer", **CASE}), encoding=encoding)
    assert cli.main(["predict", "training", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "größer"
    path.write_bytes(b'{"id": "gr\xf6\xdfer"}')
    assert cli.main(["predict", "training", str(path)]) == 2
    assert "expected UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_letters_of_no_known_width_are_one_sentence(encoding, tmp_path, capsys):
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(CASE), encoding=encoding)
    assert cli.main(["predict", "training", str(path)]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1
    assert "expected UTF-8 text (byte" in said.err


def test_a_zero_in_a_line_costs_one_line(tmp_path, capsys):
    path = tmp_path / "cases.jsonl"
    path.write_text(f'{{"id": "\0"}}\n{json.dumps(CASE)}', encoding="utf-8")
    assert cli.main(["predict", "training", str(path)]) == 1
    assert [json.loads(line)["ok"] for line in capsys.readouterr().out.splitlines()] == [
        False,
        True,
    ]


def test_a_pipe_with_a_name_is_read_as_a_file(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(json.dumps(CASE),), daemon=True)
    writer.start()
    assert cli.main(["predict", "training", str(pipe)]) == 0
    writer.join(10)
    assert json.loads(capsys.readouterr().out)["ok"]
    assert cli.main(["predict", "training", str(tmp_path)]) == 2
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('{"id": 1, "chips": 8, "chips" : 16}', "chips"),
        ('{"id": 1, "chip": {"base": "h100-sxm", "hbm_gb": 80, "hbm_gb": 90}}', "hbm_gb"),
        ('{"id": 1, "anchors": [{"chips": 8, "chips": 8}]}', "chips"),
    ],
)
def test_a_field_that_is_given_twice_is_refused(line, name):
    (case,) = predict.parse([line])
    assert f"'{name}' is there twice; expected each once" in case["_bad"]["error"]


def test_a_colon_in_a_name_is_no_field():
    (case,) = predict.parse(['{"id": "a: b", "chips": 8}'])
    assert case == {"id": "a: b", "chips": 8}


def test_a_list_of_chips_shows_the_peak_of_every_sixteen_bits(capsys):
    """V100 multiplies FP16 alone."""
    assert cli.main(["chips", "v100"]) == 0
    head, row = (line.split("  ") for line in capsys.readouterr().out.splitlines())
    assert "fp16_tflops" in "".join(head) and "125" in [cell.strip() for cell in row]


def test_verbs_that_look_at_the_tables_take_a_scenario(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("chips: {falcon-1: {base: h100 SXM5, hbm_gb: 288, name: Falcon One}}")
    (tmp_path / "cases.jsonl").write_text(json.dumps({**CASE, "chip": "falcon one"}))
    given = ["--scenario", str(path)]
    assert cli.main(["predict", "training", str(tmp_path / "cases.jsonl"), *given]) == 0
    assert cli.main(["chips", "falcon", *given]) == 0 and cli.main(["models", "llama", *given]) == 0
    capsys.readouterr()
    search = ["search", "--model", "llama3.1-405b", "--chip", "falcon-1", "--chips"]
    assert cli.main([*search, "1024", *given]) == 0
    assert "90%_range" in capsys.readouterr().out.splitlines()[0]
    assert cli.main([*search, "8", *given]) == 1
    said = capsys.readouterr().out
    assert said.startswith("nothing fits: the least found is ")
    shown = "\n".join(said.splitlines()[1:3])
    assert "e+0" not in shown and "," not in shown, "an hour is 3600 s, to a program as well"
    offered = said.splitlines()[0].split(" of ")[1].split()[0]
    assert f"falcon-1 offers {offered} GiB" in said, "first line and note give one room"
    assert cli.main(["chips", "falcon"]) == 2, "the scenario is not left behind"


@pytest.mark.parametrize(
    "call",
    [
        ["chips", "x" * 5000],
        ["x" * 5000],
        ["run", "memory", "--" + "x" * 5000],
        ["run", "a\nb" * 900],
        ["run", "memory", "-p", "y\n" * 900],
        ["build", "--scenario", "z/" * 900],
        ["build", "--out", "z" * 5000],
        ["search", "--model", "m" * 5000, "--chip", "h100-sxm", "--chips", "8"],
        ["search", "--model", "m", "--chip", "h100-sxm", "--chips", "9" * 5000],
        ["predict", "training", "q" * 5000],
        ["experiment", "e" * 5000],
        ["experiment", "low-precision", "--manifest", "m" * 5000],
    ],
)
def test_a_message_is_one_short_line_whatever_was_pasted(call, capsys):
    try:
        status = cli.main(call)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and said.out == ""
    assert said.err.count("\n") == 1 and len(said.err) <= 300


def test_a_closed_standard_input_and_a_folder_that_is_gone_are_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["predict", "training"]) == 2
    assert "standard input is closed" in capsys.readouterr().err
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["new", "book"]) == 1
    assert capsys.readouterr().err == "moat: the folder in which this was called is gone\n"
