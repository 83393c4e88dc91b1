"""A number of a user's chip beyond all others is doubted on standard error, and answered all the same."""

import pytest

from training_moat import cli
from training_moat.catalog import unlikely
from training_moat.predict import serving, training
from training_moat.press.folders import ROOT

MINE = "title: t\nchips:\n  mine: {base: h100-sxm, %s}\n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("hbm_tb_per_s: 3350", "hbm_tb_per_s: 3,350 TB/s is 144 times the most of any chip"),
        ("price_usd: 25", "price_usd: 25 USD is 0.0"),
        ("hbm_gb: 192000", "hbm_gb: 192,000 GB is "),
    ],
)
def test_another_unit_is_doubted(given, says, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE % given)
    assert cli.main(["chips", "mine", "--scenario", str(path)]) == 0
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and "mine" in shown.out


def test_it_is_doubted_in_a_comparison_too(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE % "hbm_tb_per_s: 3350")
    assert cli.main(["compare", str(path), str(path)]) == 0
    assert "3,350 TB/s is 144 times the most of any chip" in capsys.readouterr().err


def test_a_chip_like_others_is_not(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE % "hbm_gb: 0, hbm_tb_per_s: 12, price_usd: null")
    assert unlikely.of_file(path) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "scenarios").glob("*.y*ml")), ids=lambda one: one.stem
)
def test_no_ready_made_scenario_is_doubted(path):
    assert unlikely.of_file(path) == []


@pytest.mark.parametrize("kind", [training, serving])
def test_an_answer_doubts_the_chip_it_was_asked_about(kind):
    case = {"model": "llama3.1-8b", "chips": 8, "chip": {"base": "h100-sxm", "hbm_tb_per_s": 3350}}
    case |= {"batch": 8} if kind is serving else {}
    plain = case | {"chip": {"base": "h100-sxm", "hbm_tb_per_s": 3.35}}
    doubted, usual = kind.predict([case, plain])
    assert doubted["ok"] and any("is the unit right?" in note for note in doubted["notes"])
    assert not any("unit right" in note for note in usual["notes"])


@pytest.mark.parametrize("kind", [training, serving])
def test_a_memory_whose_rate_nobody_says_is_said_to_be_left_out(kind):
    """Beside the memory on the chip that its base has; the base's own rate is one."""
    case = {"model": "llama3.1-8b", "chips": 8}
    bare, rated, based = kind.predict(
        [
            case | {"chip": {"base": "groq-lpu-v1", "hbm_gb": 96}},
            case | {"chip": {"base": "groq-lpu-v1", "hbm_gb": 96, "hbm_tb_per_s": 3}},
            case | {"chip": {"base": "h100-sxm", "hbm_gb": 96}},
        ]
    )
    left = "chip, column hbm_gb: a memory without hbm_tb_per_s is left out"
    assert left in bare["notes"] and not bare["fits"] and rated["fits"]
    assert left not in rated["notes"] + based["notes"]
