"""Bad parameters: one sentence with the nearest valid name, exit status 2, no file left behind, no kernel started."""

import pytest
from calling import moat_each, one_sentence

from training_moat.catalog import parameters
from training_moat.core.errors import InputError

BAD = {
    "a misspelt name": ("chipz=sn40l", "did you mean 'chips'?"),
    "a name of an earlier edition": ("sequence=10", "'sequence' is called 'seq_len' now"),
    "an unknown chip": ("chips=sn40k", "did you mean 'sn40l'?"),
    "an unknown chip in a list": ("chips=h100-sxm,sn40k", "did you mean 'sn40l'?"),
    "an empty list": ("chips=", "expected a list with at least one entry"),
    "an unknown model": ("model=gpt3-175c", "did you mean 'gpt3-175b'?"),
    "a fraction for a whole number": ("seq_len=4.5", "expected a whole number (tokens), got '4.5'"),
    "none for a whole number": ("seq_len=none", "expected a whole number"),
    "a boolean for a whole number": ("seq_len=true", "expected a whole number"),
    "a number above its range": ("seq_len=1001", "1001 is outside its range, 1 to 1000 tokens"),
    "a number below its range": ("scale=0.01", "outside its range"),
    "not a number": ("scale=nan", "expected a number"),
    "infinity": ("scale=inf", "expected a number"),
    "a word for a number": ("scale=big", "expected a number, got 'big'"),
    "a number for a boolean": ("exact=1", "expected true or false"),
    "an unknown choice": ("precision=fp9", "did you mean 'fp8'?"),
    "no value": ("seq_len", "expected name=value"),
}


CALLS = {
    "a misspelt verb": (["biuld"], "did you mean 'build'?"),
    "a misspelt chapter": (["run", "barz"], "did you mean 'bars'?"),
    "a misspelt option": (["run", "bars", "--sceanrio", "x"], "did you mean '--scenario'?"),
    "no chapter": (["run"], "CHAPTER"),
    "a scenario that is not there": (["run", "bars", "--scenario", "none.yaml"], "no such file"),
    "a chapter without parameters": (["run", "verdict", "-p", "x=1"], "has no parameters"),
    "a misspelt name for the whole book": (["build", "-p", "chipz=sn40l"], "did you mean 'chips'?"),
    "an old name for the whole book": (["build", "-p", "sequence=10"], "is called 'seq_len' now"),
    "a misspelt chapter for the whole book": (
        ["build", "-p", "barz.chips=sn40l"],
        "did you mean 'bars'?",
    ),
    "a misspelt chapter to refresh": (["refresh", "barz"], "did you mean 'bars'?"),
    "a misspelt chapter to describe": (["params", "barz"], "did you mean 'bars'?"),
}


SCENARIOS = {
    "a misspelt key of a scenario": ("chipz: {}", "did you mean 'chips'?"),
    "a misspelt chapter in a scenario": (
        "parameters: {barz: {seq_len: 1}}",
        "did you mean 'bars'?",
    ),
    "a misspelt parameter in a scenario": (
        "parameters: {bars: {seqlen: 1}}",
        "did you mean 'seq_len'?",
    ),
    "a value out of range": ("parameters: {bars: {seq_len: 5000}}", "outside its range"),
    "a boolean for a number": ("parameters: {bars: {seq_len: true}}", "expected a whole number"),
    "a misspelt column": ("chips: {mine: {base: h100-sxm, hbm_bg: 1}}", "did you mean 'hbm_gb'?"),
    "no YAML": ("a: [1", "YAML"),
}


@pytest.fixture(scope="module")
def answers(small_book, tmp_path_factory):
    """What the command says to every bad call above, by its name."""
    calls = {kind: ["run", "bars", "-p", given, "--out", "new"] for kind, (given, _) in BAD.items()}
    calls |= {kind: arguments for kind, (arguments, _) in CALLS.items()}
    calls |= {kind: ["run", "bars", "--scenario", "mine.yaml"] for kind in SCENARIOS}
    calls["an output folder that is a file"] = ["run", "bars", "--out", "taken"]
    folders = {kind: tmp_path_factory.mktemp("call") for kind in calls}
    for kind, (text, _) in SCENARIOS.items():
        (folders[kind] / "mine.yaml").write_text(text)
    (folders["an output folder that is a file"] / "taken").write_text("kept")
    return dict(zip(calls, moat_each([(folders[kind], calls[kind]) for kind in calls], small_book)))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_parameter_is_refused_before_anything_runs(kind, answers):
    assert BAD[kind][1] in one_sentence(answers[kind])
    assert answers[kind].files == []


@pytest.mark.parametrize("kind", CALLS)
def test_a_bad_call_is_refused_with_one_sentence(kind, answers):
    assert CALLS[kind][1] in one_sentence(answers[kind])
    assert answers[kind].files == []


@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_bad_scenario_is_refused_with_one_sentence(kind, answers):
    assert SCENARIOS[kind][1] in one_sentence(answers[kind])
    assert answers[kind].files == ["mine.yaml"]


def test_an_output_folder_that_is_a_file_is_refused(answers):
    answer = answers["an output folder that is a file"]
    assert "expected a folder" in one_sentence(answer) and answer.files == ["taken"]


@pytest.mark.parametrize(
    ("chapter", "old", "new"),
    [
        ("memory", "sequence", "seq_len"),
        ("networking", "chips", "chip_count"),
        ("precision", "cluster_chips", "chip_count"),
    ],
)
def test_an_old_name_points_to_the_new_one(chapter, old, new):
    with pytest.raises(InputError, match=f"'{old}' is called '{new}' now"):
        parameters.convert_all(chapter, {old: 1024})
