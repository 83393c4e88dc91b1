"""The data as committed: every table loads, every key points somewhere, every number has a unit."""

import csv
import os
import shutil

import pytest

from training_moat.catalog import checking, chips, descriptor, files, models, paths, tables
from training_moat.core.errors import InputError

SPELLED = [
    ("training_measurements", "model", "model_id", models),
    ("memory_measurements", "model", "model_id", models),
    ("serving_measurements", "model", "model_id", models),
    ("serving_inferencex", "model_path", "model_id", models),
    ("scaling_measurements", "model", "model_id", models),
]
"""Tables that keep a source's spelling beside the id it means."""

LATE = {
    *("Qwen/Qwen3.5-397B-A17B", "DeepSeekV4 Flash", "Nemotron_3_Nano", "Nemotron_3_Super", "Nemotron_3_Ultra"),
    *("Nemotron_3_5_Lightning", "Baichuan 2-7B", "Baichuan2 7B", "Baichuan 2 13B", "Baichuan2 13B", "Baichuan2-13B"),
    *("Qwen-1.8B", "Qwen-7B", "Qwen 7B", "Qwen-14B", "Qwen 14B", "Qwen2 0.5B", "Qwen2 1.5B", "DeepSeek Coder 33B"),
    *("GLM-4 9B", "GPT-NeoX 20B", "Gemma 3 270M", "Yi 6B", "Pythia 410M"),
    *("SmolLM2 135M", "SmolLM2 360M", "SmolLM2 1.7B"),
}  # fmt: skip
"""Spellings of models that came into their table after the last fit: their runs get an id when the next one begins."""


def test_nothing_is_wrong():
    assert [str(problem) for problem in checking.run()] == []


def test_tables_read_in_turn_are_found_again():
    files._read.kept.cache_clear()
    for _ in range(2):
        for name in tables.names():
            files.read(name)
    assert files._read.kept.cache_info().misses == len(tables.names())


def test_every_file_is_described_and_every_description_has_its_file():
    described = {descriptor.resource(name)["path"] for name in tables.names()}
    present = {path.name for path in files.path_of("sources").parent.glob("*.csv")}
    assert described == present


@pytest.mark.parametrize("name", tables.names())
def test_header_is_the_described_one(name):
    with files.path_of(name).open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert header == [field["name"] for field in descriptor.fields(name)]


@pytest.mark.parametrize("name", tables.names())
def test_numbers_have_units_and_columns_meanings(name):
    for field in descriptor.fields(name):
        assert field["description"], f"{name}.{field['name']}"
        if field["type"] in descriptor.NUMERIC:
            assert field["unit"], f"{name}.{field['name']}"


@pytest.mark.parametrize(("table", "column", "id_column", "kind"), SPELLED)
def test_stored_ids_are_what_the_spelling_means(table, column, id_column, kind):
    pairs = tables.load(table)[[column, id_column]].drop_duplicates()
    for spelled, stored in pairs.itertuples(index=False):
        late = spelled in LATE and not isinstance(stored, str)
        meant = kind.find(str(spelled))
        assert late or meant == (stored if isinstance(stored, str) else None), spelled


def test_stored_chip_ids_agree_with_the_chips_spellings():
    pairs = tables.load("training_measurements")[["chip", "chip_id"]].dropna().drop_duplicates()
    for spelled, stored in pairs.itertuples(index=False):
        assert chips.resolve(spelled) == stored


def test_a_caller_cannot_spoil_the_next_callers_table():
    first = tables.load("chips")
    first.loc[:, "name"] = "spoilt"
    assert "spoilt" not in set(tables.load("chips")["name"])


def test_a_kept_frame_is_each_callers_own():
    made = []

    @tables.kept(copied=True)
    def frame():
        made.append(tables.load("chips"))
        return made[-1]

    own = frame()
    own["id"] = "spoilt"
    assert frame()["id"].ne("spoilt").all() and len(made) == 1


def test_what_is_kept_follows_every_table_that_it_rests_on(tmp_path, monkeypatch):
    """Also those that only what it calls has read, in a steady block and out of one."""
    folder = shutil.copytree(paths.data_folder(), tmp_path / "data")
    monkeypatch.setenv("MOAT_ROOT", str(tmp_path))
    made = []

    @tables.kept()
    def inner():
        return len(tables.load("reference_jobs"))

    @tables.kept()
    def outer(chip):
        made.append(chip)
        return inner() if chip == "both" else 0

    def edit():
        table = folder / "reference_jobs.csv"
        lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
        table.write_text("".join(lines[:-1]), encoding="utf-8")
        os.utime(table, ns=(1, 1))  # a coarse clock may not tell the two apart

    before = outer("both"), outer("none")
    with tables.steady():
        assert (outer("both"), outer("none")) == before
        edit()
        assert outer("both") == before[0], "a batch sees one state of the tables"
    assert (outer("both"), outer("none")) == (before[0] - 1, 0)
    assert made == ["both", "none", "both"]


def test_a_replaced_table_is_seen_by_all_readers_and_by_no_one_later():
    before, own = models.all_models()["gpt3-175b"], tables.load("models")
    with tables.steady(), tables.replaced(models=own.assign(layers=3)):
        assert models.all_models()["gpt3-175b"].layers == 3
        with tables.replaced(models=own.assign(layers=2), chips=tables.load("chips").head(1)):
            assert models.all_models()["gpt3-175b"].layers == 2 and len(chips.all_chips()) == 1
        assert models.all_models()["gpt3-175b"].layers == 3 and len(chips.all_chips()) > 1
        assert models.all_models()["gpt3-175b"] != before
    assert models.all_models()["gpt3-175b"] is before


def test_unknown_table_names_the_nearest():
    with pytest.raises(InputError, match="unknown table 'chip'; did you mean 'chips'"):
        tables.load("chip")


def test_every_row_names_a_source_or_its_table_says_what_it_is_computed_from():
    for name in tables.names():
        if name not in checking.SOURCELESS and not descriptor.derived_from(name):
            assert tables.load(name)["source"].notna().all(), name


def test_the_corrected_run_is_six_times_parameters_times_tokens():
    run = tables.load("training_runs").set_index("model").loc["Inkling"]
    count = 6 * run["active_params_b"] * 1e9 * run["training_tokens_b"] * 1e9
    assert run["training_flop"] == pytest.approx(count, rel=1e-3)
    assert run["notes"].startswith("corrected")


def test_split_ratios_follow_from_their_shares():
    frame = tables.load("market_splits").dropna(subset=["training_share", "inference_share"])
    frame = frame[frame["training_share"] > 0]
    ratio = frame["inference_share"] / frame["training_share"]
    assert (frame["inference_to_training_ratio"] - ratio).abs().max() < 1e-3


def test_mlperf_shares_follow_from_their_counts():
    frame = tables.load("mlperf_submissions").dropna(
        subset=["entry_share", "result_entries", "round_total_entries"]
    )
    assert (
        frame["entry_share"] - frame["result_entries"] / frame["round_total_entries"]
    ).abs().max() < 2e-3


def test_a_key_is_one_column_whose_repetitions_are_refused():
    for name in tables.names():
        key = descriptor.primary_key(name)
        assert key is None or tables.load(name)[key].is_unique


@pytest.mark.parametrize(
    "name",
    [
        "training_measurements",
        "memory_measurements",
        "serving_measurements",
        "scaling_measurements",
    ],
)
def test_what_was_measured_is_told_in_words_that_the_model_reads(name):
    """A metric of another name would pass for a run without a time or a rate; the words are those that the rows use."""
    field = next(field for field in descriptor.fields(name) if field["name"] == "metric")
    assert set(field["constraints"]["enum"]) == set(tables.load(name)["metric"])
