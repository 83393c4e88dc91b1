"""The stored results of the experiment: complete, of the stated seeds and text, and the same verdicts on other seeds."""

import json
from pathlib import Path

import pytest

from training_moat.catalog import tables
from training_moat.numerics import analysis, corpus
from training_moat.numerics.design import FULL, Design

DATA = Path(__file__).resolve().parents[2] / "data"
NAMES = ("experiment_low_precision", "experiment_low_precision_replication")
OPPOSITE = {"supported": "contradicted", "contradicted": "supported", "open": None}


def sets(name):
    manifest = json.loads((DATA / f"{name}.manifest.json").read_text())
    return manifest.get("sets", [manifest])


@pytest.mark.parametrize("name", NAMES)
def test_table_holds_every_run_of_its_manifest(name):
    runs = tables.load(name)
    designs = [Design(**{key: tuple(value) if isinstance(value, list) else value for key, value in made["design"].items()}) for made in sets(name)]
    keys = {run.key for design in designs for run in design.runs()}
    stored = {
        (row.study, row.recipe, row.seed, row.log2_learning_rate, None if row.log2_loss_scale != row.log2_loss_scale else row.log2_loss_scale, row.steps)
        for row in runs.itertuples()
    }  # fmt: skip
    assert stored == keys and len(runs) == len(keys)


@pytest.mark.parametrize("name", NAMES)
def test_manifest_names_text_versions_and_seeds(name):
    for made in sets(name):
        assert made["corpus_sha256"] == corpus.SHA256
        assert made["form"] == "full" and made["design"]["steps"] == FULL.steps
        assert ",".join(map(str, made["design"]["seeds"])) in made["command"]
        assert {"python", "numpy"} <= set(made["versions"])


def test_all_sets_were_made_with_the_same_code_and_none_shares_a_seed():
    made = [entry for name in NAMES for entry in sets(name)]
    seeds = [seed for entry in made for seed in entry["design"]["seeds"]]
    assert len(seeds) == len(set(seeds))
    assert len({json.dumps([entry["versions"], entry["corpus_sha256"]]) for entry in made}) == 1


def test_verdicts_of_the_two_sets_never_contradict_each_other():
    judged = analysis.side_by_side(*(tables.load(name) for name in NAMES))
    print(judged[["hypothesis", "first", "second", "together"]].to_string())
    assert not [row.hypothesis for row in judged.itertuples() if row.second == OPPOSITE[row.first]]
    cliffs = judged.set_index("hypothesis").loc[["H2", "H4", "H5"]]
    assert (cliffs[["first", "second", "together"]] == "supported").all(axis=None)
