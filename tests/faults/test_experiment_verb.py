"""`moat experiment`: bad calls are one sentence and leave nothing behind."""

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
        (["low-precision", "--manifest", "nowhere.json"], "nowhere.json: cannot read a design"),
        (["low-precision", "--workers", "0"], "above 0"),
    ],
)
def test_bad_calls(arguments, says, tmp_path, capsys):
    out = tmp_path / "results"
    assert cli.main(["experiment", *arguments, "--out", str(out)]) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert not out.exists()
