"""A number that nobody published: a reader's run says which and goes on, the book's own run stops."""

import pytest

from training_moat.core.errors import InputError, Unpublished
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
    job = Job("challenger", tmp_path / "challenger.ipynb", {"chip": "sohu"})
    execute(job)
    words = job.target.read_text(encoding="utf-8")
    assert "chip sohu: no peak published" in words and '"output_type": "error"' not in words
    assert "Sohu: published numbers" in words and "Etched: what it did" in words
