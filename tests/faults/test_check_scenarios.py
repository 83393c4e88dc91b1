"""`moat check` looks into every scenario file."""

import pytest

from training_moat.catalog import checking


def test_a_good_scenario_passes(project):
    (project / "scenarios" / "good.yaml").write_text(
        "title: x\nchips: {big: {base: sn40l, hbm_gb: 128}}\n", encoding="utf-8"
    )
    assert checking.run(project) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "chips: {big: {base: sn4Ol}}",
            "bad.yaml, chips 'big', base: unknown chip 'sn4Ol'; did you mean 'sn40l'?",
        ),
        (
            "chips: {big: {base: sn40l, hbm_gb: much}}",
            "bad.yaml, chips 'big', column hbm_gb: 'much' is wrong",
        ),
        ("chipz: {}", "bad.yaml: unknown key 'chipz'; did you mean 'chips'?"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_bad_scenario_is_one_sentence(project, text, sentence):
    (project / "scenarios" / "bad.yaml").write_text(text, encoding="utf-8")
    (found,) = [str(problem) for problem in checking.run(project)]
    assert sentence in found


def test_a_broken_table_hides_no_other_problem_and_stops_the_scenarios(project):
    (project / "scenarios" / "bad.yaml").write_text("chipz: {}", encoding="utf-8")
    (project / "data" / "chips.csv").unlink()
    assert [str(problem) for problem in checking.run(project)] == [
        "data/chips.csv: expected this file; datapackage.json names it"
    ]
