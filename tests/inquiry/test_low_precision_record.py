"""The published record: widths are read right, a run counts once, a house counts once."""

import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.inquiry import low_precision_record as record


@pytest.fixture(scope="module")
def runs():
    return record.runs(tables.load("low_precision_runs"), tables.load("low_precision_counting"))


@pytest.mark.parametrize(
    ("text", "width"),
    [("NVFP4 E2M1", "4 bits"), ("E4M3 FNUZ", "8 bits"), ("FP8 1-4-3", "8 bits"), ("INT8 (QAT)", "8 bits"), ("MXFP8, MXFP6, MXFP4, MXINT8", "4 bits"), ("FP16, FP32 softmax", "FP16"),
     ("BF16 (no FP8; not seen in abstract)", "BF16"), ("CB16 (1-6-9)", "BF16"), ("not stated (S5000 has FP8)", None), (float("nan"), None)],
)  # fmt: skip
def test_width_of_a_format_as_written(text, width):
    assert record.width(text) == width


def test_serving_documentation_and_repeats_do_not_count(runs):
    left_out = tables.load("low_precision_counting")
    assert not set(left_out["row"]) & set(runs["row_id"])
    assert left_out["why"].notna().all() and {"N39", "N66", "N75"} <= set(left_out["row"])
    assert not runs["run"].str.contains(r"\(inference\)|checkpoint port", regex=True).any()


def test_every_counted_run_of_a_known_width_is_in_the_record(runs):
    table = record.lockin(runs)
    sides = ["supports", "against", "both", "neutral"]
    assert table[sides].to_numpy().sum() == runs["width"].notna().sum()
    assert list(table["width"]) == list(record.WIDTHS)


def test_a_house_with_many_runs_weighs_as_much_as_one_with_one():
    frame = pd.DataFrame({
        "organisation": ["Nvidia", "Nvidia (Mishra et al.)", "Nvidia/MIT", "AMD"],
        "bearing": ["supports", "supports", "supports", "against"], "width": ["4 bits"] * 4,
    })  # fmt: skip
    assert record.by_source(frame).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert record.lockin(frame).set_index("width").loc["4 bits", "share"] == pytest.approx(0.5)


def test_a_house_has_one_name_in_the_record(runs):
    """Intel's Habana had a voice beside Intel's, and Nvidia two by its two spellings; lists such as "MXFP8/6/4" had hidden
    the narrowest format that they name."""
    houses = record.houses(runs)
    assert houses.nunique() == houses.str.casefold().nunique()
    assert not houses.str.contains("Habana").any()
    shown = runs.set_index("row_id")["width"]
    assert shown["N13"] == shown["N42"] == "4 bits" and shown["N36"] == "8 bits"
