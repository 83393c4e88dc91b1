"""The sentences, titles and captions of the switching chapter, computed from its distributions and tables."""

from __future__ import annotations

import math

import pandas as pd

from training_moat.inquiry.precision_words import Picture
from training_moat.inquiry.switching import Breakeven, band


def times(advantage: float) -> str:
    """An advantage for a sentence."""
    return "without limit" if math.isinf(advantage) else f"{advantage:.2g} times"


def answer(bar: Breakeven, offered: pd.DataFrame, spend_musd: float) -> str:
    """The chapter's answer."""
    low, middle, high = bar.quantiles_on_paper
    enough = int((offered["advantage"] >= middle).sum())
    return (
        f"**A buyer who spends {spend_musd:,.0f} million dollars a year on training breaks even at {times(bar.quantiles_in_use[1])} the "
        f"performance per dollar in use, {times(middle)} on paper (90% range {times(low)} to {times(high)}).** In {bar.never:.0%} of the "
        f"cases no advantage is enough. Of {len(offered)} offers with a known price, {enough} reached the middle of that range on paper."
    )


def curve(bar: Breakeven) -> Picture:
    """bar: as `switching.breakeven`."""
    return Picture(
        f"An advantage of two on paper pays in {bar.chance(2.0):.0%} of the cases, of four in {bar.chance(4.0):.0%}; in {bar.never:.0%} nothing does",
        "Chance that a move pays for itself, against the challenger's advantage in performance per dollar, counted in use and on paper.",
        f"Two rising curves from zero. The one for paper lies below the one for use; neither exceeds {1 - bar.never:.0%}.",
    )


def sizes(table: pd.DataFrame) -> Picture:
    """table: as `switching.by_spend`."""
    small, large = table["spend_musd"].min(), table["spend_musd"].max()
    two = table[table["offered"] == 2.0].set_index("spend_musd")["chance"]
    return Picture(
        f"Twice the performance per dollar on paper pays for {two[small]:.0%} of buyers of {small:,.0f} million dollars a year, for {two[large]:.0%} of {large:,.0f}",
        "Chance that a move pays for itself, by the buyer's yearly spend on training and the challenger's advantage on paper.",
        f"Rising lines on a logarithmic axis, one per advantage, that flatten above a few hundred million dollars; the line for two times ends at {two[large]:.0%}.",
    )


def delays(grid: pd.DataFrame) -> Picture:
    """grid: as `switching.by_delay`."""
    worst = grid.loc[grid["breakeven"].idxmin()]
    never = int(grid["band"].eq("never").sum())
    return Picture(
        f"Without a delay the break-even is {times(worst['breakeven'])}; in {never} of {len(grid)} cells no advantage is enough",
        "Break-even advantage in use, by the delay a move causes and by what a year of delay is worth, all else at its median.",
        f"Grid of cells from {worst['breakeven']:.2f} at no delay to 'never' at long delays of great worth.",
    )


def matters(table: pd.DataFrame) -> Picture:
    """table: as `switching.what_matters`."""
    first, second, last = (table["title"].iloc[place] for place in (0, 1, -1))
    return Picture(
        f"What decides: {first[0].lower()}{first[1:]}, then {second[0].lower()}{second[1:]}",
        "Saving that the new chip must bring on paper, with one item of the bill at its low or high end and all others at their medians.",
        f"Bars of the break-even saving per item, widest first: {first}; narrowest: {last}.",
    )


def moves(record: pd.DataFrame, interval: tuple[float, float, float]) -> str:
    """record: as `switching.track_record`; interval: as `switching.failure_interval`."""
    timed = record["months"].dropna()
    lost = int(record["given_up"].sum())
    return (
        f"Of {len(record)} moves on record, {lost} was given up: a chance of {interval[1]:.0%} by the record alone (90% range {interval[0]:.0%} to "
        f"{interval[2]:.0%}). Where a duration is known it runs from {timed.min():.0f} to {timed.max():.0f} months."
    )


def offers(offered: pd.DataFrame, bar: Breakeven) -> Picture:
    """offered: as `switching.offers`."""
    needed = bar.quantiles_on_paper[1]
    best = offered.loc[offered["advantage"].idxmax()]
    below = (offered["advantage"] < 1).sum()
    return Picture(
        f"{below} of {len(offered)} offers gave less per dollar than Nvidia, {(offered['advantage'] >= needed).sum()} reached the {needed:.2g} times that the middle buyer needs",
        "Peak rate per dollar of challengers over Nvidia's chip of their day, by kind of price. Dashed: equal, and the median break-even on paper.",
        f"Bars of advantage per offer; the largest is {best['chip']} ({best['basis']}) at {best['advantage']:.2f}, a {band(best['advantage'])} one.",
    )
