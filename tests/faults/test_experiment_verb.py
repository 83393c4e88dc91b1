"""`moat experiment`: bad calls are one sentence and leave nothing behind."""

import json

import numpy_runs
import pytest

from training_moat import cli


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["low-precison"], "did you mean 'low-precision'"),
        (["low-precision", "--seeds", "1,x"], "expected whole numbers separated by commas"),
        (["low-precision", "--seeds", "3"], "at least two different whole numbers"),
        (["low-precision", "--seeds", "901,902"], "take others"),
        (["low-precision", "--seeds", "1,2,3,4"], "chose the design and cannot test it"),
        (
            ["low-precision", "--manifest", "nowhere.json"],
            "--manifest 'nowhere.json': no such file",
        ),
        (["low-precision", "--workers", "0"], "above 0"),
    ],
)
def test_bad_calls(arguments, says, tmp_path, capsys):
    out = tmp_path / "results"
    assert cli.main(["experiment", *arguments, "--out", str(out)]) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert not out.exists()


SOUND = {"form": "quick", "design": {"seeds": [1, 2], "steps": 1, "transfer_recipes": ["fp32"]}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seeds": []}, "seeds is (), expected a list with at least one entry"),
        ({"seeds": [1]}, "at least two different whole numbers"),
        ({"seeds": 3}, "seeds is 3, expected a list"),
        ({"log2_rates": []}, "log2_rates is ()"),
        ({"log2_rates": ["x"]}, "expected numbers"),
        ({"steps": 0}, "steps is 0, expected a whole number above 0"),
        ({"transfer_recipes": ["fp31"]}, "did you mean 'fp32'"),
        ({"sedes": [1, 2]}, "cannot read a design"),
    ],
)
def test_a_manifest_without_runs_is_refused_and_writes_over_nothing(change, says, tmp_path, capsys):
    out = tmp_path / "results"
    out.mkdir()
    (out / numpy_runs.TABLE).write_text("kept")
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(SOUND | {"design": SOUND["design"] | change}))
    arguments = ["experiment", "low-precision", "--manifest", str(manifest), "--out", str(out)]
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1
    assert [path.name for path in out.iterdir()] == [numpy_runs.TABLE]
    assert (out / numpy_runs.TABLE).read_text() == "kept"


def test_results_of_another_design_are_not_written_over(tmp_path, capsys):
    (tmp_path / numpy_runs.TABLE).write_text("kept")
    assert cli.main(["experiment", "low-precision", "--quick", "--out", str(tmp_path)]) == 2
    assert "results of another design" in capsys.readouterr().err
    assert (tmp_path / numpy_runs.TABLE).read_text() == "kept"
