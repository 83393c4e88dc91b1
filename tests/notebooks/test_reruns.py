"""Odd but valid re-runs end in a page whose sentences are whole; the full list is `python -m benchmarks.reruns`."""

import random

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks import machines, reruns
from benchmarks.reruns import Rerun
from training_moat.catalog import parameters
from training_moat.figures import offline
from training_moat.press import forking, notebooks

ODD = (
    Rerun("memory", {"chips": ["corsair"]}),
    Rerun("validation", {"chips": ["gc200"]}),
    Rerun("validation", {"chips": ["gh200"]}),
    Rerun("history", {"from_year": 2030}),
    Rerun("scorecard", {"chips": ["wse-3t"], "max_days": 1}),
)
"""One of each kind of fault that was found: nothing to compare, one row, nothing at all, no price. Other sides of a
question are `test_market_runs`'s."""


@pytest.mark.slow
@pytest.mark.parametrize("rerun", ODD, ids=str)
def test_odd_re_runs_give_whole_pages(rerun, monkeypatch):
    monkeypatch.setattr(offline, "ordered_png", offline.ordered_png)  # set back afterwards
    forking.preload(draws=False)
    machines.draw_nothing()
    assert reruns.faults(rerun) == []


def test_what_is_drawn_for_several_parameters_is_valid():
    drawn = list(reruns.mixed(notebooks.chapter_names(), 20, random.Random(1)))
    for rerun in drawn:
        parameters.convert_all(rerun.chapter, rerun.parameters)
    assert any(len(rerun.parameters) == 3 for rerun in drawn)
    assert any(value is None for rerun in drawn for value in rerun.parameters.values())


@pytest.mark.parametrize(
    "text",
    [
        "costs nan dollars",
        "of 1 chips",
        "between 3 and 3",
        "from 2.5 to 2.5 times",
        "-3 days",
        "within 1 days",
        "in use (Monte Carlo, 5 to 95%: )",
        "none is enough (), since",
        "1e-07 s",
        "The fastest is H100 SXM5 and the slowest is H100 SXM5.",
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


def test_a_name_escaped_for_markdown_is_seen_in_a_title_alone():
    text = r"A \& B"
    page = f'<p class="moat-title">{text}</p>'
    shown = [
        new_output("display_data", data={form: page}) for form in ("text/markdown", "text/html")
    ]
    told = [reruns.broken(new_notebook(cells=[new_code_cell("x", outputs=[one])])) for one in shown]
    assert [bool(found) for found in told] == [False, True]
