"""Reads the experiment's table: optima, transfer, windows, and the verdict on every hypothesis of `design`.

All functions take the table of runs (columns as in `experiment.COLUMNS`). Intervals are t-intervals over seeds of
differences taken within a seed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from training_moat.core.errors import InputError
from training_moat.core.formats import ELEMENT_FORMATS, SCALED_FORMATS
from training_moat.numerics.design import PORTED_RECIPES, Thresholds
from training_moat.numerics.design_larger import UNITS
from training_moat.numerics.recipes import recipe

REFERENCE = "bf16_mixed"
EXACT = "fp32"
HYPOTHESES = ("H1", "H2", "H3", "H4", "H5", "H6", "H7")
"""What the NumPy experiment asks; the larger form asks others (`analysis_larger`)."""

LABELS = {
    "fp32": "FP32",
    "bf16_mixed": "BF16",
    "fp16_mixed": "FP16 (V100)",
    "fp8_delayed": "FP8 delayed (H100)",
    "fp8_current": "FP8 current (H100, TPU7x)",
    "fp8_units": "FP8 on the units (H100)",
    "fp8_fnuz": "FP8 FNUZ (MI300X)",
    "fp8_fnuz_ported": "FNUZ with Hopper's constant, saturating",
    "fp8_fnuz_ported_nan": "FNUZ with Hopper's constant",
    "fp8_unscaled": "FP8 without scales",
    "mxfp8": "MXFP8 (B200, MI355X)",
    "mxfp4": "MXFP4 (MI355X)",
    "nvfp4": "NVFP4 (B200)",
    "nvfp4_nearest": "NVFP4, gradients to nearest",
    "bf16_weights_stochastic": "BF16 weights, stochastic (SN40L)",
    "bf16_weights_nearest": "BF16 weights, to nearest",
}
"""Names of the recipes for readers."""


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Loss against learning rate of every recipe and seed: a parabola in log2 of the rate, least squares.

    Columns a, b, c (loss = a x^2 + b x + c, x the log2 rate from the grid's centre), indexed by recipe and seed. A
    recipe with a diverged run in a seed has blanks there.
    """
    chosen = _study(runs, "transfer")
    losses = (
        chosen.assign(loss=chosen["val_loss_nats"].mask(chosen["diverged"]))
        .pivot(index="log2_learning_rate", columns=["recipe", "seed"], values="loss")
        .sort_index(axis="columns", kind="stable")
    )
    whole = losses.dropna(axis="columns")
    fits = np.polyfit(whole.index - _centre(chosen), whole.to_numpy(), 2)
    table = pd.DataFrame(fits.T, index=whole.columns, columns=["a", "b", "c"])
    return table.reindex(losses.columns)


def best_rates(runs: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Best learning rate of every recipe as log2 from the grid's centre, of the mean curve over seeds.

    Returns that of all seeds, by recipe, and those with one seed left out, one row per recipe and column per seed.
    The best rate never lies outside the grid.
    """
    fits = curves(runs)
    chosen = _study(runs, "transfer")
    grid = chosen["log2_learning_rate"] - _centre(chosen)
    ends = (float(grid.min()), float(grid.max()))
    whole, left_out = {}, {}
    for name, part in fits.groupby(level="recipe"):
        seeds, curve = part.index.get_level_values("seed"), part[["a", "b"]].to_numpy()
        whole[name] = _lowest(curve, ends)
        others = (np.delete(curve, place, axis=0) for place in range(len(curve)))
        left_out[name] = {seed: _lowest(rest, ends) for seed, rest in zip(seeds, others)}
    return pd.Series(whole), pd.DataFrame(left_out).T


def _centre(runs: pd.DataFrame) -> float:
    """log2 of the learning rate in the middle of the grid."""
    return float(runs["log2_learning_rate"].agg(["min", "max"]).mean())


def _lowest(curves: np.ndarray, ends: tuple[float, float]) -> float:
    """Where the mean of parabolas (a and b of each) is lowest within the ends."""
    a, b = curves.mean(axis=0)
    if np.isnan(a):
        return np.nan
    if a > 0:
        return float(np.clip(-b / (2 * a), *ends))
    return min(ends, key=lambda x: a * x**2 + b * x)


def shifts(runs: pd.DataFrame) -> pd.DataFrame:
    """Octaves by which each recipe's best rate lies from the reference's; interval by leaving out one seed at a time.

    Columns: recipe, octaves, low, high.
    """
    whole, left_out = best_rates(runs)
    records = []
    for name in whole.index:
        moved = (left_out.loc[name] - left_out.loc[REFERENCE]).to_numpy()
        count = len(moved)
        error = np.sqrt((count - 1) / count * ((moved - moved.mean()) ** 2).sum())
        half = stdtrit(count - 1, 0.5 + Thresholds.confidence / 2) * error
        middle = whole[name] - whole[REFERENCE]
        records.append((name, middle, middle - half, middle + half))
    return pd.DataFrame(records, columns=["recipe", "octaves", "low", "high"])


def added_loss(runs: pd.DataFrame) -> pd.DataFrame:
    """Nats per character that each recipe adds to FP32 at the same rates, mean over the grid seed by seed.

    One run is erratic; the mean of a seed's runs over the grid varies half as much. Columns: recipe, nats, low, high.
    """
    return _paired(_mean_over_rates(runs, "transfer"), EXACT)


def _mean_over_rates(runs: pd.DataFrame, study: str) -> pd.DataFrame:
    """Mean loss of each seed (rows) and recipe (columns) over the grid of rates; blank if a run diverged."""
    chosen = _study(runs, study)
    losses = chosen["val_loss_nats"].where(~chosen["diverged"], np.inf)
    means = losses.groupby([chosen["seed"], chosen["recipe"]]).mean()
    return means.replace(np.inf, np.nan).unstack()


def transfer(runs: pd.DataFrame) -> pd.DataFrame:
    """What training with one recipe loses when the learning rate was tuned on another.

    The rate is tuned on the mean curve of all seeds but one and read on the curve of the seed left out, against the
    rate that the recipe's own curves of the same seeds give. Columns: tuned_on, trained_with, nats, low, high.
    """
    fits, (_, left_out) = curves(runs), best_rates(runs)
    records = []
    for name, part in fits.groupby(level="recipe"):
        a, b = part["a"].to_numpy(), part["b"].to_numpy()
        own = left_out.loc[name].to_numpy()
        for tuned_on in left_out.index:
            rate = left_out.loc[tuned_on].to_numpy()
            regret = a * (rate**2 - own**2) + b * (rate - own)
            records.append((tuned_on, name, *_interval(regret)))
    return pd.DataFrame(records, columns=["tuned_on", "trained_with", "nats", "low", "high"])


def low_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Nats lost to FP32 weights at low learning rates. Columns: log2_learning_rate, recipe, nats, low, high."""
    parts = []
    for rate, group in _study(runs, "low_rate").groupby("log2_learning_rate", sort=True):
        table = group.pivot(index="seed", columns="recipe", values="val_loss_nats")
        part = _paired(table, EXACT)
        parts.append(part[part["recipe"] != EXACT].assign(log2_learning_rate=rate))
    return pd.concat(parts, ignore_index=True)


def by_rate(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `low_rate` with readers' names and a column `run` that says recipe and rate, lowest rates first."""
    order = ["recipe", "log2_learning_rate"]
    table = labelled(table.sort_values(order, ignore_index=True, kind="stable"))
    rates = zip(table["recipe"], table["log2_learning_rate"])
    return table.assign(run=[f"{name}, rate 2^{rate:g}" for name, rate in rates])


def windows(runs: pd.DataFrame, margin_nats: float = Thresholds.range_nats) -> pd.DataFrame:
    """Which constant loss factors each recipe bears.

    A seed bears a factor when it ends within `margin_nats` of the best factor of the same recipe and seed. Columns:
    recipe, log2_loss_scale, val_loss_nats (mean; blank if a seed diverged), borne (by every seed), lost (by every
    seed).
    """
    runs = _study(runs, "range").copy()
    runs["loss"] = runs["val_loss_nats"].where(~runs["diverged"], np.inf).fillna(np.inf)
    best = runs.groupby(["recipe", "seed"])["loss"].transform("min")
    runs["bears"] = runs["loss"] - best <= margin_nats
    table = runs.groupby(["recipe", "log2_loss_scale"], sort=True).agg(
        val_loss_nats=("loss", "mean"), borne=("bears", "all"), lost=("bears", "any")
    )
    return table.assign(lost=~table["lost"]).replace(np.inf, np.nan).reset_index()


def ported(runs: pd.DataFrame) -> pd.DataFrame:
    """Recipes with foreign or missing parts against the recipe they come from: same seed, mean over the same rates.

    Columns: recipe, against, nats, low, high, diverged (share of runs lost; nats are blank if any is).
    """
    own = {**dict.fromkeys(PORTED_RECIPES[:2], "fp8_fnuz"), PORTED_RECIPES[2]: "nvfp4"}
    base, changed = (_mean_over_rates(runs, study) for study in ("transfer", "ported"))
    lost = _study(runs, "ported").groupby("recipe")["diverged"].mean()
    added = {name: (changed[name] - base[own[name]]).to_numpy() for name in changed}
    records = [(name, own[name], *_interval(added[name]), lost[name]) for name in added]
    return pd.DataFrame(records, columns=["recipe", "against", "nats", "low", "high", "diverged"])


def bits(name: str) -> int:
    """Width of the numbers that a recipe's matrix units multiply in the forward pass."""
    operand = recipe(UNITS.get(name, name)).forward
    shared = SCALED_FORMATS.get(operand)
    return shared.element.bits if shared else ELEMENT_FORMATS[operand].bits


def labelled(table: pd.DataFrame, short: bool = False) -> pd.DataFrame:
    """The table with the readers' names of recipes in place of the program's; `short` leaves the chips out."""
    names = {name: label.split(" (")[0] for name, label in LABELS.items()} if short else LABELS
    columns = [name for name in ("recipe", "against", "tuned_on", "trained_with") if name in table]
    return table.assign(**{name: table[name].map(names) for name in columns})


def side_by_side(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on two sets of seeds and on both together: hypothesis, claim, verdict and number of each, threshold, unit."""
    one, other = verdicts(first), verdicts(second)
    both = verdicts(pd.concat([first, second], ignore_index=True))
    table = both[["hypothesis", "claim", "threshold", "unit"]]
    return table.assign(
        first=one["verdict"], second=other["verdict"], together=both["verdict"],
        first_number=one["number"], second_number=other["number"], number=both["number"],
    )  # fmt: skip


def verdicts(
    runs: pd.DataFrame,
    thresholds: Thresholds = Thresholds(),
    hypotheses: tuple[str, ...] = HYPOTHESES,
) -> pd.DataFrame:
    """Every hypothesis with its verdict (supported, contradicted, open), the number it rests on and the threshold."""
    records = [(name, *_JUDGES[name](runs, thresholds)) for name in hypotheses]
    columns = ["hypothesis", "claim", "verdict", "number", "threshold", "unit"]
    return pd.DataFrame(records, columns=columns)


def _optimum_stays(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = shifts(runs)
    worst = table[["low", "high"]].abs().max(axis=None)
    return (
        "the best learning rate of every recipe lies within an octave of BF16's",
        _equivalence(table, limits.shift_octaves), worst, limits.shift_octaves, "octaves, farthest end of an interval",
    )  # fmt: skip


def _rate_transfers(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = transfer(runs)
    dear = (table["low"] > limits.little_nats).any()
    cheap = (table["high"] < limits.little_nats).all()
    return (
        "a learning rate tuned on any recipe serves every other",
        _three_way(cheap, dear), table["high"].max(), limits.little_nats,
        "nats, upper end of the worst pair",
    )  # fmt: skip


def _precision_orders(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    losses = _mean_over_rates(runs, "transfer").drop(columns=EXACT)
    # One column per width, one row per seed.
    mean = losses.T.groupby(losses.columns.map(bits)).mean().T
    _, low_four, high_four = _interval((mean[4] - mean[16]).to_numpy())
    _, low_eight, high_eight = _interval((mean[8] - mean[16]).to_numpy())
    return (
        "four bits cost more loss than sixteen, but little, and eight bits hardly any",
        _three_way(
            low_four > 0 and high_four < limits.much_nats and high_eight < limits.little_nats,
            high_four < 0 or low_four > limits.much_nats or low_eight > limits.little_nats,
        ),
        high_four, limits.much_nats, "nats from 16 to 4 bits, high end",
    )  # fmt: skip


def _windows_differ(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = windows(runs, limits.range_nats)
    borne, lost = (
        table.pivot(index="log2_loss_scale", columns="recipe", values=name)
        for name in ("borne", "lost")
    )
    free, fp16, unscaled = ["bf16_mixed", "fp8_current"], "fp16_mixed", "fp8_unscaled"
    holds = (
        borne[free].all(axis=None) and borne[fp16].any() and lost[fp16].iloc[[0, -1]].all()
        and (borne[fp16] & lost[unscaled]).any()
    )  # fmt: skip
    fails = (
        lost[free].any(axis=None) or lost[fp16].all() or borne[fp16].iloc[[0, -1]].any()
        or (borne[unscaled] | lost[fp16]).all()
    )  # fmt: skip
    return (
        "FP16 bears a window of loss scales, BF16 and scaled FP8 every one; FP8 without scales loses some that FP16 bears",
        _three_way(bool(holds), bool(fails)), float(borne[fp16].sum()), float(len(borne)),
        "factors borne by FP16, of those tried",
    )  # fmt: skip


def _low_rates_need_care(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = low_rate(runs).set_index("recipe")
    nearest, stochastic = (table.loc[[f"bf16_weights_{how}"]] for how in ("nearest", "stochastic"))
    least, most = limits.much_nats, limits.little_nats
    holds = (nearest["low"] > least).all() and (stochastic["high"] < most).all()
    fails = (nearest["high"] < least).any() or (stochastic["low"] > most).any()
    return (
        "at low rates BF16 weights fail when rounded to nearest and not when rounded stochastically",
        _three_way(bool(holds), bool(fails)), nearest["low"].min(), least,
        "nats lost to nearest, least over rates (low end)",
    )  # fmt: skip


def _ported_constant(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = ported(runs).set_index("recipe")
    margin = limits.little_nats
    claim = (
        "a scaling constant of 448 on hardware that ends at 240 kills the run unless casts saturate"
    )
    low, high, lost = table.loc["fp8_fnuz_ported", ["low", "high", "diverged"]]
    kills = table.loc["fp8_fnuz_ported_nan", "diverged"] == 1
    verdict = _three_way(kills and high < margin, not kills or low > margin or lost > 0)
    return (claim, verdict, high, margin, "nats with saturation (high end)")


def _nearest_serves(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = ported(runs).set_index("recipe")
    margin = limits.little_nats
    claim = (
        "rounding its gradients to nearest instead of stochastically costs NVFP4 hardly any loss"
    )
    if "nvfp4_nearest" not in table.index:  # the quick form leaves it out
        return (claim, "open", np.nan, margin, "nats (high end)")
    low, high = table.loc["nvfp4_nearest", ["low", "high"]]
    return (claim, _three_way(high < margin, low > margin), high, margin, "nats (high end)")


def _units_end_alike(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    means = _mean_over_rates(runs, "transfer")
    apart = [_paired(means, own).set_index("recipe").loc[units] for units, own in UNITS.items()]
    table, margin = pd.DataFrame(apart), limits.little_nats
    return (
        "FP8 on the real matrix units ends like emulated FP8",
        _equivalence(table, margin), table[["low", "high"]].abs().max(axis=None), margin,
        "nats apart, farther end",
    )  # fmt: skip


_JUDGES = {
    "H1": _optimum_stays,
    "H2": _rate_transfers,
    "H3": _precision_orders,
    "H4": _windows_differ,
    "H5": _low_rates_need_care,
    "H6": _ported_constant,
    "H7": _nearest_serves,
    "H8": _units_end_alike,
}


def _study(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    chosen = runs[runs["study"] == name]
    if chosen.empty:
        raise InputError(
            f"the table of runs has no study '{name}': expected the columns and studies of the experiment."
        )
    return chosen.assign(diverged=diverged(chosen))


def diverged(runs: pd.DataFrame) -> pd.Series:
    """Which runs were lost, as truth values, whatever the file said them in."""
    return runs["diverged"].astype(str).str.lower().eq("true")


def _paired(table: pd.DataFrame, against: str) -> pd.DataFrame:
    """Mean and interval of each column's difference to `against`, seed by seed."""
    added = {name: (table[name] - table[against]).to_numpy() for name in table.columns}
    records = [(name, *_interval(values)) for name, values in added.items()]
    return pd.DataFrame(records, columns=["recipe", "nats", "low", "high"])


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of a value a seed, and its t-interval."""
    mean = float(np.mean(values))
    count = len(values)
    width = stdtrit(count - 1, 0.5 + Thresholds.confidence / 2) * np.std(values, ddof=1)
    half = float(width / np.sqrt(count))
    return mean, mean - half, mean + half


def _equivalence(table: pd.DataFrame, margin: float) -> str:
    """Supported when every interval lies inside the margin, contradicted when one lies wholly outside."""
    if bool(((table["low"] > -margin) & (table["high"] < margin)).all()):
        return "supported"
    outside = bool(((table["low"] > margin) | (table["high"] < -margin)).any())
    return "contradicted" if outside else "open"


def _three_way(holds: bool, fails: bool) -> str:
    return "supported" if holds else "contradicted" if fails else "open"
