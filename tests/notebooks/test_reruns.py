"""Odd but valid re-runs end in a page whose sentences are whole; the full list is `python -m benchmarks.reruns`."""

import os

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks import machines, reruns
from training_moat.press import forking, notebooks

SAMPLE = 40


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MOAT_LONG"), reason="minutes: set MOAT_LONG=1")
@pytest.mark.parametrize("chapter", notebooks.chapter_names())
def test_odd_re_runs_give_whole_pages(chapter, monkeypatch):
    import vl_convert

    monkeypatch.setattr(vl_convert, "vegalite_to_png", vl_convert.vegalite_to_png)
    forking.preload()
    machines.draw_nothing()
    asked = [r for r in reruns.sampled(notebooks.chapter_names(), SAMPLE) if r.chapter == chapter]
    assert {str(rerun): found for rerun in asked if (found := reruns.faults(rerun))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "costs nan dollars",
        "of 1 chips",
        "between 3 and 3",
        "from 2.5 to 2.5 times",
        "-3 days",
        "1e-07 s",
    ],
)
def test_a_broken_sentence_is_seen(text):
    output = new_output("display_data", data={"text/markdown": text})
    assert reruns.broken(new_notebook(cells=[new_code_cell("x", outputs=[output])]))


@pytest.mark.parametrize(
    "text", ["11 chips", "between 3 and 4", "2.5 to 25 times", "financial information"]
)
def test_a_whole_sentence_is_not(text):
    output = new_output("display_data", data={"text/markdown": text})
    assert not reruns.broken(new_notebook(cells=[new_code_cell("x", outputs=[output])]))
