"""Makers' published speeds: what is filled is named, and none refutes the model beyond its range."""

from __future__ import annotations

import pytest

from training_moat.calibrate import measured_makers, serving_errors
from training_moat.predict import serving


@pytest.fixture(scope="module")
def makers():
    return serving_errors.makers()


def test_every_gap_is_named(makers) -> None:
    rows = measured_makers.rows().set_index("row_id")
    assert rows.loc["P01", "assumed"] == "input_len, output_len" and rows.loc["P01", "pp"] == 4
    assert rows.loc["I00360", "total_chips"] == 576
    assert rows.loc["I00355", "assumed"].endswith("chips")
    assert rows.loc["P09", "assumed"] == "" and rows.loc["P09", "tp"] == 4


def test_two_speeds_of_one_machine_are_told_apart_by_drafting(makers) -> None:
    """Four wafers serve one model at 450 and at 2,100 tokens a second; nothing in the table had said why."""
    wafers = makers[(makers["chip"] == "wse-3") & (makers["model"] == "llama3.1-70b")]
    fast = wafers["published"] > 1000
    assert set(wafers.loc[fast, "drafts"]) == {"yes"} and set(wafers.loc[~fast, "drafts"]) == {"no"}


def test_the_challengers_are_there(makers) -> None:
    assert {"wse-3", "sn40l", "groq-lpu-v1", "corsair", "wormhole", "blackhole"} <= set(
        makers["chip"]
    )


def test_no_maker_refutes_the_model_beyond_its_range(makers) -> None:
    outside = makers[makers["inside"] == "no"]
    assert outside.empty, outside


@pytest.mark.parametrize(
    ("chip", "published", "software"),
    [
        ("wse-3", 445, "cerebras-2024"),
        ("wse-3", 450, "cerebras-2024"),
        ("wse-3", 2100, None),
        ("sn40l", 457, None),
        ("groq-lpu-v1", 250, None),
    ],
)
def test_a_plain_question_meets_the_published_speed(
    chip: str, published: float, software: str | None
) -> None:
    """Llama 3.1 70B for one user, everything else left open but a release that its maker has replaced."""
    case = {"model": "llama3.1-70b", "chip": chip, "input_len": 1000, "output_len": 300}
    case |= {"software": software}
    case |= {"chips": 16} if chip == "sn40l" else {"precision": "int8"} if "groq" in chip else {}
    (answer,) = serving.predict([case])
    assert 1 / answer["tpot_s_p95"] <= published <= 1 / answer["tpot_s_p05"]
