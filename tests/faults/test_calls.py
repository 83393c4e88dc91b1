"""Calls that are wrong before any verb begins, and what each verb says of itself."""

import os
import sys

import pytest

from training_moat import cli
from training_moat.press.commands import VERBS
from training_moat.press.folders import ROOT


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--verison"], "moat: unknown option '--verison'; did you mean '--version'?"),
        (["--root", "x"], "moat: unknown verb 'x'; expected one of: new, build"),
        (["-x"], "moat: unknown option '-x'; see `moat --help`."),
        (["rnu"], "moat: unknown verb 'rnu'; did you mean 'run'?"),
        (["run"], "moat run: missing: CHAPTER; see `moat run --help`."),
        (["run", "memory", "--ot", "x"], "moat run: unknown option '--ot'; did you mean '--out'?"),
        (["run", "memory", "--out="], "moat run: --out is empty; expected a value."),
        (["run", "memory", "more"], "moat run: 'more' is one word too many"),
        (
            ["experiment", "low-precision", "--quick", "--manifest", "m"],
            "moat experiment: --manifest and --quick exclude each other; give one.",
        ),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, says, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    shown = capsys.readouterr()
    assert caught.value.code == 2 and not shown.out
    assert shown.err.startswith(says) and shown.err.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_says_what_it_does_in_its_own_words(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # in a narrow window words are broken at their hyphens
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert VERBS[verb].help[1:] + "." in shown, "names such as JSON and Dask keep their capitals"


def test_a_closed_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["chips", "cerebras"]) == 0
    assert sys.stdout.writable() and sys.stderr.writable()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no such file system here")
@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "default", "groq-with-hbm", "--out", "/proc/moat.html"],
        ["sweep", str(ROOT / "sweeps" / "chips-and-clusters.yaml"), "--out", "/proc/moat.parquet"],
        ["experiment", "low-precision", "--quick", "--out", "/proc/moat"],
        ["run", "two_chips", "--out", "/proc/moat"],
        ["new", "/proc/moat"],
    ],
)
def test_a_place_that_takes_no_file_is_refused_before_the_work(arguments, capsys):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert not shown.out and shown.err.endswith("nothing can be written in /proc.\n")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["predict", "trainng"], "training"),
        (["calibrate", "trainng"], "training"),
        (["run", "chapters/two_chips.ipynb"], "two_chips"),
    ],
)
def test_a_misspelt_kind_is_guessed(arguments, meant, capsys):
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"did you mean '{meant}'?\n")


@pytest.mark.parametrize(
    "verb", [["sweep", "none.yaml", "--out", "x.parquet"], ["experiment", "low-precision"]]
)
def test_no_work_is_done_by_no_workers(verb, capsys):
    assert cli.main([*verb, "--workers", "0"]) == 2
    assert "--workers 0: expected a whole number above 0" in capsys.readouterr().err
    assert cli.main([*verb, "--workers", "100000"]) == 2
    assert "on each core of this machine" in capsys.readouterr().err
