"""Reads the tables of the larger experiment by the rules that `design_larger` and `design_second` fixed before they were
run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.numerics import analysis
from training_moat.numerics.design import NETWORK, Shape, Thresholds
from training_moat.numerics.design_larger import LARGER, LargerDesign, Placed, placed
from training_moat.numerics.design_second import EXPERIMENTS

HYPOTHESES = ("H1", "H2", "H3", "H6", "H7", "H8")
FRONTIER_PARAMETERS = 175e9  # GPT-3, as far as the straight line through two sizes is drawn


def yardstick(runs: pd.DataFrame, design: LargerDesign = LARGER) -> Placed:
    """Grid and margins that the pilot's rows give."""
    pilot = runs[runs["study"] == "pilot"]
    losses = pilot["val_loss_nats"].mask(analysis.diverged(pilot))
    means = losses.groupby(pilot["log2_learning_rate"]).agg(lambda part: part.mean(skipna=False))
    return placed(means.to_dict(), design)


def complete(runs: pd.DataFrame, design: LargerDesign = LARGER) -> pd.DataFrame:
    """The runs that are judged: those of seeds that have every arm at every rate."""
    runs = runs[runs["study"] != "pilot"]
    whole = len(design.studies()) * len(design.offsets)
    counts = runs.groupby("seed").size()
    return runs[runs["seed"].isin(counts.index[counts == whole])].reset_index(drop=True)


def counts(runs: pd.DataFrame, design: LargerDesign = LARGER) -> bool:
    """Whether enough seeds are whole."""
    return complete(runs, design)["seed"].nunique() >= design.fewest_seeds


def verdicts(runs: pd.DataFrame, design: LargerDesign = LARGER) -> pd.DataFrame:
    """Verdicts on the hypotheses that the larger form asks; columns as of `analysis.verdicts`."""
    judged = complete(runs, design)
    table = analysis.verdicts(judged, yardstick(runs, design).thresholds, HYPOTHESES)
    if not counts(runs, design):
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
    if known.empty:
        return Carried(shape.parameters, np.nan, np.nan, np.nan, False)
    worst = known.loc[known["nats"].idxmax()]
    ends = np.array([worst["nats"], worst["low"], known["high"].max()]) / thresholds.little_nats
    mean, low, high = map(float, ends)
    return Carried(shape.parameters, mean, low, high, len(known) == len(table))


def carried_small(runs: pd.DataFrame) -> Carried:
    """`Carried` of the NumPy experiment."""
    return carried(runs, NETWORK, Thresholds())


def carried_larger(runs: pd.DataFrame, design: LargerDesign = LARGER) -> Carried:
    """`Carried` of a larger form."""
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


def dearest_by_model(small: pd.DataFrame, larger: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`dearest` of the NumPy experiment and of forms of the larger one (by their names in `EXPERIMENTS`).

    Column `model` says which, in words.
    """
    size = f"{NETWORK.parameters / 1e3:.0f} thousand parameters"
    own = dearest(small, Thresholds()).assign(model=size)
    return pd.concat([own, dearest_by_network(larger)], ignore_index=True)


def dearest_by_network(larger: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """`dearest` of forms of the larger experiment; column `model` says which, in words."""
    parts = []
    for name, runs in larger.items():
        form = EXPERIMENTS[name]
        table = dearest(complete(runs, form.design), yardstick(runs, form.design).thresholds)
        millions = form.design.shape.parameters / 1e6
        parts.append(table.assign(model=f"{millions:.0f} million parameters, {form.network}"))
    return pd.concat(parts, ignore_index=True)


def lost(runs: pd.DataFrame, design: LargerDesign = LARGER) -> list[str]:
    """Recipes that lost a run of a seed that is judged."""
    judged = complete(runs, design)
    return sorted(judged.loc[analysis.diverged(judged), "recipe"].unique())


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
    first, second = _over_margin(analysis.verdicts(small)), _over_margin(verdicts(larger))
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


def _over_margin(judged: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by hypothesis, with `times`: the number over its margin."""
    return judged.assign(times=judged["number"] / judged["threshold"]).set_index("hypothesis")


def replicated(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Every hypothesis of the larger form on both networks.

    Columns: hypothesis, claim, for each network its verdict (first, second) and the number over its margin
    (first_times, second_times), and replicated: yes, no, not settled; blank where the second does not count.
    """
    tables = [verdicts(first)]
    design = EXPERIMENTS["second"].design
    tables.append(verdicts(second, design) if counts(second, design) else tables[0].iloc[:0])
    one, other = map(_over_margin, tables)
    found = one[["claim"]].assign(first=one["verdict"], first_times=one["times"])
    found = found.join(other[["verdict", "times"]])
    pairs = zip(found["first"], found["verdict"], strict=True)
    found = found.assign(replicated=[_agree(*pair) for pair in pairs])
    return found.rename(columns={"verdict": "second", "times": "second_times"}).reset_index()


def _agree(first: str, second: object) -> str | None:
    """Whether two verdicts replicate one another; None where there is no second."""
    if not isinstance(second, str):
        return None
    if first == second == "supported":
        return "yes"
    return "no" if {first, second} == {"supported", "contradicted"} else "not settled"


def at_frontier(small: Carried, larger: Carried) -> float:
    """What a straight line through both sizes' worst pairs, in the logarithm of the parameters, gives at GPT-3's size."""
    sizes = np.log10([small.parameters, larger.parameters, FRONTIER_PARAMETERS])
    slope = (larger.worst - small.worst) / (sizes[1] - sizes[0])
    return float(larger.worst + slope * (sizes[2] - sizes[1]))


def across(small: Carried, *larger: Carried) -> tuple[float | None, float, float]:
    """The deciding quantity of the claim on low precision: value, low and high end.

    The value is that of the larger network whose worst pair costs most; the range takes in every experiment and the
    lines from the small one through each larger (see `design_larger` and, for two networks, `design_second`). The value
    is None, which leaves the claim open, when a recipe could not be judged on a larger network and no pair of the others
    reaches the yardstick.
    """
    value = float(np.nanmax([one.worst for one in larger]))
    ends = [small.low, small.high]
    for one in larger:
        ends += [one.low, one.high, at_frontier(small, one)]
    judged = all(one.whole for one in larger) or value >= 1
    return value if judged else None, float(np.nanmin(ends)), float(np.nanmax(ends))
