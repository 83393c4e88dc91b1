"""The market in dollars: what accelerators were sold for, how much of it serves, what a startup can reach.

    addressable = sales x share of inference x share that is not captive

Captive chips are those that a cloud makes for itself (Google's and Amazon's). Nobody sells them, so their share is a
range: of the computing that was new in a year, and of what the makers tell they were paid, which is less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.inquiry import chip_stock, market_share
from training_moat.inquiry.uncertainty import percentiles
from training_moat.inquiry.wording import between, digits, listed

COMPUTE, WHOLE = "data-centre compute revenue", "data-centre revenue"
"""Items of Nvidia's sales: without networking, and with it (the rate of a quarter is a `WHOLE` too)."""


def makers_own() -> pd.Series:
    """What the makers themselves tell of each year, added up (billions), Nvidia's networking left out. Where Nvidia has
    told a year's sales with networking alone, the share that was computing in the last year told both ways is taken."""
    frame = tables.load("accelerator_spend")
    makers = frame[frame["route"].isin(["merchant", "captive"])]
    with_networking = makers["item"].str.startswith(WHOLE)
    whole = makers[with_networking].groupby("year")["value"].last()
    compute = makers[makers["item"] == COMPUTE].groupby("year")["value"].last()
    computing = (compute / whole).dropna()
    share = computing.iloc[-1] if len(computing) else 1.0
    alone = whole.drop(compute.index, errors="ignore") * share
    return makers[~with_networking].groupby("year")["value"].sum().add(alone, fill_value=0.0)


def sales() -> pd.DataFrame:
    """Sales of AI accelerators by year: `makers_own` and every house's figure. A forecast that the makers'
    own sales of its year have passed is left out.

    Columns: year, low, middle, high (billions of dollars: lowest, median and highest of them), figures
    (how many), status (estimate, forecast).
    """
    frame = tables.load("accelerator_spend")
    own = makers_own().rename("value").rename_axis("year")
    whole = frame[frame["route"] == "all"]
    passed = (whole["kind"] == "forecast") & (whole["value"] < whole["year"].map(own).fillna(0.0))
    both = pd.concat([whole.loc[~passed, ["year", "value"]], own.reset_index()])
    found = both.groupby("year")["value"].agg(["min", "median", "max", "size"]).reset_index()
    found.columns = ["year", "low", "middle", "high", "figures"]
    known = found["year"] <= market_share.LAST_KNOWN
    return found.assign(status=np.where(known, "estimate", "forecast"))


def captive_share() -> pd.DataFrame:
    """What captive chips are of each year, indexed by it. Columns: computing (share of the new H100-equivalents),
    dollars (share of what the makers tell; that of computing where no maker of captive chips tells any), low, high.
    """
    found = chip_stock.sold().set_index("year")
    computing = found["captive"] / (found["captive"] + found["merchant"])
    frame = tables.load("accelerator_spend")
    told = frame[frame["route"] == "captive"].groupby("year")["value"].sum()
    dollars = (told / makers_own()).reindex(computing.index).fillna(computing)
    both = pd.DataFrame({"computing": computing, "dollars": dollars})
    return both.assign(low=both.min(axis=1), high=both.max(axis=1))


def coverage() -> str:
    """From when the chips of makers are counted whose count begins later than others', for the caption."""
    begun = chip_stock.counts().groupby("manufacturer")["start_date"].min().str[:7]
    late = begun[begun > begun.min()].groupby(begun).groups.items()
    told = listed([f"{month} for {listed(sorted(names))}" for month, names in late])
    if not told:
        return ""
    return f"Counts of chips begin with {told}: the captive part of earlier times is that of the chips counted."


def parts(seed: int = 0) -> pd.DataFrame:
    """Every year's sales divided by use and by who may sell it.

    Columns: year, status, sales, sales_low, sales_high, figures (see `sales`), captive_low, captive_high (shares),
    inference, addressable (billions of dollars at the middle), and the 5th and 95th percentile of the last two (sales drawn evenly between the lowest and the highest
    figure, the captive share between its two counts, the share from all ways together). Years after the last count of
    chips keep its captive share.
    """
    captive = captive_share()
    rows: list[dict[str, Any]] = []
    for year in sales().itertuples():
        rng = np.random.default_rng([seed, year.year, 4])
        used = market_share.all_draws(year.year, seed)
        spend = rng.uniform(year.low, year.high, len(used))
        held = captive.loc[min(year.year, int(captive.index.max()))]
        merchant = 1 - rng.uniform(held["low"], held["high"], len(used))
        row = {"year": year.year, "status": year.status, "sales": year.middle}
        row |= {"sales_low": year.low, "sales_high": year.high, "figures": year.figures}
        row |= {"captive_low": held["low"], "captive_high": held["high"]}
        for name, value in (("inference", spend * used), ("addressable", spend * used * merchant)):
            row |= dict(zip((f"{name}_p05", name, f"{name}_p95"), percentiles(value)))
        rows.append(row)
    return pd.DataFrame(rows)


def startup() -> pd.Series:
    """The largest sales of a startup that the table knows: organisation, year, value (billions)."""
    frame = tables.load("accelerator_spend")
    return frame[frame["route"] == "startup"].nlargest(1, "value").iloc[0]


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """`parts` in words, for a table."""
    return pd.DataFrame(
        {
            "year": frame["year"].astype(str),
            "what it is": frame["status"],
            "sales": [_sales(row) for row in frame.itertuples()],
            "inference": _words(frame, "inference"),
            "captive": [
                between(*ends) for ends in zip(frame["captive_low"], frame["captive_high"])
            ],
            "inference, not captive": _words(frame, "addressable"),
        }
    )


def _sales(row: Any) -> str:
    """The sales of a year, with the lowest and the highest figure where there are several."""
    ends = f" ({between(row.sales_low, row.sales_high, digits)})" if row.figures > 1 else ""
    return f"{digits(row.sales)}{ends}"


def told_sales(row: pd.Series) -> str:
    """What accelerators were sold for in a year of `parts`, in a sentence, with what the number is the middle of."""
    if row["figures"] == 1:
        return f"**${digits(row['sales'])} billion** (one figure)"
    ends = between(row["sales_low"], row["sales_high"], digits)
    return f"**${digits(row['sales'])} billion** (the middle of {row['figures']} figures, {ends})"


def _words(frame: pd.DataFrame, part: str) -> list[str]:
    """The middle and the ends of a part, by year."""
    rows = zip(frame[part], frame[f"{part}_p05"], frame[f"{part}_p95"])
    return [f"{digits(middle)} ({between(low, high, digits)})" for middle, low, high in rows]


def long(frame: pd.DataFrame) -> pd.DataFrame:
    """`parts` with one row per year and part, for a chart. Columns: year, part, billions."""
    names = {"sales": "all sales", "inference": "inference", "addressable": "not captive"}
    found = frame.melt("year", list(names), "part", "billions")
    return found.assign(part=found["part"].map(names))
