"""Evidence on low precision: pairs are pairs, widths are read right, verdicts follow their thresholds."""

import pytest

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import precision


@pytest.fixture(scope="module")
def pairs():
    return precision.measured_pairs()


def test_a_known_pair(pairs):
    """GPT-3 175B on 128 H100, data/training_measurements.csv: the same plan in BF16 and FP8."""
    row = pairs[(pairs["model"] == "GPT-3 175B") & (pairs["chips"] == 128)].iloc[0]
    runs = tables.load("training_measurements")
    same = runs[
        (runs["model"] == "GPT-3 175B") & (runs["n_chips"] == 128) & (runs["metric"] == "step_time")
    ].set_index("format")["value"]
    assert row["plan"] == "same"
    assert row["speedup"] == pytest.approx(same["bf16"] / same["fp8"], rel=0.01)


def test_pairs_are_unique_and_hardly_any_passes_the_peak(pairs):
    keys = ["source", "model", "chip_id", "chips", "format"]
    assert len(pairs) >= 60
    assert not pairs.duplicated([*keys, "speedup"]).any()
    assert (pairs["peak_ratio"] >= 2 - 0.01).all()
    # Grouped products that only eight bits had fused kernels for gained 2.2 times (BioNeMo's Mixtral on B300).
    above = pairs.loc[pairs["speedup"] >= pairs["peak_ratio"], "source"]
    assert set(above) <= {"bionemo_mixtral"} and len(above) <= 1
    assert pairs[["speedup", "peak_ratio", "realised", "source"]].notna().all(axis=None)


def test_a_source_counts_once_however_many_pairs_it_has(pairs):
    eight = pairs[pairs["format"] == "fp8"]
    table = precision.by_source(eight)
    assert table["source"].is_unique and table["pairs"].sum() == len(eight)
    largest = table.loc[table["pairs"].idxmax()]
    assert largest["pairs"] > len(eight) / 4
    assert table["speedup"].median() < eight["speedup"].median()
    alone = eight[eight["source"] == largest["source"]]["speedup"].median()
    assert largest["speedup"] == pytest.approx(alone)


def test_pairs_told_in_times_or_rates_of_work_count_like_those_told_in_tokens(pairs):
    """Sources that print no tokens a second had fallen out: 16 of 34, mixtures of experts that gain little among them."""
    eight = pairs[pairs["format"] == "fp8"].set_index("source")["speedup"]
    assert eight["amd_kimi_b200"] == pytest.approx((16.52 / 18.10 + 18.66 / 19.64) / 2)
    assert eight["pedia_gb200"] == pytest.approx(503 / 527)
    assert eight.index.nunique() >= 30
    kinds = pairs[pairs["format"] == "fp8"].groupby("experts")["speedup"].median()
    assert kinds[True] < kinds[False]


def test_published_speedups_are_ranges_with_sources():
    table = precision.published_speedups()
    assert (table["low"] <= table["high"]).all() and (table["low"] > 1).all()
    assert table["source"].notna().all()
    # BF16 weights over BF16 with FP32 copies (1.54 times), and a speed over another eight-bit stack, had counted.
    assert set(table["width"]) == {"8 bits", "4 bits"}
    microsoft = table[table["run"].str.startswith("Microsoft, FP8-LM")]
    assert microsoft["low"].tolist() == microsoft["high"].tolist() == [1.75]


def test_incidents_are_of_narrow_formats_and_have_sources():
    table = precision.seen_only_at_scale()
    assert table["run"].str.contains("Scaling FP8 training").any()
    assert not table["organisation"].str.contains("PaLM").any()
    assert table["source"].notna().all()


def test_formats_spread_over_vendors_with_the_years():
    years = precision.vendors_by_year(2018, 2026).pivot(
        index="year", columns="format", values="vendors"
    )
    assert (years.diff().dropna() >= 0).all(axis=None)
    early, late = years.loc[2022], years.loc[2026]
    assert (late >= early).all() and late["fp8"] > early["fp8"]


def test_unknown_format_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'e4m3fn'"):
        precision.format_table(["e4m3f"])


def test_pairs_and_claims_are_labelled_for_readers():
    """One model is one row of the picture, whatever its sources call it, and no label runs into the next."""
    pairs = precision.measured_pairs()
    assert pairs["shown_model"].nunique() < pairs["model"].nunique()
    assert not pairs["shown_chip"].isin(set(pairs["chip_id"])).any()
    runs = precision.published_speedups()["run"]
    assert runs.str.len().max() <= precision.LABEL
    assert not runs.str.contains(r"…|\(", regex=True).any(), "every label is whole"


def test_pairs_of_eight_bits_hold_no_shorter_format(pairs):
    """Five pairs of NVFP4, whose data sheet says four and six times, had stood among those of eight bits."""
    eight = precision.eight_bits(pairs)
    assert set(eight["format"]) == {"fp8", "mxfp8"}
    assert len(eight) + (pairs["format"] == "nvfp4").sum() == len(pairs)
    assert eight["peak_ratio"].max() < 2.1
