"""The market chapter re-runs under odd parameters: no finding stops it, no sentence breaks."""

import re
from types import SimpleNamespace

import cells
import nbformat
import pytest

from training_moat import figures
from training_moat.catalog import parameters
from training_moat.figures import findings, offline, publishing
from training_moat.inquiry import market
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS

NOTEBOOK = nbformat.read(CHAPTERS / "market.ipynb", as_version=4)
ODD = {
    "an early year": {"year": 2022},
    "the last forecast": {"year": 2030},
    "the world in operations": {"lab": "world", "unit": "flop", "definition": "final_run"},
    "DeepSeek with post-training": {
        "lab": "deepseek",
        "definition": "all_training",
        "unit": "chip_hours",
    },
    "hardly a token": {"served_tokens_t": 0.01},
    "tokens without end": {"served_tokens_t": 1e9, "lab": "world"},
    "idle chips, full cache": {"mfu_inference": 0.001, "cache_share": 0.99},
    "research without end": {"rnd_multiplier": 100, "post_training_multiplier": 100},
    "a giant": {"active_params_b": 100_000, "lab": "world"},
    "a toy run": {"final_run_flop": 1e21},
    "all rollouts, no cache": {"rollout_share": 1, "cache_share": 0, "lab": "deepseek"},
    "three days": {"life_months": 0.1},
    "few draws from another seed": {},
    "everything told": {
        "lab": "deepseek",
        "rnd_multiplier": 1,
        "post_training_multiplier": 1,
        "training_usd_per_chip_hour": 0.01,
        "serving_usd_per_chip_hour": 1000,
    },
}
FEW = {"draws": 1000, "seed": 999_999}
"""Of every run here, and odd themselves: what other parameters do not reach says what it says with these."""
BROKEN = re.compile(r"\bnan\b|\binf\b|\bNone\b|unknown|\bNaN\b|e[+-]\d\d|without limit")


@pytest.fixture
def quiet(monkeypatch):
    """A book that speaks where a finding fails, and draws and shows nothing."""
    monkeypatch.delenv(findings.STRICT, raising=False)
    monkeypatch.setattr(offline, "ordered_png", lambda spec: b"")
    monkeypatch.setattr(publishing, "display", lambda *given, **more: None)
    monkeypatch.setattr(findings, "display", lambda *given, **more: None)


def said(given):
    """Sentences and titles of the chapter under other parameters, of the cells that these reach; of all where none is given."""
    converted = parameters.convert_all("market", given)
    reached = (cell.run(space) for cell, space in cells.touched("market", converted, **FEW))
    told = reached if given else cells.run_once("market", **FEW).shown.values()
    shown = [getattr(one, "forms", {}) for one in told]
    sentences = [forms["text/markdown"] for forms in shown if forms.get("text/markdown")]
    pages = [forms.get("text/html", "") for forms in shown]
    titles = [found[1] for text in pages if (found := re.search(r'moat-title">([^<]*)<', text))]
    return sentences, titles


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_an_odd_run_says_whole_sentences(name, quiet):
    sentences, titles = said(ODD[name])
    assert sentences and titles
    assert not [text for text in [*sentences, *titles] if BROKEN.search(text)]


def test_a_run_says_what_its_parameters_say(quiet):
    words = " ".join(said({"lab": "world", "year": 2027})[0])
    assert market.LABS["world"] in words and "Of the world's AI computing in 2027" in words


@pytest.mark.parametrize(
    ("tokens", "told"), [(0.01, "falls short, which"), (1e9, "goes beyond, which")]
)
def test_tokens_beside_the_books_fall_short_or_go_beyond(tokens, told, quiet):
    """A thousand times what the books allow had been said to agree with them."""
    assert f"The public count of tokens {told}" in " ".join(said({"served_tokens_t": tokens})[0])


@pytest.mark.parametrize(
    "year, held, lacks",
    [(2024, "in 2025 with all it sells.", "of that."), (2030, "are expected to be sold", "were")],
)
def test_another_year_has_its_own_sales_and_nobody_elses(year, held, lacks, quiet):
    """Cerebras's 2025 had stood beside the market of any year, and forecasts had been "sold"."""
    sentences, titles = said({"year": year})
    (money,) = [text for text in sentences if "the largest startup that tells" in text]
    assert held in money and lacks not in money and "(the middle of" in money
    assert ("would be serving" in " ".join(titles)) == (year > 2025)
    assert not [text for text in sentences if text != text.strip()], "no sentence ends in a blank"


def test_a_finding_that_no_longer_holds_is_said(monkeypatch):
    heard = []
    monkeypatch.delenv(findings.STRICT, raising=False)
    monkeypatch.setattr(findings, "display", lambda shown: heard.append(repr(shown)))
    figures.expect(SimpleNamespace(larger=0.1).larger > 0.5, "serving is the larger use")
    assert heard == ["With these settings it no longer holds that serving is the larger use."]


def test_the_defaults_are_a_lab_with_nothing_changed():
    given = notebooks.defaults(NOTEBOOK, "market")
    assert set(market.FIELDS) <= set(given)
    assert all(given[name] is None for name in market.FIELDS)
    case = market.Case()
    assert (given["lab"], given["definition"], given["unit"]) == (
        case.lab,
        case.definition,
        case.unit,
    )
