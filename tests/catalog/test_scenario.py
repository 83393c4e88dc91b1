"""Scenarios laid over the tables."""

import pandas as pd
import pytest

from training_moat.catalog import chips, files, models, scenario, tables, yaml_files
from training_moat.core import tiers
from training_moat.core.errors import InputError

GOOD = """
title: A bigger SN40L
description: SambaNova with twice the memory
chips:
  sn40l-big: {base: sn40l, name: SN40L big, hbm_gb: 128}
  h100-sxm: {cloud_usd_per_h: 2.5}
  groq-lpu-v1: {hbm_gb: 80, hbm_tb_per_s: 2}
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


def test_the_hbm_of_a_scenario_is_used_whatever_the_chips_family_does_without(active, monkeypatch):
    for job in ("training", "serving"):
        used = tiers.home(chips.chip("groq-lpu-v1"), job)
        assert [tier.name for tier in used] == ["sram", "hbm"]
    monkeypatch.delenv("MOAT_SCENARIO")
    assert [tier.name for tier in tiers.home(chips.chip("groq-lpu-v1"), "training")] == ["sram"]


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
    "chips: {a: {base: h100-sxm, tdp_w: -1}}": "column tdp_w: '-1' is wrong; expected a number in W from 0 to 10,000,000",
    "chips: {a: {base: h100-sxm, supports_training: yess}}": "expected one of yes, no, withdrawn; did you mean 'yes'",
    "chips: {a: {base: h100-sxm, price_usd: 0}}": "column price_usd: '0' is wrong; expected a number in USD from 0.001",
    "chips: {a: {base: h100-sxm, scaleup_topology: 2D torus}}": "did you mean 'torus2d'",
    "chips: {a: {base: h100-sxm, source: stas}}": "unknown source 'stas'",
    "chips: 3": "expected a mapping from id to columns, or a list of entries with an id",
    "chips: {a: 3}": "expected columns under each id",
    "models: {m: {layers: 2, heads: 64}}": "hidden is missing",
    "parameters: 3": "expected a mapping from chapter to its parameters",
    "- a": "expected a mapping with keys such as",
    "chips: {a: [": "line 1, column 13: not valid YAML",
    "chips: {a: {base: b}, b: {base: a}}": "base: is, through others, its own base",
    "chips: [{id: a, base: h100-sxm}, {id: a}]": "chips 'a': is there twice",
    "chips: {a: {base: [h100-sxm]}}": "column base: expected one value",
    "chips: {a: {base: h100-sxm, name: {x: y}}}": "column name: expected one value",
    f"chips: {{a: {{base: h100-sxm, hbm_gb: {'9' * 5000}}}}}": "cannot be read",
    "title: 2026-13-45": "cannot be read",
    "a: " + "[" * 5000: "nested too deeply",
    "title: &a [*a]": "more than 20,000 values",
    f"chips: {{{'x' * 900}: {{base: {'y' * 900}}}}}": "`moat chips` lists them",
    f"chips: {{a: {{base: {'y' * 9000}}}}}": "at most 1,000 letters of one line",
    f"chips: {{a: {{base: h100-sxm, hbm_gb: 0x{'f' * 5000}}}}}": "cannot be read",
    "chips: {a: {base: h100-sxm, bf16_tflops: 1.0e+9}}": "in TFLOP/s from 0 to 1,000,000",
    "chips: {a: {base: h100-sxm, hbm_gb: true}}": "a number in GB from 0 to 10,000,000, got True",
    "chips: {a: {base: h100-sxm, hbm_gb: [1]}}": "column hbm_gb: expected one value",
    "chips: {a: {base: h100-sxm, announced: 9999-99}}": "column announced: '9999-99' is wrong",
    "chips: {a: {base: h100-sxm, name: ''}}": "column name: expected a value, the cell is blank",
    'chips: {a: {base: h100-sxm, name: "x\\ny"}}': "column name: expected at most",
    'chips: {a: {base: h100-sxm, vendor: "\\u202ex"}}': "column vendor: expected at most",
    "chips: {'': {base: h100-sxm}}": "chips '': expected one id, such as own-chip",
    "chips: {a: {base: h100-sxm, id: b}}": "chips 'a': expected one id",
    "models: {a: {base: llama3.1-8b, hidden: 1.0e+30}}": "a whole number from 1 to 100,000,000",
    "title: [a]": "title: expected text",
    "chips: {a: {base: h100-sxm}, a: {base: sn40l}}": "'a' is there twice",
    f"title: {'x' * 300}": "title: expected at most 200 letters",
    'description: "\\0"': "description: expected at most 2,000 letters",
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items())
def test_bad_scenarios_say_what_is_wrong(tmp_path, text, sentence):
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        scenario.load(path)
    message = str(caught.value)
    assert sentence in message and "bad.yaml" in message
    assert "\n" not in message and len(message) < 300


def test_aliases_that_stand_for_billions_are_refused_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    lines = ["x0: &x0 {a: 1, b: 2}"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="stands for more than 20,000 values"):
        scenario.load(path)
    path.write_text("chips: {one: &one {base: h100-sxm}, two: *one}", encoding="utf-8")
    assert list(scenario.load(path).rows["chips"]["id"]) == ["one", "two"]


def test_an_entry_may_start_from_another_one_in_any_order_and_spelling(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "chips: {big: {base: Small One, hbm_gb: 64}, small-one: {base: H100 SXM5, tdp_w: 5, hbm_gb: 32}}",
        encoding="utf-8",
    )
    rows = scenario.load(path).rows["chips"].set_index("id")
    assert rows.loc["big", "tdp_w"] == 5 and rows.loc["big", "hbm_gb"] == 64
    assert (
        rows.loc["small-one", "bf16_tflops"] > 100 and rows.loc["small-one", "name"] == "small-one"
    )


def test_a_record_may_start_from_the_scenarios_chip(active):
    made = chips.from_record({"base": "SN40L big", "tdp_w": 1})
    assert made.tier("hbm").capacity_bytes == 128 * 2**30 and made.tdp_w == 1


@pytest.mark.parametrize(
    ("encoding", "says"), [("utf-8-sig", ""), ("utf-16", ""), ("latin-1", "expected UTF-8 text")]
)
def test_files_of_other_editors(encoding, says, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("title: größer", encoding=encoding)
    if not says:
        assert scenario.load(path).title == "größer"
        return
    with pytest.raises(InputError, match=says):
        scenario.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        scenario.load(tmp_path / "none.yaml")


def test_a_column_given_as_nothing_is_unknown_whatever_the_base_has(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("chips: {a: {base: mi300x, price_usd:}, b: {base: mi300x}}", encoding="utf-8")
    rows = scenario.load(path).rows["chips"].set_index("id")
    assert pd.isna(rows.loc["a", "price_usd"]) and rows.loc["b", "price_usd"] > 0


def test_an_error_ends_with_its_line_and_column(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("title: x\nchips:\n  b: {base: a}\n  a:\n    base: mi300x\n    hbm_gb: much\n")
    with pytest.raises(InputError, match=r"\(line 6, column 5\)$"):
        scenario.load(path)


def test_an_error_of_a_table_keeps_its_own_place():
    document = yaml_files.Document("mine.yaml", {"chips": {}}, {("chips",): (2, 1)})
    with (
        pytest.raises(InputError, match=r"expected that \(line 2, column 1\)$"),
        document.at("chips"),
    ):
        raise InputError("mine.yaml, chips: expected that")
    with pytest.raises(InputError, match="line 32: wrong$"), document.at("chips"):
        raise files.TableError("data/chips.csv, line 32: wrong")


def test_a_bare_yes_is_the_word_that_its_column_holds(tmp_path, monkeypatch):
    """YAML reads it as a truth value, and a table holds the word."""
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("hbm_gb: 128}", "supports_training: yes}"), encoding="utf-8")
    monkeypatch.setenv("MOAT_SCENARIO", str(path))
    row = tables.load("chips").set_index("id").loc["sn40l-big"]
    assert row["supports_training"] == "yes"
