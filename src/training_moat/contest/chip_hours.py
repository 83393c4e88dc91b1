r"""What an hour of a chip costs on a given day: rented, owned, or bought and written off, and its power.

A bought chip costs per hour

$$c = \frac{p \, s}{(1-n) \, L \, b} + W w \ell \, \mathrm{PUE} \, e$$

with price $p$, server overhead $s$, network share $n$, life $L$ in hours, busy share $b$, rated power $W$, server power
over it $w$, load share $\ell$ and electricity price $e$ (Cottier et al. 2024, sections 3.2 and 3.3; table
cost_assumptions). A rent or a cost of ownership holds the power already; it is taken out with the same formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import scenario, tables
from training_moat.catalog.cited import cited
from training_moat.catalog.dates import day
from training_moat.contest.reference_jobs import start
from training_moat.core.machine import Chip
from training_moat.inquiry.chip_stock import HOURS_PER_YEAR
from training_moat.inquiry.uncertainty import Uncertain, of_row
from training_moat.inquiry.wording import counted

RENT, OWNERSHIP, PURCHASE = "rent", "cost of ownership", "purchase"
TERMS = {"on-demand": "on-demand", "on-demand list": "on-demand", "3-year commit": "3-year commit"}
"""Terms of a rent that are compared, each with its own kind."""

SAME_DAY = pd.Timedelta(days=200)
"""Two rents are of the same day when they are quoted within half a year or so."""

AT_LAUNCH = pd.Timedelta(days=550)
"""A rent speaks for a chip's launch when it was quoted within a year and a half of it."""

OWN = "own figure"
"""Day of a price that a scenario states."""

CONTRACT = "contract of years"
"""What the rents of the chips table are, which are of no dated quote."""

COMPANY = 3
"""Quotes of one chip around a day that tell how far its sellers lie apart."""

LEAST_CAPITAL_SHARE = 0.1
"""What is left of a rent at least once power is taken out."""


@dataclass(frozen=True)
class HourlyPrice:
    """US dollars per chip-hour: `capital_usd` (all but power) and `power_usd`; `low` and `high` are factors on the
    capital that bound 90%; `basis` says how it is known, `when` of what day, `quotes` counts what it rests on."""

    capital_usd: float
    power_usd: float
    low: float
    high: float
    basis: str
    when: str
    sources: tuple[str, ...] = ()
    quotes: int = 1

    @property
    def usd(self) -> float:
        """Dollars per chip-hour, power included."""
        return self.capital_usd + self.power_usd

    @property
    def few(self) -> bool:
        """Whether it is a rent that fewer sellers quoted than tell how far they lie apart."""
        quoted = self.basis.startswith(RENT) and self.when not in (OWN, CONTRACT)
        return quoted and self.quotes < COMPANY

    @property
    def words(self) -> str:
        """How it is known, of what day, and on how few quotes where it is a rent."""
        rests = f" ({counted(self.quotes, 'quote')})" if self.few else ""
        return f"{self.basis}, {self.when}{rests}"


@tables.kept()
def assumptions() -> dict[str, Uncertain]:
    """The uncertain inputs of the formula by name."""
    return {row["name"]: of_row(row) for _, row in tables.load("cost_assumptions").iterrows()}


def facility_watts(chip: Chip) -> float | None:
    """Power one chip takes in training at the meter, its share of the server and the cooling included."""
    if not chip.tdp_w:
        return None
    known = assumptions()
    server = 1.0 if chip_catalog.covers_system(chip, "power") else known["power_per_tdp"].median
    return chip.tdp_w * server * known["load_share"].median * known["pue"].median


def power_usd_per_h(chip: Chip) -> float:
    """Dollars for one chip's electricity in an hour; zero where its power is not published."""
    return (facility_watts(chip) or 0.0) / 1000 * assumptions()["electricity_usd_per_kwh"].median


def capital_usd_per_h(chip: Chip, price_usd: float) -> float:
    """Dollars per hour of a bought chip with its server and network over its busy life, power left out."""
    known = {name: item.median for name, item in assumptions().items()}
    server = 1.0 if chip_catalog.covers_system(chip, "price") else known["server_overhead"]
    hours = known["life_years"] * HOURS_PER_YEAR * known["busy_share"]
    return price_usd * server / (1 - known["network_share"]) / hours


@tables.kept()
def spread() -> float:
    """How far the ends of a published price lie from its middle, as a factor: the median over the chips that have a range."""
    frame = chip_catalog.frame().dropna(subset=["price_usd_low", "price_usd_high"])
    ratio = (frame["price_usd_high"] / frame["price_usd_low"]) ** 0.5
    return float(ratio[ratio > 1].median())


def _usual_ends() -> tuple[float, float]:
    """Ends of a price that is published without any, over its middle."""
    return 1 / spread(), spread()


def purchase(chip: Chip) -> HourlyPrice | None:
    """The hourly price of a bought chip, or None where no price is known, or none of a new chip."""
    row = chip_catalog.row(chip.id)
    if not chip.price_usd or chip_catalog.not_as_new(row.get("price_note")):
        return None
    low, high = (float(row.get(f"price_usd_{end}") or "nan") for end in ("low", "high"))
    own = low < high
    ends = (low / chip.price_usd, high / chip.price_usd) if own else _usual_ends()
    sources = str(row.get("source_price") or "").split(";")
    when = "new" if chip.id in chip_catalog.all_chips() else OWN
    capital = capital_usd_per_h(chip, chip.price_usd)
    keys = tuple(key for key in sources if key and key != "nan")
    return HourlyPrice(capital, power_usd_per_h(chip), *ends, PURCHASE, when, keys)


def _without_power(chip: Chip, usd: float, ends: tuple[float, float], **rest: Any) -> HourlyPrice:
    """A price of which the chip's power is a part. ends: of the price, over it."""
    power = min(power_usd_per_h(chip), (1 - LEAST_CAPITAL_SHARE) * usd)
    return HourlyPrice(usd - power, power, *ends, **rest)


def ownership(chip: Chip) -> HourlyPrice | None:
    """A published cost of ownership per chip-hour, or None."""
    usd = chip_catalog.row(chip.id).get("tco_neocloud_usd_per_h")
    if usd is None or pd.isna(usd):
        return None
    keys = ("inferencex_constants",)
    told = {"basis": OWNERSHIP, "when": "2025", "sources": keys}
    return _without_power(chip, float(usd), _usual_ends(), **told)


@tables.kept()
def quotes() -> pd.DataFrame:
    """All dated rents of table chips. Columns: chip_id, kind, day, usd, source."""
    frame = tables.load("prices")
    frame = frame[(frame["category"] == "cloud_chip_hour") & frame["chip_id"].notna()]
    frame = frame[frame["term"].isin(TERMS) & frame["date"].notna()]
    found = frame.assign(kind=frame["term"].map(TERMS), day=frame["date"].map(day))
    found = found.rename(columns={"value": "usd"})[["chip_id", "kind", "day", "usd", "source"]]
    return found.reset_index(drop=True)


@tables.kept()
def _quotes_by_kind() -> dict[tuple[str, str], pd.DataFrame]:
    """`quotes` by chip and kind."""
    return {(chip, kind): own for (chip, kind), own in quotes().groupby(["chip_id", "kind"])}


def _quoted(chip: Chip, kind: str) -> pd.DataFrame:
    """The quotes of one kind for a chip."""
    return _quotes_by_kind().get((chip.id, kind), quotes().iloc[:0])


@tables.kept()
def sellers(kind: str) -> tuple[float, float]:
    """How far one seller's rent lies from the middle of those quoted for the same chip around the same day: fifth and
    ninety-fifth percentile over all quotes of that kind that have company."""
    found, ratios = quotes(), []
    for _, own in found[found["kind"] == kind].groupby("chip_id", sort=True):
        days, usd = own["day"].to_numpy(), own["usd"].to_numpy(float)
        for at, one in zip(days, usd, strict=True):
            near = usd[np.abs(days - at) <= SAME_DAY]
            if len(near) >= COMPANY:
                ratios.append(one / np.median(near))
    least, most = _usual_ends()
    if not ratios:
        return least, most
    low, high = np.quantile(ratios, (0.05, 0.95))
    return min(float(low), least), max(float(high), most)


def rent(chip: Chip, kind: str, when: pd.Timestamp) -> HourlyPrice | None:
    """The median rent of one kind quoted for a chip around a day; its ends are those of the quotes, and with few of them
    as far apart as sellers of one chip are."""
    found = _quoted(chip, kind)
    found = found[(found["day"] - when).abs() <= SAME_DAY]
    if found.empty:
        return None
    middle = float(found["usd"].median())
    low, high = (float(found["usd"].min() / middle), float(found["usd"].max() / middle))
    least, most = sellers(kind) if len(found) < COMPANY else _usual_ends()
    ends = min(low, least), max(high, most)
    told = {"basis": f"{RENT}, {kind}", "when": f"{when:%Y-%m}", "sources": cited(found)}
    return _without_power(chip, middle, ends, **told, quotes=len(found))


def _first_common(chip: Chip, other: Chip, kind: str) -> pd.Timestamp | None:
    """The first day on which both have a quote of one kind."""
    own, rival = _quoted(chip, kind)["day"], _quoted(other, kind)["day"]
    common = [at for at in sorted(own) if ((rival - at).abs() <= SAME_DAY).any()]
    return common[0] if common else None


def _states(chip: Chip, column: str) -> bool:
    """Whether the active scenario gives a chip a column itself, or gives it to a chip of its own that this one starts from:
    what comes from a base of the table is no figure of the user's."""
    found = scenario.active()
    if found is None:
        return False
    line, bodies = scenario.line_of(chip.id, scenario.bases("chips")), found.bodies("chips")
    told = [bodies[name][column] for name in line if column in bodies.get(name, ())]
    return bool(told) and told[0] is not None


def _own_figure(chip: Chip) -> HourlyPrice | None:
    """The rent that a scenario states for a chip."""
    if not _states(chip, "cloud_usd_per_h"):
        return None
    return _table_rent(chip, OWN)


def _table_rent(chip: Chip, when: str) -> HourlyPrice | None:
    """The rent in a chip's row, or None."""
    if not chip.cloud_usd_per_h:
        return None
    return _without_power(chip, chip.cloud_usd_per_h, _usual_ends(), basis=RENT, when=when)


Pair = tuple[HourlyPrice, HourlyPrice]


def _both(own: HourlyPrice | None, other: HourlyPrice | None) -> list[Pair]:
    """The pair where both are known."""
    return [] if own is None or other is None else [(own, other)]


def _rents(chip: Chip, other: Chip) -> list[Pair]:
    pairs: list[Pair] = []
    for kind in dict.fromkeys(TERMS.values()):
        when = _first_common(chip, other, kind)
        if when is not None:
            pairs += _both(rent(chip, kind, when), rent(other, kind, when))
    return pairs


def pair(chip: Chip, other: Chip) -> Pair | None:
    """Hourly prices of two chips known in the same way and of the same day, or None.

    A rent quoted for both around the challenger's launch, more than once for each, comes first, then the price of sale,
    the cost of ownership, and other rents: one seller's list price against another's discount is no comparison. A rent that
    a scenario states stands against the other's contract of years, before all these unless it states a price of sale, too.
    """
    own = _both(_own_figure(chip), _table_rent(other, CONTRACT))
    stated = [] if _states(chip, "price_usd") else own
    rents = _rents(chip, other)
    first = start(chip)
    firm = [both for both in rents if min(one.quotes for one in both) > 1]
    early = [both for both in firm if day(both[0].when) - first <= AT_LAUNCH]
    bought = _both(purchase(chip), purchase(other))
    owned = _both(ownership(chip), ownership(other))
    return next(iter([*stated, *early, *bought, *owned, *rents, *own]), None)


def ratio(both: Pair | None) -> float:
    """The first one's hourly price over the other's, one where they are not known in the same way."""
    return 1.0 if both is None else both[0].usd / both[1].usd


def hourly(chip: Chip, when: pd.Timestamp | None) -> HourlyPrice | None:
    """One chip's hourly price around a day (None: its launch): a rent of that time, else the price of sale, the cost of
    ownership, or a rent of another time."""
    around = start(chip) if when is None else when
    rents = []
    for kind in dict.fromkeys(TERMS.values()):
        days = _quoted(chip, kind)["day"]
        if len(days):
            nearest = days.iloc[(days - around).abs().argmin()]
            rents.append((abs(nearest - around), rent(chip, kind, nearest)))
    near = [one for away, one in rents if away <= AT_LAUNCH]
    known = (*near, _own_figure(chip), purchase(chip), ownership(chip), *(one for _, one in rents))
    return next((one for one in known if one is not None), None)
