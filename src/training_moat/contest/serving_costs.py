"""What serving a model costs on a chip at a stated speed: the cheapest number of chips, batch and format; and what hosts
ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models, tables
from training_moat.contest import chip_hours
from training_moat.core.machine import Chip
from training_moat.core.units import SECONDS_PER_HOUR
from training_moat.inquiry.wording import counted, digits
from training_moat.inquiry.wording import listed as in_words
from training_moat.predict import serving
from training_moat.predict.engines import compared

COUNTS = tuple(2**power for power in range(10))
"""Numbers of chips tried, and more for chips of which so many do not hold the model (`_counts`)."""

BATCHES = (1, 4, 16, 64, 256, 1024)
"""Sequences served at once that are tried first."""

EIGHT_BITS = ("fp8", "int8")
"""Formats of one byte, of which the first that a chip multiplies is tried beside its widest: hosts serve in it (the names
on their lists say so: table token_prices)."""

HALVINGS = 3
"""How often the step from the largest of those that keeps the speed to the next is halved, in logarithms: the price falls
with every user more."""

SPEED = 20.0
"""Tokens a second that every user gets where nothing else is asked: somewhat faster than people read."""

LENGTH = 1024
"""Tokens of a prompt, and of its answer."""

COLUMNS = ["chip", "name", "vendor", "chips", "batch", "format", "tokens_per_s_per_user", "usd_per_mtok", "usd_low",
           "usd_high", "price", "chip_hours_per_mtok", "engine", "knowledge", "overhead"]  # fmt: skip

_RATE = "tokens_per_s_per_chip"


def costs(
    model: str,
    chips: Sequence[str] | None = None,
    speed: float = SPEED,
    when: pd.Timestamp | None = None,
) -> pd.DataFrame:
    """The cheapest way to give every user at least `speed` tokens a second, one row per chip that can.

    Columns: chip, name, vendor, chips, batch, format (of the weights: the chip's widest or one byte), tokens_per_s_per_user,
    usd_per_mtok with its 90% range (blank without a price), price (what kind of price of which day), chip_hours_per_mtok,
    engine (software assumed), knowledge, overhead (share of a token's time that the engine takes beside the chip).
    Million tokens are output tokens, their prompts' work included; the price is that of `when`, or of the launch.
    """
    names = chips or chip_catalog.all_chips()
    asked = tuple(chip_catalog.resolve(name) for name in names)
    return _costs(models.resolve(model), asked, speed, when)


@tables.kept(size=32, copied=True, lasting=True)
def _costs(
    model: str, names: tuple[str, ...], speed: float, when: pd.Timestamp | None
) -> pd.DataFrame:
    known = chip_catalog.all_chips()
    common = {"model": model, "input_len": LENGTH, "output_len": LENGTH}
    forms = [(name, form) for name in names for form in _formats(known[name])]
    counts = _counts(names, common)
    left = [(name, count, form) for name, form in forms for count in counts[name]]
    rows: list[tuple[_Tried, int, dict]] = []
    for batch in BATCHES:
        # More sequences at once are never faster for each, so that what fails is not asked again.
        kept = _keeping([(tried, batch) for tried in left], speed, common)
        left = [tried for tried, _, _ in kept]
        rows += kept
    rows += _finer({tried: batch for tried, batch, _ in rows}, speed, common)
    best: dict[str, tuple[int, dict]] = {}
    for (name, _, _), batch, told in rows:
        if name not in best or told[_RATE] > best[name][1][_RATE]:
            best[name] = (batch, told)
    found = [_row(name, *best[name], when) for name in names if name in best]
    order = ["usd_per_mtok", "chip_hours_per_mtok", "chip"]
    return pd.DataFrame(found, columns=COLUMNS).sort_values(order, kind="stable", ignore_index=True)


_Tried = tuple[str, int, str | None]
"""A chip, a number of it, and a format of the weights (None: the widest)."""


def _counts(names: Sequence[str], common: dict) -> dict[str, tuple[int, ...]]:
    """Numbers of each chip that are tried: `COUNTS`, or where these are too few to hold the model the powers of two from the
    fewest that do, four of them (Groq serves one model on hundreds of its chips)."""
    found = {}
    for name, told in zip(names, serving.predict([common | {"chip": name} for name in names])):
        least = told["plan"]["chips"] if told["ok"] and told["fits"] else 1
        first = (least - 1).bit_length()
        found[name] = COUNTS if least <= COUNTS[-1] else tuple(2 ** (first + k) for k in range(4))
    return found


def _formats(chip: Chip) -> list[str | None]:
    """The widest format and, where the chip multiplies one, a format of one byte."""
    return [None, *[name for name in EIGHT_BITS if chip.peak_flops.get(name)][:1]]


def _finer(
    largest: dict[_Tried, int], speed: float, common: dict
) -> list[tuple[_Tried, int, dict]]:
    """Batches between the largest that keeps the speed and the next one tried, halved towards the largest of all."""
    further = dict(pairwise(BATCHES))
    ends = {one: (batch, further[batch]) for one, batch in largest.items() if batch in further}
    rows = []
    for _ in range(HALVINGS):
        middle = {tried: round(np.sqrt(low * high)) for tried, (low, high) in ends.items()}
        kept = _keeping(list(middle.items()), speed, common)
        keeps = {tried for tried, _, _ in kept}
        ends = {
            tried: (middle[tried], high) if tried in keeps else (low, middle[tried])
            for tried, (low, high) in ends.items()
        }
        rows += kept
    return rows


def _keeping(
    tried: Sequence[tuple[_Tried, int]], speed: float, common: dict
) -> list[tuple[_Tried, int, dict]]:
    """(what was tried, batch, answer) of those that hold the model, give every user the speed and let nobody wait for the
    first token longer than for all others, as those who find no room for their cache do."""
    known = chip_catalog.all_chips()
    asked = [
        common
        | {"chip": name, "chips": count, "batch": batch, "software": compared(known[name])}
        | ({} if form is None else {"precision": form})
        for (name, count, form), batch in tried
    ]
    told = [(*one, answer) for one, answer in zip(tried, serving.predict(asked), strict=True)]
    told = [one for one in told if one[2]["ok"] and one[2]["fits"]]
    quick = [one for one in told if 1 / one[2]["tpot_s"] >= speed]
    return [one for one in quick if one[2]["ttft_s"] <= LENGTH * one[2]["tpot_s"]]


def _row(name: str, batch: int, told: dict, when: pd.Timestamp | None) -> dict[str, object]:
    chip = chip_catalog.chip(name)
    hours = 1e6 / told[_RATE] / SECONDS_PER_HOUR
    price = chip_hours.hourly(chip, when)
    slow, fast = (told[end] / told["tpot_s"] for end in ("tpot_s_p95", "tpot_s_p05"))
    usd = np.nan if price is None else hours * price.usd
    low, high = (np.nan, np.nan) if price is None else (price.low, price.high)
    low_usd = usd * np.exp(-np.hypot(np.log(fast), np.log(low)))
    high_usd = usd * np.exp(np.hypot(np.log(slow), np.log(high)))
    plan = told["plan"]
    asked = (name, chip.name, chip.vendor, plan["chips"], batch, plan["precision"])
    priced = "" if price is None else price.words
    costs = (1 / told["tpot_s"], usd, low_usd, high_usd, priced, hours)
    known = (plan["software"], told["calibration"], told["seconds"]["overhead"] / told["tpot_s"])
    return dict(zip(COLUMNS, (*asked, *costs, *known), strict=True))


def listed(model: str) -> pd.DataFrame:
    """What hosts ask for a million output tokens and the prompts that go with them, cheapest first, each host as last listed.

    Columns: host, as_listed, usd_per_m_input, usd_per_m_output, usd_per_mtok (output tokens and their prompts), date,
    source. Empty where no host lists the model. A list price is no cost: it holds a margin or a loss.
    """
    table = tables.load("token_prices")
    own = table[table["model_id"] == models.resolve(model)]
    own = own.sort_values(["date", "row_id"], kind="stable")
    own = own.drop_duplicates("host", keep="last")
    own = own.assign(usd_per_mtok=own["usd_per_m_output"] + own["usd_per_m_input"])
    names = ["host", "as_listed", "usd_per_m_input", "usd_per_m_output", "usd_per_mtok", "date", "source"]  # fmt: skip
    return own.sort_values(["usd_per_mtok", "host"], kind="stable", ignore_index=True)[names]


def market_words(title: str, served: pd.DataFrame, hosts: pd.DataFrame) -> str:
    """The costs that were found (`costs`) beside what hosts ask (`listed`), in a sentence or two."""
    if hosts.empty:
        return f"No host on our list offers {title}, so that no market price stands beside these costs."
    asked, priced = hosts["usd_per_mtok"], served.dropna(subset="usd_per_mtok")
    last = hosts["date"].max()
    gone = int((hosts["date"] < last).sum())
    then = (
        f"; {gone} of them had it on an older list alone, of {hosts['date'].min()}" if gone else ""
    )
    words = (
        f"For a million answered tokens and prompts as long, {counted(len(hosts), 'host')} on our list "
        f"{'asks' if len(hosts) == 1 else 'ask'} **{digits(asked.median())} USD** in the middle, {digits(asked.min())} "
        f"({hosts['host'].iloc[0]}) to {digits(asked.max())} ({hosts['host'].iloc[-1]}), by lists of {last}{then}."
    )
    if priced.empty:
        return words
    below = int((priced["usd_per_mtok"] <= asked.median()).sum())
    cheapest = priced.iloc[0]
    return (
        f"{words} Of the {counted(len(priced), 'chip')} of the table with a price, {below} can do it for no more than the "
        f"middle host asks; the cheapest is {cheapest['name']}, at {digits(cheapest['usd_per_mtok'])} USD."
    )


def strained_words(served: pd.DataFrame) -> str:
    """Of the costs that were found (`costs`), the prices of machines that keep the speed for fewer users than they have
    chips, in a sentence."""
    few = served[(served["batch"] < served["chips"]) & served["usd_per_mtok"].notna()]
    if few.empty:
        return ""
    return (
        f" {in_words(list(few['name']))} {'keeps' if len(few) == 1 else 'keep'} that speed only with more chips than "
        f"users at once: the price beside {'it' if len(few) == 1 else 'each'} is that of the wrong machine, which nobody would pay."
    )


MOST = 0.5
"""Share of a token's time from which on what is assumed of the software is more than all that is known of the chip."""


def assumed_words(served: pd.DataFrame) -> str:
    """Of which chips the costs that were found (`costs`) are mostly those of an assumption: nobody timed them or their
    relatives, and the usual overheads of software take more than half of each token's time. In a sentence."""
    guessed = served[(served["knowledge"] == "generic") & (served["overhead"] > MOST)]
    if guessed.empty:
        return ""
    one = len(guessed) == 1
    return (
        f" Of {in_words(list(guessed['name']))} nobody timed serving: more than half of each token's time is the overhead of "
        f"software that is assumed for {'it' if one else 'them'}, and the cost found is that of this assumption."
    )
