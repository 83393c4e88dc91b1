"""Reads the table of the larger experiment by the rules that `design_larger` fixed before it was run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.numerics import analysis, corpus
from training_moat.numerics.design import Thresholds
from training_moat.numerics.design_larger import LARGER, LargerDesign, Placed, placed
from training_moat.numerics.gpt import Shape

HYPOTHESES = ("H1", "H2", "H3", "H6", "H7", "H8")
FRONTIER_PARAMETERS = 175e9  # GPT-3, as far as the straight line through two sizes is drawn


def yardstick(runs: pd.DataFrame, design: LargerDesign = LARGER) -> Placed:
    """Grid and margins that the pilot's rows give."""
    pilot = runs[runs["study"] == "pilot"]
    losses = pilot["val_loss_nats"].mask(pilot["diverged"].astype(str).str.lower() == "true")
    means = losses.groupby(pilot["log2_learning_rate"]).agg(lambda part: part.mean(skipna=False))
    return placed(means.to_dict(), design)


def complete(runs: pd.DataFrame, design: LargerDesign = LARGER) -> pd.DataFrame:
    """The runs that are judged: those of seeds that have every arm at every rate."""
    runs = runs[runs["study"] != "pilot"]
    whole = len(design.studies()) * len(design.offsets)
    counts = runs.groupby("seed").size()
    return runs[runs["seed"].isin(counts.index[counts == whole])].reset_index(drop=True)


def verdicts(runs: pd.DataFrame, design: LargerDesign = LARGER) -> pd.DataFrame:
    """Verdicts on the hypotheses that the larger form asks; columns as of `analysis.verdicts`."""
    judged = complete(runs, design)
    table = analysis.verdicts(judged, yardstick(runs, design).thresholds, HYPOTHESES)
    if judged["seed"].nunique() < design.fewest_seeds:
        table = table.assign(verdict="open")
    return table


@dataclass(frozen=True)
class Carried:
    """What a learning rate tuned under another recipe costs at one size, over the yardstick of that size.

    worst: mean of the worst pair; low: lower end of its interval; high: highest upper end of any pair. `whole` says
    whether every recipe could be judged: one that loses a run has no curve.
    """

    parameters: int
    worst: float
    low: float
    high: float
    whole: bool


def carried(runs: pd.DataFrame, shape: Shape, thresholds: Thresholds) -> Carried:
    """`Carried` of one size, from its runs, its network and its margins."""
    table = analysis.transfer(runs)
    known = table.dropna()
    worst = known.loc[known["nats"].idxmax()]
    ends = np.array([worst["nats"], worst["low"], known["high"].max()]) / thresholds.little_nats
    mean, low, high = map(float, ends)
    return Carried(shape.parameters, mean, low, high, len(known) == len(table))


def carried_small(runs: pd.DataFrame) -> Carried:
    """`Carried` of the NumPy experiment."""
    return carried(runs, Shape(corpus.load().vocab), Thresholds())


def carried_larger(runs: pd.DataFrame, design: LargerDesign = LARGER) -> Carried:
    """`Carried` of the larger form."""
    return carried(complete(runs, design), design.shape, yardstick(runs, design).thresholds)


def dearest(runs: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """What each recipe loses with the rate that serves it worst of those tuned under another, over the yardstick.

    Columns: recipe, tuned_on, times, low, high.
    """
    table = analysis.transfer(runs).query("tuned_on != trained_with").dropna()
    worst = table.loc[table.groupby("trained_with", sort=False)["nats"].idxmax()]
    over = (worst[["nats", "low", "high"]] / thresholds.little_nats).rename(
        columns={"nats": "times"}
    )
    return worst[["trained_with", "tuned_on"]].rename(columns={"trained_with": "recipe"}).join(over)


def dearest_at_both(small: pd.DataFrame, larger: pd.DataFrame) -> pd.DataFrame:
    """`dearest` of the NumPy experiment and of the larger form; column `model` says which, in words."""
    sizes = Shape(corpus.load().vocab).parameters, LARGER.shape.parameters
    whole = complete(larger)
    tables = dearest(small, Thresholds()), dearest(whole, yardstick(larger).thresholds)
    named = (
        f"{sizes[0] / 1e3:.0f} thousand parameters",
        f"{sizes[1] / 1e6:.0f} million parameters",
    )
    parts = [table.assign(model=name) for table, name in zip(tables, named, strict=True)]
    return pd.concat(parts, ignore_index=True)


def beside_parabola(runs: pd.DataFrame) -> pd.DataFrame:
    """What stands behind `analysis.transfer`, which reads its costs from parabolas: by recipe the tried rate of the lowest
    mean loss over seeds (log2_rate), and how far the farthest mean loss lies from the parabola through all (miss_nats).
    """
    judged = runs[runs["study"] == "transfer"]
    losses = judged.pivot_table(
        index="log2_learning_rate", columns="recipe", values="val_loss_nats", sort=False
    ).sort_index(kind="stable")
    octaves = losses.index.to_numpy(float) - losses.index.to_numpy(float).mean()
    powers = np.vander(octaves, 3)
    fitted = powers @ np.linalg.lstsq(powers, losses.to_numpy(), rcond=None)[0]
    miss = (losses - fitted).abs().max()
    return pd.DataFrame({"log2_rate": losses.idxmin(), "miss_nats": miss}).rename_axis("recipe")


def verdicts_at_both(small: pd.DataFrame, larger: pd.DataFrame) -> pd.DataFrame:
    """Every hypothesis at both sizes; blank where a size does not ask it.

    Columns: hypothesis, claim, and for each size its verdict (small, larger) and the number over its margin
    (small_times, larger_times); margin: that of the larger size in words, such as "0.13 nats".
    """
    first, second = (
        table.set_index("hypothesis").assign(times=table.eval("number / threshold").to_numpy())
        for table in (analysis.verdicts(small), verdicts(larger))
    )
    units = second["unit"].str.split(r"\W").str[0].replace("octaves", "octave")  # its margin is one
    names = sorted(set(first.index) | set(second.index))
    first, second = first.reindex(names), second.reindex(names)
    columns = {
        "claim": first["claim"].fillna(second["claim"]),
        "small": first["verdict"], "small_times": first["times"],
        "larger": second["verdict"], "larger_times": second["times"],
        "margin": second["threshold"].map("{:g} ".format) + units.reindex(names),
    }  # fmt: skip
    return pd.DataFrame(columns).rename_axis("hypothesis").reset_index()


def at_frontier(small: Carried, larger: Carried) -> float:
    """What a straight line through both sizes' worst pairs, in the logarithm of the parameters, gives at GPT-3's size."""
    sizes = np.log10([small.parameters, larger.parameters, FRONTIER_PARAMETERS])
    slope = (larger.worst - small.worst) / (sizes[1] - sizes[0])
    return float(larger.worst + slope * (sizes[2] - sizes[1]))


def both_sizes(small: Carried, larger: Carried) -> tuple[float | None, float, float]:
    """The deciding quantity of the claim on low precision: value, low and high end (see `design_larger`).

    The value is None, which leaves the claim open, when a recipe could not be judged at the larger size and no pair
    of the others reaches the yardstick.
    """
    ends = (small.low, small.high, larger.low, larger.high, at_frontier(small, larger))
    value = larger.worst if larger.whole or larger.worst >= 1 else None
    return value, min(ends), max(ends)
