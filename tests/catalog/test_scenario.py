"""Scenarios laid over the tables."""

import pytest

from training_moat.catalog import chips, models, scenario, tables
from training_moat.core.errors import InputError

GOOD = """
title: A bigger SN40L
description: SambaNova with twice the memory
chips:
  sn40l-big: {base: sn40l, name: SN40L big, hbm_gb: 128}
  h100-sxm: {cloud_usd_per_h: 2.5}
models:
  - {id: tiny, layers: 2, hidden: 64, heads: 4, ffn: 256}
parameters:
  memory: {chips: sn40l-big}
"""


@pytest.fixture
def active(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("MOAT_SCENARIO", str(path))
    return path


def test_entries_are_added_and_override(active):
    before = len(scenario.files.read("chips"))
    assert len(tables.load("chips")) == before + 1
    assert chips.chip("sn40l-big").tier("hbm").capacity_bytes == 128 * 2**30
    assert chips.chip("h100-sxm").cloud_usd_per_h == 2.5
    assert chips.chip("h100-sxm").peak_flops == chips.from_record({"base": "h100-sxm"}).peak_flops
    assert models.model("tiny").layers == 2


def test_overlay_keeps_the_columns_types(active):
    overlaid, plain = tables.load("chips"), scenario.files.read("chips")
    assert dict(overlaid.dtypes) == dict(plain.dtypes)


def test_without_the_variable_the_tables_are_themselves(active, monkeypatch):
    assert "sn40l-big" in chips.all_chips()
    monkeypatch.delenv("MOAT_SCENARIO")
    assert "sn40l-big" not in chips.all_chips()


def test_title_and_parameters_are_kept(active):
    loaded = scenario.load(active)
    assert loaded.title == "A bigger SN40L"
    assert loaded.parameters["memory"] == {"chips": "sn40l-big"}


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("", encoding="utf-8")
    assert all(frame.empty for frame in scenario.load(path).rows.values())


BAD = {
    "titel: x": "unknown key 'titel'; did you mean 'title'",
    "chips: {a: {base: h100-smx}}": "unknown chip 'h100-smx'; did you mean 'h100-sxm'",
    "chips: {a: {base: h100-sxm, hbm_bg: 3}}": "unknown column 'hbm_bg'; did you mean 'hbm_gb'",
    "chips: {a: {base: h100-sxm, hbm_gb: lots}}": "chips 'a', column hbm_gb: 'lots' is wrong; expected a number in GB",
    "chips: {a: {base: h100-sxm, tdp_w: -1}}": "column tdp_w: '-1' is wrong; expected a number in W of at least 0",
    "chips: {a: {base: h100-sxm, supports_training: yess}}": "expected one of yes, no, withdrawn; did you mean 'yes'",
    "chips: {a: {base: h100-sxm, source: stas}}": "unknown source 'stas'",
    "chips: 3": "expected a mapping from id to columns, or a list of entries with an id",
    "chips: {a: 3}": "expected columns under each id",
    "models: {m: {layers: 2, heads: 64}}": "hidden is missing",
    "parameters: 3": "expected a mapping from chapter to its parameters",
    "- a": "expected a mapping with keys such as",
    "chips: {a: [": "line 1: not valid YAML",
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items())
def test_bad_scenarios_say_what_is_wrong(tmp_path, text, sentence):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        scenario.load(path)
    message = str(caught.value)
    assert sentence in message and "bad.yaml" in message and "\n" not in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        scenario.load(tmp_path / "none.yaml")
