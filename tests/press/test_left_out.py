"""A number that nobody published: a reader's run says which and goes on, the book's own run stops."""

import warnings

import pytest

from training_moat.catalog import chips as catalog
from training_moat.contest import coalitions, counterfactual, reference_jobs
from training_moat.core.errors import (
    Incomparable,
    InputError,
    LeftOutWarning,
    Unpublished,
    answered,
)
from training_moat.press import forking
from training_moat.press.left_out import LeftOut
from training_moat.press.running import Job, execute

MISSING = Unpublished("chip x: no peak published")
CELL = "a, b = f()\nfor c in a:\n    d = c"


def missing(name):
    return NameError(f"name '{name}' is not defined", name=name)


@pytest.fixture()
def reader(monkeypatch):
    monkeypatch.delenv("MOAT_STRICT", raising=False)


def test_what_hangs_on_a_missing_number_is_left_out(reader):
    left_out = LeftOut()
    assert "chip x: no peak published" in left_out.instead(MISSING, CELL)
    assert all(left_out.instead(missing(name), f"{name}1 = {name}") for name in "abcd")
    assert left_out.instead(missing("a1"), "show(a1)")


def test_every_other_error_stops(reader, monkeypatch):
    left_out = LeftOut()
    left_out.instead(MISSING, CELL)
    others = [missing("e"), InputError("bad"), KeyError("a"), AssertionError()]
    assert not any(left_out.instead(error, "a") for error in others)
    monkeypatch.setenv("MOAT_STRICT", "1")
    assert not left_out.instead(MISSING, CELL)


@pytest.mark.skipif(not forking.possible(), reason="this system cannot fork")
@pytest.mark.slow
def test_a_chip_without_a_published_peak_keeps_its_data_sheet(tmp_path):
    asked = {"chip": "sohu", "chips": ["gaudi2", "mtt-s5000"]}
    job = Job("challenger", tmp_path / "challenger.ipynb", asked)
    execute(job)
    words = job.target.read_text(encoding="utf-8")
    assert "chip sohu: no peak published" in words and '"output_type": "error"' not in words
    assert "Left out here and below: chip mtt-s5000: no date" in words
    assert "The chosen challengers on the job of their day." in words
    assert "Sohu: published numbers" in words and "Etched: what it did" in words


def halves(name):
    if name == "x":
        raise MISSING
    return name


def test_one_of_several_is_left_out_with_its_sentence():
    with pytest.warns(LeftOutWarning, match="chip x: no peak published"):
        assert answered(halves, "axb") == ["a", "b"]
    with pytest.raises(Unpublished, match="chip x: no peak published"):
        answered(halves, "x")
    assert answered(halves, "") == []


def test_one_of_several_whose_yardstick_cannot_do_the_job_is_left_out(reader):
    """A chip of the V100's day put through a run that no number of V100s ends in time: the page goes on with the others."""
    chips, job = ["tpu-v3", "gaudi2"], reference_jobs.job("llama3.1-405b")
    with pytest.raises(Incomparable, match="v100 cannot do Llama 3.1 405B in time"):
        coalitions.worth(catalog.chip("tpu-v3"), catalog.chip("v100"), job)

    def split(name):
        if name == chips[0]:
            raise Incomparable("v100 cannot do Llama 3.1 405B in time")
        return name

    with pytest.warns(LeftOutWarning, match="v100 cannot do"):
        assert answered(split, chips) == ["gaudi2"]
    assert "left out: v100 cannot do" in LeftOut().instead(Incomparable("v100 cannot do it"), CELL)


@pytest.fixture()
def hearing():
    with warnings.catch_warnings():
        yield LeftOut


def test_a_page_says_once_what_it_went_on_without(reader, hearing):
    left_out = hearing()
    left_out.listen()
    assert left_out.beside() == ""
    answered(halves, "axb")
    answered(halves, "axb")
    assert left_out.beside().count("chip x: no peak published") == 1
    answered(halves, "axb")
    assert left_out.beside() == ""


def test_the_books_own_page_stops_at_what_it_would_go_on_without(hearing, monkeypatch):
    monkeypatch.setenv("MOAT_STRICT", "1")
    hearing().listen()
    with pytest.raises(LeftOutWarning):
        answered(halves, "axb")


def test_challengers_without_a_needed_number_do_not_cost_the_others_their_comparison():
    with pytest.warns(LeftOutWarning, match="chip mtt-s5000: no date"):
        (found,) = counterfactual.splits(["gaudi2", "mtt-s5000"])
    assert found.chip.id == "gaudi2"
