"""A user's chip made from one of the table is measured as that one: with nothing changed, it answers as it."""

import pytest

from training_moat.catalog import chips, scenario
from training_moat.predict import serving, training

TRAINING = {"model": "llama3.1-8b", "chips": 16, "seq_len": 4096, "global_batch": 256}
SERVING = {"model": "llama3.1-8b", "chips": 16, "batch": 16, "input_len": 1000, "output_len": 500}
# Known each by something of its own: a server's bus, a measured matmul, an engine, the largest system.
KNOWN = ("h100-nvl", "l40s", "gb200", "sn40l", "mi300x")


def rates(chip):
    """Tokens a second of training and of serving."""
    asked = ((training.predict, TRAINING), (serving.predict, SERVING))
    return [predict([{**request, "chip": chip}])[0]["tokens_per_s"] for predict, request in asked]


@pytest.mark.parametrize("name", KNOWN)
def test_a_chip_with_nothing_changed_answers_as_its_base(name):
    assert rates({"base": name}) == rates({"base": name, "id": "mine"}) == rates(name)


def test_more_bandwidth_is_no_slower_than_the_base():
    wider = {"base": "gb200", "scaleup_gb_per_s_per_direction": 1800}
    assert all(own >= base for own, base in zip(rates(wider), rates("gb200"), strict=True))


def test_a_scenarios_chip_is_measured_as_the_one_at_the_end_of_its_line(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text("chips:\n  second: {base: first}\n  first: {base: l40s}\n", encoding="utf-8")
    before = rates("l40s")
    with scenario.laid_over(file):
        assert {chips.chip(name).measured_as for name in ("first", "second", "l40s")} == {"l40s"}
        assert chips.from_record({"base": "second"}).measured_as == "l40s"
        assert rates("second") == before


def test_the_word_for_what_is_known_stays_that_of_a_relative():
    request = {**TRAINING, "chip": {"base": "h100-sxm"}}
    assert training.predict([request])[0]["calibration"] == "family"
