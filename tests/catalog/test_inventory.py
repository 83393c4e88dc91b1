"""The inventory counts what the files hold."""

import pytest

from training_moat.catalog import descriptor, files, inventory, tables


def test_rows_read_in_the_press_alone_are_told_apart():
    """The page had called every row that was read one read where it was first published; events rest on press for the most part."""
    events = tables.load("startup_events").query("confirmed == 'yes'")
    kinds = tables.load("sources").set_index("key")["kind"]
    press = events["source"].map(kinds) == "press"
    assert press.mean() > 0.5 and inventory.read_in("press", "compilation") > press.sum()


def test_overview_counts_the_lines_of_the_files():
    overview = inventory.overview().set_index("table")
    assert list(overview.index) == tables.names()
    with files.path_of("models").open(encoding="utf-8") as file:
        assert overview.loc["models", "rows"] == sum(1 for _ in file) - 1
    assert overview.loc["chip_counts", "epoch"] and not overview.loc["models", "epoch"]


def test_every_kind_of_source_has_a_weight():
    (kind,) = [field for field in descriptor.fields("sources") if field["name"] == "kind"]
    weights = tables.load("source_kinds").set_index("kind")["strength"].dropna()
    assert set(weights.index) == set(kind["constraints"]["enum"]) - {"scenario"}
    assert set(weights) == set(inventory.STRENGTHS)


def test_confirmation_adds_up_to_the_rows():
    counted = inventory.confirmation().groupby("table")["rows"].sum()
    assert counted["chips"] == len(tables.load("chips"))
    assert counted["serving_measurements"] == len(tables.load("serving_measurements"))


def test_what_the_book_worked_out_was_read_in_no_source():
    """Fitted constants had counted as rows that were read in the sources of the measurements behind them."""
    counted, tabled = inventory.confirmation(), inventory.overview().set_index("table")
    assert not set(inventory.WORKED_OUT) & set(counted["table"])
    assert tabled.loc[list(inventory.WORKED_OUT), "confirmed"].isna().all()
    own = len(tables.load("experiment_low_precision")) + len(tables.load("gpu_measurements"))
    assert own < inventory.read_in("own") < counted["rows"].sum()


def test_a_rent_in_the_table_of_prices_is_known():
    """A tenth of the chips had a known rent, by the chips table alone, where the prices have those of two and a half times as
    many."""
    known = inventory.published_figures().set_index("figure").loc["rent"]
    chips, prices = tables.load("chips"), tables.load("prices")
    rented = set(prices.loc[prices["category"] == inventory.RENT, "chip_id"].dropna())
    rented |= set(chips.loc[chips["cloud_usd_per_h"].notna(), "id"])
    assert known["share"] == pytest.approx(len(rented & set(chips["id"])) / len(chips))


def test_the_source_most_rows_rest_on_is_counted_over_all_tables():
    first = inventory.rows_by_source().iloc[0]
    rows = sum(
        files.read(name)["source"]
        .str.split(";")
        .apply(lambda keys, wanted=first["source"]: wanted in keys)
        .sum()
        for name in tables.names()
        if "source" in files.read(name)
    )
    assert first["rows"] == rows


def test_known_figures_are_shares_and_a_chip_without_hbm_needs_no_bandwidth():
    shares = inventory.published_figures().set_index("figure")["share"]
    assert shares.between(0, 1).all()
    chips = tables.load("chips")
    assert shares["HBM bandwidth"] == pytest.approx(
        (chips["hbm_tb_per_s"].notna() | (chips["hbm_gb"] == 0)).mean()
    )


def test_shapes_count_to_the_published_weights():
    weights = inventory.counted_weights()
    assert len(weights) > 50
    assert weights["error"].abs().median() < 0.002


def test_columns_list_every_described_column_with_its_unit():
    columns = inventory.columns()
    assert len(columns) == sum(len(descriptor.fields(name)) for name in tables.names())
    peak = columns[(columns["table"] == "chips") & (columns["column"] == "bf16_tflops")].iloc[0]
    assert peak["unit"] == "TFLOP/s"
