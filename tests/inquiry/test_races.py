"""Audited races: the same task on as many chips, each chip's best time."""

import pytest

from training_moat.catalog import tables
from training_moat.inquiry import races


@pytest.fixture(scope="module")
def pairs():
    return races.pairs()


def test_the_pairs_that_readers_know(pairs):
    """MLPerf Training, Llama 2 70B LoRA on 8 chips, rounds 4.1 to 5.1 of the result repositories."""
    lora = pairs[pairs["task"] == "Llama 2 70B LoRA"].set_index("chip_id")
    assert lora.loc["mi300x", ["minutes", "rival_minutes"]].round(1).tolist() == [27.4, 27.9]
    assert lora.loc["mi325x", ["minutes", "rival_minutes"]].round(1).tolist() == [20.0, 24.0]
    assert lora.loc["mi355x", ["minutes", "rival_minutes"]].round(1).tolist() == [10.2, 11.2]
    pretraining = pairs[(pairs["task"] == "Llama 3.1 8B") & (pairs["chip_id"] == "mi355x")].iloc[0]
    assert (round(pretraining["minutes"], 1), round(pretraining["rival_minutes"], 1)) == (
        99.3,
        84.4,
    )


def test_a_pair_has_one_task_one_size_and_the_best_of_each(pairs):
    assert not pairs.duplicated(["task", "chips", "chip_id"]).any()
    rows = tables.load("training_measurements").set_index("row_id")
    for pair in pairs.itertuples():
        own, rival = rows.loc[pair.row_id], rows.loc[pair.rival_row_id]
        assert own["n_chips"] == rival["n_chips"] == pair.chips and own["model"] == rival["model"]
        assert pair.speed == pytest.approx(rival["value"] / own["value"])
        same = rows[(rows["model"] == own["model"]) & (rows["chip_id"] == own["chip_id"])
                    & (rows["n_chips"] == own["n_chips"]) & (rows["metric"] == "time_to_train")]  # fmt: skip
        assert own["value"] == same["value"].min()


def test_no_entry_falls_out_that_had_one_of_nvidias_beside_it(pairs):
    """Trillium had been set against H200, of which no entry is on its task, and MI350X against nothing: four lost races."""
    rows = tables.load("training_measurements")
    rows = rows[(rows["metric"] == "time_to_train") & (rows["source"] == races.AUDITED)]
    vendors = tables.load("chips").set_index("id")["vendor"]
    own = rows["chip_id"].map(vendors) == races.INCUMBENT
    met = rows[own][["model", "n_chips"]].drop_duplicates()
    others = rows[~own].merge(met)[["model", "n_chips", "chip_id"]].drop_duplicates()
    assert {"tpu-v6e", "mi350x"} <= set(pairs["chip_id"])
    assert len(pairs) == len(others)


def test_in_the_round_of_a_race_every_chip_of_nvidias_counts(pairs):
    """Round 5.1 on 8 chips: GB300 needs 5.8 minutes for the adapters that MI300X beat H100's of a year before on."""
    found = races.in_the_round(pairs)
    lora = pairs["task"] == "Llama 2 70B LoRA"
    assert found[lora & (pairs["round"] == "v5.1")].round(2).eq(5.77).all()
    met = found.notna()
    assert (found[met] < pairs.loc[met, "minutes"]).all() and met.sum() > len(pairs) / 2
