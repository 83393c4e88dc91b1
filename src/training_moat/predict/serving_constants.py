"""The constants of serving: what they are, where they start, and which of them speak for a chip and an engine.

A constant is a generic value times the factors of the chip's class (for ports of old releases, those of the time too), of
its maker and of its family, the factor of the engine, and that of the engine's port to the family. What has no measurements
has factors of one, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np

from training_moat.catalog import descriptor, tables
from training_moat.catalog.dates import starts
from training_moat.predict import serving_software
from training_moat.predict.fitted import Fitted, Key

TABLE = "calibration_serving"
PRIORS = "serving_priors"

KV_PRECISION = "bf16"
"""Engines keep the cache in 16 bit unless told otherwise."""


class Constant(NamedTuple):
    """What is expected of a constant: median, standard deviation of its logarithm, what it cannot exceed, whether it is a
    `share`; and what has a factor on it, words of `felt_by` in the table."""

    start: float
    log_sd: float
    most: float
    share: bool
    felt_by: frozenset[str]


@tables.kept()
def _expected() -> dict[str, dict[str, Constant]]:
    """Every row of the table by level and constant, in its order."""
    found: dict[str, dict[str, Constant]] = {}
    for row in tables.load(PRIORS).fillna({"most": np.inf, "felt_by": ""}).itertuples():
        told = row.expected, row.log_sd, row.most, row.share == "yes"
        felt = frozenset(row.felt_by.split(descriptor.SEPARATOR))
        found.setdefault(row.level, {})[row.constant] = Constant(*told, felt)
    return found


def generic() -> dict[str, Constant]:
    """Every constant; its start is where the fit starts."""
    return _expected()["generic"]


def factors() -> dict[str, Constant]:
    """The factors on each constant, that of the host and its yearly one, all of which start at one."""
    return _expected()["factor"]


FIXED = ("tokens_per_step",)
"""Constants whose generic value is known and not fitted: without speculative decoding a pass yields one token."""

HOSTED = ("eager_layer_s", "eager_expert_s")
"""Constants that frameworks alone feel (`serving_software.frameworks`): fitted on their runs, with all others given."""

SPECULATIVE = ("cerebras", "sambanova")
"""Engines with a fitted `tokens_per_step`: their makers publish speeds at which the data sheet's bandwidth could not
read the weights once a token."""

YEARLY = ("generic", "all", "host_yearly")
"""What every overhead is multiplied by for each year that a chip family came after `SINCE`: newer chips and their hosts start
kernels sooner."""

SINCE = 2022.0
"""The year, Hopper's, of which overheads are told."""

GPU_MAKER = "nvidia"
"""The maker for whose chips engines are written first."""


def maker(family: str) -> str:
    """The maker of a chip family, whose chips share a programming stack: the first word of its name."""
    return family.split("-")[0]


def class_of(family: str, engine: str) -> str:
    """What an engine on a chip family has in common with others by whom it was written for: `compiled` for whole machines
    by their maker's compiler, `ported` to the chips of other makers than Nvidia, blank on those that engines are written
    for first, which the generic values describe."""
    if engine in serving_software.compiled():
        return "compiled"
    return "" if maker(family) == GPU_MAKER else "ported"


def classes_of(family: str, engine: str) -> list[str]:
    """The classes whose factors an engine has on a chip family: its own, and for a port, whose makers caught up within
    months, that of its era, such as `ported-2024`."""
    kind, era = class_of(family, engine), serving_software.timed_in(engine)
    return [kind] * bool(kind) + [f"{kind}-{era}"] * (kind == "ported" and bool(era))


@tables.kept()
def _years() -> dict[str, float]:
    """Years after `SINCE` in which the first chip of each family was announced."""
    chips = tables.load("chips")
    first = starts(chips["announced"]).groupby(chips["family"]).min()
    return (first.dropna() - SINCE).to_dict()


def power_of(key: Key, family: str) -> float:
    """How often a factor counts in the constants of a chip family: once, what is told by the year as often as years passed.
    A family without a date is taken as of `SINCE`."""
    return _years().get(family, 0.0) if key == YEARLY else 1.0


@tables.kept(size=1024)
def speaking(family: str, engine: str) -> dict[str, list[Key]]:
    """The factors, by (level, key, constant), whose product, each to its power (`power_of`), is each constant of an engine on
    a chip family."""
    base, era = serving_software.lineage(engine)
    own = [engine] if era else []
    classes = [("class", kind) for kind in classes_of(family, engine)]
    chip = [*classes, ("maker", maker(family)), ("family", family)]
    software = [("software", name) for name in (base, *own)] + [("era", era)] * bool(era)
    port = [("port", f"{family}/{name}") for name in (base, *own)]
    felt_by_host = factors()["host"].felt_by
    levels = {"family": chip, "engine": software, "port": port}
    host = [YEARLY]
    for what in ("family", "port"):
        host += [(*where, "host") for where in levels[what] if what in felt_by_host]
    return {
        name: [
            ("generic", "all", name),
            *((*where, name) for what in levels if what in one.felt_by for where in levels[what]),
            *(host if "host" in one.felt_by else ()),
        ]
        for name, one in generic().items()
    }


LEVELS = ("measured", "family", "generic")
"""How well the constants know a chip and engine, best first."""

MEASURED_SOURCES = 2
"""Sources that must have timed an engine on a chip before an answer counts as measured."""


def known_as(sources: int, family: bool, engine: bool) -> str:
    """`measured` where two sources or more timed this release of the engine on this chip, `family` where it was timed on
    any chip and any engine on the chip's family, else `generic`."""
    if sources >= MEASURED_SOURCES:
        return "measured"
    return "family" if family and engine else "generic"


def interval_kind(engine: str) -> str:
    """The kind of run whose errors set an engine's interval (`Fitted.interval`): frameworks have their own."""
    return "framework_" if serving_software.is_framework(engine) else ""


@dataclass(frozen=True)
class Constants(Fitted):
    """Values by (level, key, constant); levels are generic, class, maker, family, software, port (a family and an engine)
    and era (old releases of all engines).

    What all families of a maker share speaks for its next one, of which nothing has been timed, and what all makers of a
    class share for a new maker.

    An old release has the factors of its engine, of its era and of its own, each held to one: what it shares with the
    current release and with other engines of its time is learned from all of them, and a chip on which only the old
    release was measured keeps, under the current one, half of what was odd about the old one there.
    """

    def resolve(self, families: Sequence[str], engines: Sequence[str]) -> dict[str, np.ndarray]:
        """Every constant as an array for these chip families and engines; none exceeds its limit."""
        pairs = list(zip(families, engines, strict=True))
        place = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
        where = np.array([place[pair] for pair in pairs])
        table = np.array([self.of_pair(*pair) for pair in place])
        most = [one.most for one in generic().values()]
        return dict(zip(generic(), np.minimum(table, most)[where].T, strict=True))

    def of_pair(self, family: str, engine: str) -> list[float]:
        """Every constant for a chip family and an engine, whatever its limit."""
        starts = {("generic", "all", name): one.start for name, one in generic().items()}
        return [
            prod(
                self.values.get(key, starts.get(key, 1.0)) ** power_of(key, family) for key in keys
            )
            for keys in speaking(family, engine).values()
        ]

    def pairs_of(self, chip: str) -> dict[str, int]:
        """Engines measured on a chip, with the number of rows."""
        return dict(self._pairs.get(chip, {}))

    @cached_property
    def timed_on(self) -> dict[str, set[str]]:
        """Chips on which each engine was measured, in any of its releases."""
        found: dict[str, set[str]] = {}
        for chip, engines in self._pairs.items():
            for engine in engines:
                found.setdefault(serving_software.lineage(engine)[0], set()).add(chip)
        return found

    @cached_property
    def _pairs(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for (level, key, name), rows in self.values.items():
            if level == "pair" and name == "rows":
                chip, engine = key.split("/")
                found.setdefault(chip, {})[engine] = int(rows)
        return found

    def level(self, chip: str, family: str, engine: str) -> str:
        """How well the constants know a chip of a family and an engine (`known_as`)."""
        sources = self.values.get(("pair", f"{chip}/{engine}", "sources"), 0)
        return known_as(int(sources), family in self.keys("family"), engine in self._timed)

    @cached_property
    def _timed(self) -> set[str]:
        """Engines that were timed on any chip."""
        return {key.split("/")[1] for key in self.keys("pair")}


@tables.kept()
def stored() -> Constants:
    """The constants of data/calibration_serving.csv."""
    return Constants.stored(TABLE)
