"""`moat check` names file, line and column of whatever is wrong with the data."""

import json

import pytest

from training_moat.catalog import checking, files, plausible_rows, tables
from training_moat.catalog.sheets import Sheet
from training_moat.core.errors import InputError


def sentences(project):
    return [str(problem) for problem in checking.run(project)]


def test_the_copy_is_sound(project):
    assert sentences(project) == []


CELLS = [
    (
        "chips",
        5,
        "bf16_tflops",
        "98x",
        "'98x' is wrong; expected a number in TFLOP/s from 0 to 1,000,000",
    ),
    (
        "chips",
        6,
        "bf16_tflops",
        "-3",
        "'-3' is wrong; expected a number in TFLOP/s from 0 to 1,000,000",
    ),
    (
        "chips",
        7,
        "hbm_gb",
        "80-96",
        "'80-96' is wrong; expected a number in GB from 0 to 10,000,000",
    ),
    ("chips", 5, "tdp_w", "inf", "'inf' is wrong; expected a number in W from 0 to 10,000,000"),
    (
        "chips",
        5,
        "supports_training",
        "maybe",
        "'maybe' is wrong; expected one of yes, no, withdrawn",
    ),
    (
        "chips",
        5,
        "confirmed",
        "yess",
        "'yess' is wrong; expected one of yes, partly, secondary, no; did you mean 'yes'?",
    ),
    (
        "chips",
        5,
        "announced",
        "March 2022",
        "'March 2022' is wrong; expected text like 2024, 2024-03, 2024-03-18",
    ),
    (
        "chips",
        5,
        "formats_supported",
        "bf16;fp7",
        "'bf16;fp7' is wrong; expected words separated by ';'",
    ),
    ("chips", 5, "source", "", "expected a value, the cell is blank"),
    ("models", 3, "layers", "24.5", "'24.5' is wrong; expected a whole number from 1 to 1,000,000"),
    ("models", 3, "gated_ffn", "2", "'2' is wrong; expected a whole number from 0 to 1"),
    ("models", 3, "attention", "gqq", "expected one of mha, gqa, mqa, mla; did you mean 'gqa'?"),
    ("prices", 4, "unit", "EUR/chip-hour", "did you mean 'USD/chip-hour'?"),
    (
        "sources",
        4,
        "url",
        "www.example.com",
        "'www.example.com' is wrong; expected text like https://",
    ),
    ("sources", 4, "kind", "rumour", "'rumour' is wrong; expected one of datasheet"),
]
RELATED = [
    (
        "chips",
        6,
        "source",
        "stas00_acelerators",
        "'stas00_acelerators' is wrong; expected a key of sources.csv; did you mean 'stas00_accelerators'?",
    ),
    ("models", 7, "source", "nobody_ever", "'nobody_ever' is wrong; expected a key of sources.csv"),
    (
        "chips",
        5,
        "source_power",
        "nobody_at_all",
        "'nobody_at_all' is wrong; expected a key of sources.csv",
    ),
    (
        "chips",
        9,
        "hbm_tb_per_s",
        "8.8",
        "'8.8' is wrong; expected at most the 8 in column hbm_tb_per_s_high",
    ),
    ("chips", 5, "hbm_gb_low", "500", "'500' is wrong; expected at most the 80 in column hbm_gb"),
    (
        "chips",
        5,
        "aliases",
        "a100_40gb",
        "'a100_40gb' is wrong; expected a spelling that a100-40 does not have",
    ),
    (
        "prices",
        4,
        "chip_id",
        "tpu-v33",
        "'tpu-v33' is wrong; expected a key of chips.csv; did you mean 'tpu-v3'?",
    ),
]
"""Cells that are wrong beside others, which is looked at once each is well formed."""


@pytest.fixture(scope="module")
def said(with_broken_cells):
    """What is said of copies in which all of these cells are broken."""
    copies = [with_broken_cells(cell[:4] for cell in cells) for cells in (CELLS, RELATED)]
    return [text for copy in copies for text in sentences(copy)]


@pytest.mark.parametrize(("table", "line", "column", "value", "sentence"), CELLS + RELATED)
def test_a_broken_cell_is_named_with_its_place(said, table, line, column, value, sentence):
    found = [text for text in said if sentence in text]
    assert len(found) == 1
    assert found[0].startswith(f"data/{table}.csv, line {line}, column {column}: ")


def test_a_middle_below_its_low_end_is_said_once():
    found = files.inspect("lab_ledgers")
    row = found.frame.index[found.frame["row_id"] == "L30"][0]
    edited = found.frame.assign(p05=found.frame["p05"].mask(found.frame.index == row, 120_000.0))
    sheet = Sheet("lab_ledgers", edited, found.lines)
    (said,) = plausible_rows.ordered_ends({"lab_ledgers": sheet})
    assert "column p05: '120000' is wrong; expected at most the 102535 in column value" in str(said)


def test_two_rows_of_one_id_are_both_named(project, break_cell):
    break_cell("chips", 5, "id", "a100-40")
    expected = "column id: 'a100-40' is wrong; expected a value no other row has"
    assert sum(expected in text for text in sentences(project)) == 2


def test_all_faults_are_found_at_once(project, break_cell):
    break_cell("chips", 3, "tdp_w", "hot")
    break_cell("chips", 9, "hbm_gb", "big")
    break_cell("models", 4, "hidden", "wide")
    assert len(sentences(project)) == 3


def test_an_unquoted_comma_is_named_with_its_line(project):
    path = project / "data" / "chips.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[4] += ",one field more"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (found,) = sentences(project)
    assert found.startswith("data/chips.csv, line 5: expected ")
    assert "a comma inside a field needs quotes" in found


def test_a_missing_column_and_one_too_many(project):
    path = project / "data" / "link_latencies.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("latency_us", "latency_ms", 1), encoding="utf-8"
    )
    found = sentences(project)
    assert any("'latency_ms' is wrong; expected only the columns" in text for text in found)
    assert any("line 1, column latency_us: expected this column" in text for text in found)


def test_a_column_that_is_there_twice(project):
    path = project / "data" / "link_latencies.csv"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{first},latency_us", *(f"{line},1" for line in others)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (found,) = sentences(project)
    assert "line 1: 'latency_us' is wrong; expected each column once" in found


def test_a_missing_file(project):
    (project / "data" / "link_latencies.csv").unlink()
    assert sentences(project) == [
        "data/link_latencies.csv: expected this file; datapackage.json names it"
    ]


def test_a_file_nobody_described(project):
    (project / "data" / "extra.csv").write_text("a\n1\n", encoding="utf-8")
    assert sentences(project) == ["data/extra.csv: expected a description in data/datapackage.json"]


def test_bytes_that_are_no_text(project):
    path = project / "data" / "link_latencies.csv"
    path.write_bytes(path.read_bytes() + b"\xff\xfe")
    (found,) = sentences(project)
    assert "expected UTF-8 text" in found


def test_a_broken_descriptor(project):
    path = project / "data" / "datapackage.json"
    path.write_text(path.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    (found,) = sentences(project)
    assert found.startswith("datapackage.json, line ") and "not valid JSON" in found


def test_a_number_without_a_unit_and_a_table_without_sources(project):
    path = project / "data" / "datapackage.json"
    package = json.loads(path.read_text(encoding="utf-8"))
    (table,) = [item for item in package["resources"] if item["name"] == "link_latencies"]
    for field in table["schema"]["fields"]:
        if field["name"] == "latency_us":
            del field["unit"]
        if field["name"] == "source":
            del field["constraints"]
    path.write_text(json.dumps(package), encoding="utf-8")
    found = sentences(project)
    assert any("table link_latencies, column latency_us: expected a unit" in text for text in found)
    assert any(
        "table link_latencies, column source: expected a required column 'source'" in text
        for text in found
    )


def test_a_computed_table_must_name_real_tables(project):
    path = project / "data" / "datapackage.json"
    package = json.loads(path.read_text(encoding="utf-8"))
    package["resources"][0]["derivedFrom"] = ["chipz"]
    path.write_text(json.dumps(package), encoding="utf-8")
    (found,) = sentences(project)
    assert "column derivedFrom: 'chipz' is wrong; expected the name of a table" in found


def test_a_bad_table_does_not_load_either(project, break_cell, monkeypatch):
    break_cell("chips", 3, "tdp_w", "hot")
    break_cell("chips", 4, "tdp_w", "hotter")
    monkeypatch.setenv("MOAT_ROOT", str(project))
    with pytest.raises(
        InputError, match=r"line 3, column tdp_w: 'hot' is wrong.*and 1 more; run `moat check`"
    ):
        tables.load("chips")


def test_a_root_without_data_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MOAT_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="expected the project's root folder"):
        tables.load("chips")
