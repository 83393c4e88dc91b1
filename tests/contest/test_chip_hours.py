"""Dollars per chip-hour: bought, rented, and compared."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from training_moat.catalog import chips, scenario, tables
from training_moat.catalog.dates import day
from training_moat.contest import chip_hours, serving_costs


def test_a_bought_chip_costs_its_price_over_its_busy_life():
    chip = replace(chips.chip("h100-sxm"), id="own", price_usd=30_000.0, tdp_w=700.0)
    known = {name: item.median for name, item in chip_hours.assumptions().items()}
    hours = known["life_years"] * 8766 * known["busy_share"]
    capital = 30_000 * known["server_overhead"] / (1 - known["network_share"]) / hours
    watts = 700 * known["power_per_tdp"] * known["load_share"] * known["pue"]
    found = chip_hours.purchase(chip)
    assert found.capital_usd == pytest.approx(capital)
    assert found.power_usd == pytest.approx(watts / 1000 * known["electricity_usd_per_kwh"])


def test_the_price_of_a_system_is_not_marked_up_again():
    wafer = chips.chip("wse-2")
    plain = replace(wafer, id="own-wafer")
    assert chip_hours.capital_usd_per_h(wafer, 1e6) < chip_hours.capital_usd_per_h(plain, 1e6)


def test_two_prices_are_compared_only_when_known_in_the_same_way():
    rival = chips.chip("h100-sxm")
    own, other = chip_hours.pair(chips.chip("mi300x"), rival)
    assert own.basis == other.basis
    assert chip_hours.pair(chips.chip("sn10"), rival) is None


def test_a_chip_that_is_not_sold_has_no_price_of_sale():
    assert chip_hours.purchase(chips.chip("tpu-v7")) is None


def test_a_variant_of_a_chip_priced_with_its_system_pays_for_no_second_server(tmp_path):
    """A scenario's copy of GB200, whose price is a part of a rack, had been charged a server on top of it."""
    path = tmp_path / "own.yaml"
    path.write_text("chips: {same: {base: gb200}, dearer: {base: gb200, price_usd: 40000}}")
    rack = chip_hours.purchase(chips.chip("gb200"))
    with scenario.laid_over(path):
        same, dearer = (chip_hours.purchase(chips.chip(name)) for name in ("same", "dearer"))
    assert same.capital_usd == pytest.approx(rack.capital_usd)
    assert dearer.capital_usd == pytest.approx(rack.capital_usd * 40_000 / 35_000)


def test_what_used_chips_cost_is_no_price_of_sale():
    """The A100's price of 2026, second-hand, had stood beside what its rivals cost when they were new."""
    table = tables.load("chips")
    used = table["price_note"].where(table["id"] != "a100-80", "2026 refurb/used street range")
    assert chip_hours.purchase(chips.chip("a100-80")) is not None
    with tables.replaced(chips=table.assign(price_note=used)):
        assert chip_hours.purchase(chips.chip("a100-80")) is None


def test_a_rent_holds_its_power():
    found = chip_hours.rent(chips.chip("a100-80"), "on-demand", pd.Timestamp("2022-08-01"))
    assert 0 < found.power_usd < found.usd


def test_a_single_quote_is_as_uncertain_as_sellers_differ():
    least, most = chip_hours.sellers("on-demand")
    assert least < 0.7 and most > 1.5
    found = chip_hours.rent(chips.chip("mi325x"), "on-demand", pd.Timestamp("2026-05-01"))
    assert found.quotes == 1 and (found.low, found.high) == (least, most)
    many = chip_hours.rent(chips.chip("a100-80"), "on-demand", pd.Timestamp("2022-08-01"))
    assert many.quotes >= chip_hours.COMPANY and many.high / many.low < most / least


def test_one_list_price_against_one_discount_is_compared_only_where_nothing_else_is_known():
    found = chip_hours.pair(chips.chip("mi325x"), chips.chip("gb200"))
    assert {one.basis for one in found} == {chip_hours.OWNERSHIP}


def test_a_price_says_of_what_kind_it_is_and_on_how_few_quotes_it_rests():
    when = pd.Timestamp("2024-07-23")
    h200, h100 = (chip_hours.hourly(chips.chip(one), when) for one in ("h200", "h100-sxm"))
    assert h200.quotes == 2 and h200.words.endswith("(2 quotes)")
    assert h100.quotes > 2 and "quote" not in h100.words
    assert "quote" not in chip_hours.purchase(chips.chip("h200")).words
    served = serving_costs.costs("llama3.1-70b", ["h200", "h100-sxm"], when=when)
    assert set(served["price"]) == {h200.words, h100.words}


RENTED = """
chips:
  copy: {base: h100-sxm, hbm_gb: 160}
  larger: {base: copy, hbm_gb: 320}
  renter: {base: h100-sxm, cloud_usd_per_h: 1.2}
  renters: {base: renter, hbm_gb: 160}
  both: {base: h100-sxm, cloud_usd_per_h: 1.2, price_usd: 20000}
"""


def test_a_rent_counts_as_the_users_own_only_where_the_scenario_states_it(tmp_path):
    """A chip made from H100 had H100's contract of 2026 as its "own figure": 24 million dollars beside H100's own 89; and
    one with a rent of its own was counted by the chip, "with no price known for both"."""
    file = tmp_path / "own.yaml"
    file.write_text(RENTED, encoding="utf-8")
    with scenario.laid_over(file):
        known, rival = chips.all_chips(), chips.chip("h100-sxm")
        priced = {name: chip_hours.hourly(known[name], day("2024-07")) for name in known}
        assert {priced[name].basis for name in ("copy", "larger")} == {"purchase"}
        assert {priced[name].words for name in ("renter", "renters")} == {"rent, own figure"}
        for name in ("renter", "renters"):
            own, other = chip_hours.pair(known[name], rival)
            assert (own.usd, other.usd) == pytest.approx((1.2, rival.cloud_usd_per_h))
            assert (own.words, other.words) == ("rent, own figure", "rent, contract of years")
        assert {chip_hours.pair(known[one], rival)[0].basis for one in ("copy", "both")} == {
            "purchase"
        }
    own, other = chip_hours.pair(chips.chip("mi300x"), chips.chip("h100-sxm"))
    assert chip_hours.CONTRACT not in (own.when, other.when)
