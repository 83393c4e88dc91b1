"""One rule for a rate that nobody publishes, whoever asks."""

from __future__ import annotations

from training_moat.catalog import chips, relatives, scenario
from training_moat.contest import chip_assumptions
from training_moat.predict import interconnect, serving, serving_batch


def test_contest_and_serving_assume_the_same_link() -> None:
    lonely = [chip for chip in chips.all_chips().values() if not chip.scaleup and not chip.scaleout]
    both = 0
    for chip in lonely:
        served = serving_batch.networks(chip).scaleup
        assert served.bytes_per_s == relatives.taken(chip, "scaleup")[0]
        completed = chip_assumptions.completed(chip)[0]
        if completed.scaleup is not None:
            assert completed.scaleup == relatives.joined(chip).scaleup
            both += 1
    assert both >= 5


def test_cards_on_a_bus_of_which_no_rate_is_told_have_that_of_a_bus() -> None:
    """d-Matrix's cards talk over PCIe and had been given 450 GB/s, the rate of links between chips."""
    buses = relatives.rates("host")
    for name in ("corsair", "grayskull"):
        rate, words = relatives.taken(chips.chip(name), "scaleup")
        assert buses[0] <= rate <= buses[2] < relatives.rates("scaleup")[1] and "bus" in words
    (link, *_) = chip_assumptions.completed(chips.chip("corsair"))[1]
    assert link.low.scaleup.bytes_per_s <= link.high.scaleup.bytes_per_s <= buses[2]


def test_buses_of_servers_do_not_enter_the_rates_of_links_between_chips() -> None:
    """Ten cards more, all on buses of 16 to 64 GB/s, had brought the usual link between chips from 400 to 300 GB/s."""
    links = [chip.scaleup for chip in chips.all_chips().values() if chip.scaleup]
    between = sorted(link.bytes_per_s for link in links if link.topology != relatives.BUS)
    assert len(links) - len(between) >= 12
    low, middle, _ = relatives.rates("scaleup")
    assert between[0] <= low and middle == between[len(between) // 2] >= 300e9


def test_a_missing_link_keeps_the_shape_and_the_size_that_are_published() -> None:
    first, second = relatives.joined(chips.chip("gc2")).scaleup, chips.chip("gc200").scaleup
    assert (first.bytes_per_s, first.topology) == (second.bytes_per_s, second.topology)
    assert (first.domain_chips, second.domain_chips) == (16, 64)
    assert relatives.link(chips.chip("h100-sxm"), "scaleup") == chips.chip("h100-sxm").scaleup


def test_cards_of_a_server_sum_over_its_bus_and_not_over_the_network() -> None:
    """Eight H100 PCIe: pairs by NVLink bridge, all by PCIe; measured all-reduces take tens of microseconds there and more
    than a hundred from server to server (table collective_measurements)."""
    common = {"model": "llama3.1-405b", "chip": "h100-pcie", "precision": "fp8", "batch": 1}
    asked = [common | {"chips": 16, "tp": tp, "pp": 16 // tp} for tp in (2, 8, 16)]
    pair, server, servers = (told["seconds"] for told in serving.predict(asked))
    sums = 2 * 126
    assert pair["communication"] / sums < 20e-6
    assert 15e-6 < server["communication"] / sums < 80e-6
    assert servers["communication"] / sums > 2 * server["communication"] / sums
    best = serving.predict([common | {"chips": 16}])[0]["plan"]
    assert best["tp"] <= 8 and best["pp"] >= 2


def test_a_network_of_pcie_cards_is_no_faster_than_their_bus() -> None:
    l40s = chips.chip("l40s")
    found = serving_batch.networks(l40s)
    assert found.scaleup.topology == "host" and l40s.scaleout is None
    assert found.scaleout.bytes_per_s <= found.server.bytes_per_s
    assert found.scaleout.bulk_step_latency_s > found.server.bulk_step_latency_s
    assert found.server == interconnect.host_fabric(l40s.scaleup)


def test_a_network_assumed_from_relatives_is_no_faster_than_the_links_inside() -> None:
    """Blackhole's ports between servers, once known, had given the older Wormhole three times its own cards' links."""
    older, newer = chips.chip("wormhole"), chips.chip("blackhole")
    assert newer.scaleout is not None and older.scaleup is not None and older.scaleout is None
    rate, words = relatives.taken(older, "scaleout")
    assert rate == older.scaleup.bytes_per_s < newer.scaleout.bytes_per_s
    assert "inside" in words


def test_a_chip_that_a_reader_invents_says_nothing_of_others(tmp_path):
    """With the book's own example SN40L's unpublished link had gone from 64 to 76 GB/s at its slow end."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "chips:\n  mine: {base: sn40l, scaleup_gb_per_s_per_direction: 5000}\n", encoding="utf-8"
    )
    before = relatives.rates("scaleup"), relatives.taken(chips.chip("sn40l"), "scaleup")
    with scenario.laid_over(path):
        assert chips.chip("mine").scaleup.bytes_per_s == 5000e9
        now = relatives.rates("scaleup"), relatives.taken(chips.chip("sn40l"), "scaleup")
    assert now == before


def test_memory_of_graphics_cards_does_not_say_how_fast_ddr_beside_a_chip_is() -> None:
    """SN50's DDR5, of unpublished rate, had been given 456 GB/s, the median of a table in which most are cards with GDDR."""
    known = [chip for chip in chips.all_chips().values() if chip.tier("ddr")]
    kinds = {chip.id: relatives.kind_of(chip, "ddr") for chip in known}
    assert kinds["rtx-4090"] == "gddr" and kinds["sn40l"] == kinds["gb200"] == "ddr"
    rate, _ = relatives.taken(chips.chip("sn50"), "ddr")
    assert relatives.rates("ddr")[0] < rate < relatives.rates("gddr")[0]
    assert rate <= max(chips.chip(name).tier("ddr").bytes_per_s for name in ("sn40l", "sn30"))
