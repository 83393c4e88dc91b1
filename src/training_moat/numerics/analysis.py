"""Reads the experiment's table: optima, transfer, windows, and the verdict on every hypothesis of `design`.

All functions take the table of runs (columns as in `experiment.COLUMNS`). Intervals are t-intervals over seeds of
differences taken within a seed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from training_moat.core.errors import InputError
from training_moat.core.formats import ELEMENT_FORMATS, SCALED_FORMATS
from training_moat.numerics.design import REFERENCE_LOG2_RATE, Thresholds
from training_moat.numerics.recipes import recipe

REFERENCE = "bf16_mixed"
EXACT = "fp32"


def optima(runs: pd.DataFrame) -> pd.DataFrame:
    """Learning-rate optimum of every recipe and seed, from a parabola in log2 of the rate.

    Columns: recipe, seed, log2_optimum, optimum_loss_nats, a, b, c (loss = a x^2 + b x + c with x the log2 rate from
    the grid's centre). A recipe with a diverged run, or a curve without a minimum, has blanks.
    """
    records = []
    for (name, seed), group in _study(runs, "transfer").groupby(["recipe", "seed"], sort=True):
        a, b, c = (np.nan,) * 3
        if not group["diverged"].any():
            a, b, c = np.polyfit(group["log2_learning_rate"] - REFERENCE_LOG2_RATE, group["val_loss_nats"], 2)
        vertex = -b / (2 * a) if a > 0 else np.nan
        records.append((name, seed, REFERENCE_LOG2_RATE + vertex, c - a * vertex**2, a, b, c))
    return pd.DataFrame(records, columns=["recipe", "seed", "log2_optimum", "optimum_loss_nats", "a", "b", "c"])


def shifts(runs: pd.DataFrame, confidence: float = Thresholds.confidence) -> pd.DataFrame:
    """Octaves by which each recipe's optimum lies from the reference's: mean, low and high over seeds."""
    table = optima(runs).pivot(index="seed", columns="recipe", values="log2_optimum")
    return _paired(table, REFERENCE, confidence, "octaves")


def added_loss(runs: pd.DataFrame, confidence: float = Thresholds.confidence) -> pd.DataFrame:
    """Nats per character that each recipe adds, at its own optimum, to the loss of FP32 at FP32's."""
    table = optima(runs).pivot(index="seed", columns="recipe", values="optimum_loss_nats")
    return _paired(table, EXACT, confidence, "nats")


def transfer(runs: pd.DataFrame, confidence: float = Thresholds.confidence) -> pd.DataFrame:
    """What training with one recipe loses when the learning rate was tuned on another.

    The rate is tuned on all seeds but one (mean of their optima) and read on the curve of the seed left out, against
    the rate that the recipe's own optima on the same seeds give. Columns: tuned_on, trained_with, nats, low, high.
    """
    fits = optima(runs)
    left_out = {}
    for name, group in fits.groupby("recipe", sort=False):
        vertex = group.set_index("seed")["log2_optimum"] - REFERENCE_LOG2_RATE
        left_out[name] = {seed: vertex.drop(seed).mean() for seed in vertex.index}
    records = []
    for name, group in fits.groupby("recipe", sort=False):
        for tuned_on in left_out:
            regrets = [
                (row.a * left_out[tuned_on][row.seed] ** 2 + row.b * left_out[tuned_on][row.seed])
                - (row.a * left_out[name][row.seed] ** 2 + row.b * left_out[name][row.seed])
                for row in group.itertuples()
            ]
            records.append((tuned_on, name, *_interval(np.array(regrets), confidence)))
    return pd.DataFrame(records, columns=["tuned_on", "trained_with", "nats", "low", "high"])


def low_rate(runs: pd.DataFrame, confidence: float = Thresholds.confidence) -> pd.DataFrame:
    """Nats lost to FP32 weights at low learning rates. Columns: log2_learning_rate, recipe, nats, low, high."""
    parts = []
    for rate, group in _study(runs, "low_rate").groupby("log2_learning_rate", sort=True):
        table = group.pivot(index="seed", columns="recipe", values="val_loss_nats")
        part = _paired(table, EXACT, confidence, "nats")
        parts.append(part[part["recipe"] != EXACT].assign(log2_learning_rate=rate))
    return pd.concat(parts, ignore_index=True)


def windows(runs: pd.DataFrame, margin_nats: float = Thresholds.range_nats) -> pd.DataFrame:
    """Which constant loss factors each recipe bears.

    A factor is borne when every seed ends within `margin_nats` of the best factor of the same recipe and seed.
    Columns: recipe, log2_loss_scale, val_loss_nats (mean; blank if a seed diverged), borne.
    """
    runs = _study(runs, "range").copy()
    runs["loss"] = runs["val_loss_nats"].where(~runs["diverged"], np.inf).fillna(np.inf)
    runs["excess"] = runs["loss"] - runs.groupby(["recipe", "seed"])["loss"].transform("min")
    table = runs.groupby(["recipe", "log2_loss_scale"], sort=True).agg(val_loss_nats=("loss", "mean"), worst=("excess", "max"))
    table["borne"] = table.pop("worst") <= margin_nats
    return table.replace(np.inf, np.nan).reset_index()


def ported(runs: pd.DataFrame, confidence: float = Thresholds.confidence) -> pd.DataFrame:
    """Recipes with foreign or missing parts against the recipe they come from, at the same rate and seed.

    Columns: recipe, against, nats, low, high, diverged (share of runs lost; nats are blank if any is).
    """
    own = {"fp8_fnuz_ported": "fp8_fnuz", "fp8_fnuz_ported_nan": "fp8_fnuz", "nvfp4_nearest": "nvfp4"}
    base = _study(runs, "transfer").query("log2_learning_rate == @REFERENCE_LOG2_RATE").set_index(["recipe", "seed"])["val_loss_nats"]
    records = []
    for name, group in _study(runs, "ported").groupby("recipe", sort=True):
        if own[name] not in base.index.get_level_values(0):
            continue  # the quick form leaves some recipes out
        lost = float(group["diverged"].mean())
        difference = group["val_loss_nats"].to_numpy() - base[own[name]].reindex(group["seed"]).to_numpy()
        interval = _interval(difference, confidence) if lost == 0 else (np.nan,) * 3
        records.append((name, own[name], *interval, lost))
    return pd.DataFrame(records, columns=["recipe", "against", "nats", "low", "high", "diverged"])


def bits(name: str) -> int:
    """Width of the numbers that a recipe's matrix units multiply in the forward pass."""
    operand = recipe(name).forward
    return SCALED_FORMATS[operand].element.bits if operand in SCALED_FORMATS else ELEMENT_FORMATS[operand].bits


def verdicts(runs: pd.DataFrame, thresholds: Thresholds = Thresholds()) -> pd.DataFrame:
    """Every hypothesis with its verdict (supported, contradicted, open), the number it rests on and the threshold."""
    judged = [_optimum_stays, _rate_transfers, _precision_orders, _windows_differ, _low_rates_need_care, _ported_constant, _stochastic_helps]
    records = [(f"H{number}", *judge(runs, thresholds)) for number, judge in enumerate(judged, 1)]
    return pd.DataFrame(records, columns=["hypothesis", "claim", "verdict", "number", "threshold", "unit"])


def _optimum_stays(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = shifts(runs)
    worst = table[["low", "high"]].abs().max(axis=None)
    return (
        "the learning-rate optimum of every recipe lies within half an octave of BF16's",
        _equivalence(table, limits.shift_octaves), worst, limits.shift_octaves, "octaves, farthest end of an interval",
    )  # fmt: skip


def _rate_transfers(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = transfer(runs)
    dear, cheap = (table["low"] > limits.transfer_nats).any(), (table["high"] < limits.transfer_nats).all()
    return (
        "a learning rate tuned on any recipe serves every other",
        "contradicted" if dear else "supported" if cheap else "open", table["high"].max(), limits.transfer_nats,
        "nats, upper end of the worst pair",
    )  # fmt: skip


def _precision_orders(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = added_loss(runs)
    table = table[table["recipe"] != EXACT]
    mean = table.groupby(table["recipe"].map(bits))["nats"].mean()
    ordered = bool((np.diff(mean.sort_index(ascending=False)) > 0).all())
    return ("fewer bits cost more: 16 bits under 8 under 4", _yes(ordered), mean.loc[4] - mean.loc[16], 0.0, "nats from 16 to 4 bits")


def _windows_differ(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    borne = windows(runs, limits.range_nats).groupby("recipe")["borne"]
    count, tried = borne.sum(), borne.size()
    free = count["bf16_mixed"] == tried["bf16_mixed"] and count["fp8_current"] == tried["fp8_current"]
    bounded = count["fp8_unscaled"] < count["fp16_mixed"] < tried["fp16_mixed"]
    return (
        "FP16 bears a window of loss scales, BF16 and scaled FP8 every one, FP8 without scales the fewest",
        _yes(bool(free and bounded)), float(count["fp16_mixed"]), float(tried["fp16_mixed"]), "factors borne by FP16, of those tried",
    )  # fmt: skip


def _low_rates_need_care(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = low_rate(runs).set_index("recipe")
    nearest = table.loc[["bf16_weights_nearest"], "low"].min()
    stochastic = table.loc[["bf16_weights_stochastic"], "high"].max()
    holds = nearest > limits.nearest_loses_nats and stochastic < limits.stochastic_loses_nats
    return (
        "at low rates BF16 weights fail when rounded to nearest and not when rounded stochastically",
        _yes(bool(holds)), nearest, limits.nearest_loses_nats, "nats lost to nearest, least over rates (low end)",
    )  # fmt: skip


def _ported_constant(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = ported(runs).set_index("recipe")
    claim = "a scaling constant of 448 on hardware that ends at 240 kills the run unless casts saturate"
    if not {"fp8_fnuz_ported", "fp8_fnuz_ported_nan"} <= set(table.index):
        return (claim, "open", np.nan, limits.ported_nats, "nats with saturation")
    high = table.loc["fp8_fnuz_ported", "high"]
    holds = table.loc["fp8_fnuz_ported_nan", "diverged"] == 1 and high < limits.ported_nats
    return (claim, _yes(bool(holds)), high, limits.ported_nats, "nats with saturation (high end)")


def _stochastic_helps(runs: pd.DataFrame, limits: Thresholds) -> tuple:
    table = ported(runs).set_index("recipe")
    claim = "NVFP4 is worse when its gradients are rounded to nearest"
    if "nvfp4_nearest" not in table.index:
        return (claim, "open", np.nan, 0.0, "nats")
    low, high, mean = table.loc["nvfp4_nearest", ["low", "high", "nats"]]
    return (claim, "supported" if low > 0 else "contradicted" if high < 0 else "open", mean, 0.0, "nats")


def _study(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    chosen = runs[runs["study"] == name]
    if chosen.empty:
        raise InputError(f"the table of runs has no study '{name}': expected the columns and studies of the experiment.")
    return chosen.assign(diverged=chosen["diverged"].astype(str).str.lower().eq("true"))


def _paired(table: pd.DataFrame, against: str, confidence: float, unit: str) -> pd.DataFrame:
    """Mean and interval of each column's difference to `against`, seed by seed."""
    records = [(name, *_interval((table[name] - table[against]).to_numpy(), confidence)) for name in table.columns]
    return pd.DataFrame(records, columns=["recipe", unit, "low", "high"])


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float, float]:
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def _equivalence(table: pd.DataFrame, margin: float) -> str:
    """Supported when every interval lies inside the margin, contradicted when one lies wholly outside."""
    if bool(((table["low"] > -margin) & (table["high"] < margin)).all()):
        return "supported"
    return "contradicted" if bool(((table["low"] > margin) | (table["high"] < -margin)).any()) else "open"


def _yes(holds: bool) -> str:
    return "supported" if holds else "contradicted"
