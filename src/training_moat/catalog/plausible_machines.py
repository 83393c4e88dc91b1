"""What stands around chips: buses to their hosts, slower memories, networks of published runs, how experts exchange tokens."""

from __future__ import annotations

from collections.abc import Iterator

from training_moat.catalog.descriptor import SEPARATOR
from training_moat.catalog.plausible_bounds import LINKS, over_median
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside, times_off

BUSES = (16, 32, 64, 128)
"""GB/s in each direction of sixteen lanes of PCI Express, generations 3 to 6."""

ROUNDED = 0.02
"""Most by which two statements of one figure may differ."""

READ_IN = 10.0
"""Most by which the time to read a memory once differs from that of others of its kind."""

SLOWEST_NETWORK = 1 / 16
"""Least part of what a chip's network usually carries that a published run's did."""

SLOWER = (("gb", "ddr_gb"), ("gb_per_s", "ddr_gb_per_s"))
"""Column of memory_tiers.csv, and the column of chips.csv that has the same figure."""


@check_each("host_links")
def buses(sheet: Sheet) -> Iterator[Problem]:
    """Links between cards of a server that no generation of its bus carries."""
    column = "gb_per_s_per_direction"
    expected = f"one of {', '.join(map(str, BUSES))}: sixteen lanes of PCI Express"
    yield from sheet.refused(~sheet[column].isin(BUSES), column, expected)


@check("memory_tiers", "chips")
def slower_memories(tiers: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Memories beside a chip that chips.csv has otherwise."""
    for mine, theirs in SLOWER:
        ratio = tiers[mine] / tiers.of_chip(chips, chips[theirs])
        wrong = (ratio - 1).abs() > ROUNDED
        yield from tiers.refused(wrong, mine, f"the same figure as {theirs} in chips.csv")


@check_each("chips")
def reading_times(chips: Sheet) -> Iterator[Problem]:
    """Memories beside a chip that take another time to read once than others of their kind (graphics memory, DDR, LPDDR)."""
    kind = chips.frame["ddr_type"].astype("string").str.extract(r"^([A-Z]*DDR|DRAM)")[0]
    ratio = over_median(chips["ddr_gb"] / chips["ddr_gb_per_s"], kind)
    yield from chips.flagged(
        times_off(ratio, READ_IN),
        "ddr_gb",
        "a size that its kind of memory is read in about as fast, or 'checked:' in notes",
    )


@check("training_networks", "training_measurements", "chips")
def networks_of_runs(networks: Sheet, runs: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Networks of published runs that are faster than their chips', or next to none."""
    rate = runs.of_chip(chips, chips[LINKS[1]])
    usual = rate.groupby(runs.frame["source"]).median()
    share = (
        networks["gbit_per_s"] / networks["chips"] / networks.frame["training_source"].map(usual)
    )
    wrong = outside(share, SLOWEST_NETWORK, 1 + ROUNDED)
    yield from networks.refused(wrong, "gbit_per_s", f"at most what {LINKS[1]} says for the chips")


@check("training_dispatchers", "training_measurements")
def exchanges_of_runs(told: Sheet, runs: Sheet) -> Iterator[Problem]:
    """Words on how a source's runs exchange tokens where it has no runs, or none of the models named."""
    yield from _told_of_runs(told, runs)


@check("training_graphs", "training_measurements")
def graphs_of_runs(told: Sheet, runs: Sheet) -> Iterator[Problem]:
    """Words on what graphs captured of a source's runs where it has no runs, or none of the models named."""
    yield from _told_of_runs(told, runs)


def _told_of_runs(told: Sheet, runs: Sheet) -> Iterator[Problem]:
    known = runs.frame.groupby("source")["model_id"].agg(lambda models: set(models.dropna()))
    for position, row in enumerate(told.frame.itertuples()):
        if row.training_source not in known.index:
            yield told.problem(position, "training_source", "a source of training_measurements.csv")
        elif isinstance(row.models, str) and not (
            set(row.models.split(SEPARATOR)) <= known[row.training_source]
        ):
            yield told.problem(
                position, "models", "models of its runs in training_measurements.csv"
            )
