"""Chapters run to a page under settings nobody tried: every code cell in process, and no broken words."""

import re

import nbformat
import pytest

from training_moat import figures
from training_moat.catalog import parameters, tables
from training_moat.catalog.paths import root

CHAPTERS = root() / "chapters"
BROKEN = re.compile(
    r"\bnan\b|\binf\b|\bof 1 chips\b|\b1 (?:chips|offers|moves|races|runs|events)\b|\bNone\b(?! of)"
    r"|without limit the|to without|, and $"
)
QUICK = ("corsair", "tpu-v5e")
"""A chip that cannot be modelled and one with little memory; the slow tests take all the others."""
CHIPS = tables.load("chips")["id"].tolist()


def told(chapter, monkeypatch, **settings):
    """What a chapter says under other settings: sentences, titles, captions and alternative texts."""
    words, space = [], {}
    monkeypatch.delenv("MOAT_STRICT", raising=False)
    monkeypatch.setattr(figures, "sentence", words.append)
    monkeypatch.setattr(
        figures,
        "publish",
        lambda chart, *, caption, alt, **_: words.extend(
            [caption, alt, chart.to_dict().get("title")]
        ),
    )
    names = ", ".join(f"{name}={name}" for name in parameters.schema(chapter))
    page = nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4)
    for cell in page.cells:
        if cell.cell_type == "code":
            # Outside a kernel the check is handed the values it would read from there.
            source = cell.source.replace(
                f'parameters.check("{chapter}")', f'parameters.check("{chapter}", {names})'
            )
            exec(compile(source, f"{chapter} {cell.id}", "exec"), space)  # noqa: S102
            space.update(settings if "parameters" in cell.metadata.get("tags", []) else {})
    return [text for text in words if isinstance(text, str)]


def check(words):
    assert words
    for text in words:
        assert not BROKEN.search(text), text


@pytest.mark.parametrize("settings", [
    {"yearly_spend_musd": 1}, {"yearly_spend_musd": 1_000_000}, {"delay_value": 100}, {"horizon_years": 0.1},
    {"port_months": 0}, {"failure_probability": 0.95}, {"realised_share": 10}, {"delay_months": 0, "delay_value": 0},
], ids=str)  # fmt: skip
def test_switching(settings, monkeypatch):
    check(told("switching", monkeypatch, draws=2000, **settings))


@pytest.mark.parametrize("settings", [
    {"companies": []}, {"companies": ["Etched"]}, {"from_year": 2025, "to_year": 2025}, {"from_year": 2016, "to_year": 2018},
], ids=str)  # fmt: skip
def test_history(settings, monkeypatch):
    check(told("history", monkeypatch, **settings))


@pytest.mark.parametrize("chip", QUICK)
def test_networking_with_two_kinds_of_chip(chip, monkeypatch):
    check(told("networking", monkeypatch, chip=chip))


@pytest.mark.slow
@pytest.mark.parametrize("chip", [chip for chip in CHIPS if chip not in QUICK])
def test_networking_with_each_chip(chip, monkeypatch):
    check(told("networking", monkeypatch, chip=chip))


@pytest.mark.parametrize(
    "settings",
    [{"chip_count": 1}, {"chip": "sn10", "chip_count": 8}, {"scaleup_gb_per_s": 0.1}],
    ids=str,
)
def test_networking_with_odd_clusters(settings, monkeypatch):
    check(told("networking", monkeypatch, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("chip", CHIPS)
def test_precision_with_each_chip(chip, monkeypatch):
    check(told("precision", monkeypatch, chips=[chip]))


def test_precision_on_one_chip_and_one_format(monkeypatch):
    check(told("precision", monkeypatch, chip_count=1, formats=["int8"]))
