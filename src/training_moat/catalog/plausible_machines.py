"""What stands around chips: buses to their hosts, networks of published runs, what is told of how these ran."""

from __future__ import annotations

from collections.abc import Iterator

from training_moat.catalog.descriptor import SEPARATOR
from training_moat.catalog.plausible_bounds import LINKS
from training_moat.catalog.plausible_words import PCIE_X16_GB_PER_S
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside

ROUNDED = 0.02
"""Most by which a network may be faster than what its chips carry."""

SLOWEST_NETWORK = 1 / 16
"""Least part of what a chip's network usually carries that a published run's did."""


@check_each("host_links")
def buses(sheet: Sheet) -> Iterator[Problem]:
    """Links between cards of a server that no generation of its bus carries."""
    column = "gb_per_s_per_direction"
    buses = list(PCIE_X16_GB_PER_S.values())
    expected = f"one of {', '.join(map(str, buses))}: sixteen lanes of PCI Express"
    yield from sheet.refused(~sheet[column].isin(buses), column, expected)


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


@check_each("training_dispatchers", "training_graphs", beside="training_measurements")
def told_of_runs(told: Sheet, runs: Sheet) -> Iterator[Problem]:
    """Words on how a source's runs exchange tokens, or what graphs captured of them, where it has no runs, or none of the
    models named."""
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
