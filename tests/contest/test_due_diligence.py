"""Three invented chips get reports that differ in the right way; what is missing widens; what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training_moat.contest import (
    chip_hours,
    counterfactual,
    due_diligence,
    inherited,
    single_changes,
    winners,
)
from training_moat.core.errors import InputError
from training_moat.inquiry import switching
from training_moat.inquiry.wording import digits

H100 = "base: h100-sxm\n    available: 2023-11\n"
CHIPS = {
    "sram-only": (
        "vendor: Own\n    fp16_tflops: 500\n    sram_mb: 50\n    sram_tb_per_s: 100\n    available: 2023-11\n"
        "    scaleup_gb_per_s_per_direction: 300\n    scaleup_domain_chips: 64\n"
        "    scaleout_gbit_per_s_per_chip: 400\n    tdp_w: 300\n    price_usd: 15000\n"
    ),
    "weak-network": H100 + "    scaleup_gb_per_s_per_direction: 4\n    scaleout_gbit_per_s_per_chip: 4\n",
    "twice-h100": H100 + "    bf16_tflops: 1978.8\n    fp16_tflops: 1978.8\n    fp8_tflops: 3957.8\n    hbm_tb_per_s: 6.7\n",
    "blanks": "vendor: Own\n    bf16_tflops: 900\n    hbm_gb: 80\n    hbm_tb_per_s: 3.2\n    available: 2023-11\n    scaleup_domain_chips: 8\n",
    "stated": (
        "vendor: Own\n    bf16_tflops: 900\n    hbm_gb: 80\n    hbm_tb_per_s: 3.2\n    available: 2023-11\n    scaleup_domain_chips: 8\n"
        "    scaleup_gb_per_s_per_direction: 450\n    scaleout_gbit_per_s_per_chip: 400\n"
    ),
    "no-memory": "vendor: Own\n    bf16_tflops: 900\n    available: 2023-11\n",
    "no-units": "vendor: Own\n    hbm_gb: 80\n    hbm_tb_per_s: 3.2\n    available: 2023-11\n",
    "gigabytes": H100 + "    hbm_tb_per_s: 3350\n",
    "undated": "name: Undated\n    bf16_tflops: 2000\n    hbm_gb: 192\n    hbm_tb_per_s: 6\n",
}  # fmt: skip
JOB = "llama2-70b"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    file = tmp_path_factory.mktemp("scenario") / "own.yaml"
    entries = "".join(f"  {name}:\n    {body}" for name, body in CHIPS.items())
    file.write_text(f"title: Own chips\nchips:\n{entries}", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOAT_SCENARIO", str(file))
        yield lambda name, job=JOB: due_diligence.report(name, job)


def factors(report):
    return due_diligence.flips(report).set_index(["goal", "change"])["factor"]


def test_sram_alone_stops_at_memory_and_only_memory_opens_it(reports):
    report = reports("sram-only")
    assert not report.split.possible and report.split.decides("memory")
    assert "cannot train" in due_diligence.answer(report)
    last = due_diligence.gates(report).iloc[-1]
    assert last["passed"] == "no" and np.isnan(last["distance"]) and "at any cost" in last["why"]
    found = factors(report)["do the job in time"]
    assert 1 < found["more memory"] < single_changes.LARGEST
    assert np.isinf(found["faster memory"]) and np.isinf(found["faster links"])


def test_hbm_with_a_weak_network_is_held_back_by_the_network(reports):
    report = reports("weak-network")
    assert report.split.gap > 1
    assert report.split.decides("network") and not report.split.decides("memory")
    costs = factors(report)["cost no more than Nvidia's"]
    assert costs["faster links"] < np.inf
    # Memory is not what holds it back: no amount of it helps.
    assert np.isinf(costs["more memory"]) and np.isinf(costs["faster memory"])


def test_twice_an_h100_at_the_same_price_has_no_gap_and_an_advantage_below_two(reports):
    report = reports("twice-h100")
    assert report.split.gap < 1
    assert due_diligence.AS_CHEAP not in set(due_diligence.flips(report)["goal"])
    assert 1.3 < report.advantage < 2.0
    assert report.chance > reports("weak-network").chance
    assert report.split.table.set_index("factor")["shapley"].idxmin() == "compute"


def test_a_chip_as_cheap_as_nvidias_is_told_what_a_move_asks_beyond(reports):
    """The report had "There is no goal that it misses" over a chip whose offer no buyer would move for."""
    report = replace(reports("twice-h100"), needed=switching.breakeven(100.0))
    wanted = report.needed.quantiles_in_use[1]
    assert report.split.gap < 1 and report.advantage < wanted < np.inf
    changes = factors(report)[due_diligence.WORTH_A_MOVE]
    assert changes["lower price and power"] == pytest.approx(wanted / report.advantage)
    assert changes["faster multipliers"] > 1
    # More of it is needed for a move than to be as cheap.
    both = factors(reports("weak-network"))
    links = (
        both[goal]["faster links"] for goal in (due_diligence.AS_CHEAP, due_diligence.WORTH_A_MOVE)
    )
    assert next(links) < next(links)


def test_a_buyer_for_whom_no_move_pays_and_nvidias_own_chip_are_told_in_words(reports):
    """The page had "needs an advantage of without limit times", and of H100 that it must be 1.5 times itself."""
    report = replace(reports("twice-h100"), needed=switching.breakeven(0.1))
    assert np.isinf(report.needed.quantiles_in_use[1])
    told = f"{due_diligence.answer(report)} {due_diligence.needed_words(report)}"
    assert "without limit" not in told and told.count("no advantage would pay") == 1
    assert np.isinf(factors(report)[due_diligence.WORTH_A_MOVE]).all()
    itself = due_diligence.report("h100-sxm")
    assert "nobody has to move" in due_diligence.answer(itself)
    assert due_diligence.flips(itself).empty


def test_every_job_is_priced_for_both_chips_as_their_gap_is(reports):
    """A chip with a price of sale had stood beside rents of Nvidia's chip: 2.3 dollars an hour on one job, 3.7 on another."""
    report = reports("twice-h100")
    assert report.split.basis.startswith("purchase")
    own, rival = chip_hours.pair(report.chip, report.rival.chip)
    told = due_diligence.jobs(report).dropna(subset=["musd", "yardstick_musd"])
    assert len(told) > 3
    for price, before in ((own, ""), (rival, "yardstick_")):
        hours = told[f"{before}chips"] * told[f"{before}days"] * 24
        assert (1e6 * told[f"{before}musd"] / hours).to_numpy() == pytest.approx(price.usd)


def test_missing_fields_are_said_and_widen_the_range(reports):
    blank, stated = (reports(name, "llama3.1-405b") for name in ("blanks", "stated"))
    said = " ".join(blank.assumed)
    assert (
        "link that joins its 8 chips" in said
        and "no price" in said
        and "power is not given" in said
    )
    ranges = [
        report.split.table.set_index("factor").loc["network", ["shapley_low", "shapley_high"]]
        for report in (blank, stated)
    ]
    (low, high), (least, most) = ranges
    assert low < 0 < high and most == pytest.approx(least) and blank.split.high > stated.split.high
    assert not any("link" in words or "network" in words for words in stated.assumed)


def test_runs_of_one_source_are_not_called_few():
    """Forty-seven runs on Ponte Vecchio had been "too few"."""
    told = due_diligence.report("ponte-vecchio").assumed
    assert any("runs on it on record, of one source alone" in one for one in told)


def test_without_a_price_the_answer_says_what_the_chip_may_cost(reports):
    report = reports("blanks")
    assert "would have to cost at most" in due_diligence.answer(report)
    assert due_diligence.price_to_pay(report) == pytest.approx(
        report.advantage / report.needed.quantiles_in_use[1]
    )


def test_the_share_of_scarce_parts_is_told_for_a_maker_the_table_does_not_name(reports):
    """`blanks` is of an unknown maker; `weak-network` starts from Nvidia's chip, whose share is on record."""
    unknown, named = (reports(name).assumed for name in ("blanks", "weak-network"))
    assert sum("share of the scarce parts Own gets is not published" in one for one in unknown) == 1
    assert not any("scarce parts" in one for one in named)
    # A scenario need not say who makes its chip.
    nobodys = reports("undated").assumed
    assert sum("share of the scarce parts the maker of Undated gets" in one for one in nobodys) == 1
    assert any("uptime" in one for one in unknown)
    # Without such memory it waits for none, so that nothing is assumed.
    assert not any("scarce parts" in one for one in reports("sram-only").assumed)


def test_the_chance_is_that_of_the_chapter_on_switching(reports):
    report = reports("twice-h100")
    assert report.chance == winners.chance(report.split, report.needed)
    assert 0 < report.chance < np.mean(report.needed.in_use <= report.advantage) + 0.5


def test_the_measure_names_day_job_and_yardstick(reports):
    told = due_diligence.measure(reports("stated"))
    assert "November 2023" in told and "Llama 2 70B of July 2023" in told and "H100 SXM5" in told
    assert "as asked" not in told and due_diligence.within_reach(reports("stated")) == ""
    year = due_diligence.measure(due_diligence.report("ascend-910b"))
    assert year.startswith("The day is 2023, ")


def test_huaweis_chips_are_also_held_against_what_nvidia_made_for_export():
    told = due_diligence.within_reach(due_diligence.report("ascend-910c"))
    gap = counterfactual.split("ascend-910c", "deepseek-v3", "h20").gap
    assert "H20 (China)" in told and f"**{digits(gap)} times**" in told and "](http" in told


def test_a_chip_without_a_date_meets_nvidias_newest(reports):
    report = reports("undated")
    assert any("no date" in words for words in report.assumed)
    assert due_diligence.measure(report).startswith("No date is given for the chip")


def test_a_number_of_another_unit_is_doubted_in_the_report(reports):
    """On the terminal it had been, where who reads the page later does not look."""
    doubt = "column hbm_tb_per_s: 3,350 TB/s is 144 times the most of any chip in the tables"
    assert f"{doubt}, and is taken as it is" in reports("gigabytes").assumed
    assert not any("taken as it is" in words for words in reports("twice-h100").assumed)


def test_what_a_chip_has_from_its_base_is_said(reports):
    """A report had told of a chip's price and maker as if its own, which were those of the chip it was made from."""
    told = "what the scenario leaves out is H100 SXM5's: its maker, "
    assert told + "price, power, networks and training software" in reports("twice-h100").assumed
    assert told + "price, power and training software" in reports("weak-network").assumed
    assert not any("leaves out" in words for words in reports("blanks").assumed)
    assert inherited.told("h100-sxm") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("no-memory", "memory size not published"), ("no-units", "no peak published")],
)
def test_an_impossible_chip_is_refused_in_one_sentence(reports, name, words):
    with pytest.raises(InputError, match=words) as caught:
        reports(name)
    assert "\n" not in str(caught.value)


def test_neighbours_of_an_own_chip_are_chips_like_it(reports):
    report = reports("twice-h100")
    found = due_diligence.neighbours(report.chip)
    assert found["distance"].is_monotonic_increasing
    assert {"H100 SXM5", "H200 SXM5"} & set(found["name"])
    factors = due_diligence.neighbour_table(report.chip)["mean factor apart"]
    assert (factors >= 1).all() and np.allclose(np.log(factors), found["distance"])


def test_a_gate_that_cannot_be_far_has_no_distance(reports):
    gates = {gate.name: gate for gate in reports("stated").card.gates}
    assert np.isnan(gates["exchanges"].distance) and np.isnan(gates["holds"].distance)
    narrow = {gate.name: gate for gate in due_diligence.report("corsair").card.gates}
    assert narrow["formats"].passed == "no" and "MXINT4 and INT8" in narrow["formats"].why
    assert narrow["holds"].passed == "unknown" and "not asked" in narrow["holds"].why


def test_gates_carry_their_distance(reports):
    gates = due_diligence.gates(reports("weak-network")).set_index("gate")
    assert gates.loc["as cheap as Nvidia's", "passed"] == "no"
    assert gates.loc["as cheap as Nvidia's", "distance"] > 1
