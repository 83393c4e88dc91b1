"""What a training run says of itself twice: its rates, its work over the peak of its chips, sizes and counts in names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from training_moat.catalog.plausible_bounds import best_peak
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check, check_each, outside

A_CHIP = ("tokens_per_s_per_chip",)
A_SECOND = ("tokens_per_s_total", "samples_per_s", "sequences_per_s", "throughput_log")
"""Metrics of speed: tokens of each chip a second, and tokens or sequences of all chips a second."""

USES = (0.0025, 0.85)
"""Least and most of the best peak of its chips that any measured run uses: experts on a slow network, two dense layers."""

ROUNDED = 0.03
"""Most by which two rates of one run may differ: they are rounded, or means over other steps."""

TOKENS_A_WEIGHT = (0.6, 1200)
"""Least and most tokens that one active weight was trained on, where only two of weights, tokens and FLOP are told."""

TOLD_TOKENS = (0.33, 3.0)
"""Least and most of a run's FLOP over 6 x parameters x the tokens that its notes tell."""

SIZE = (0.65, 1.5)
"""Least and most of the parameters over the round number in a model's name."""

_SIZE = r"(?<![A-Za-z\d.×x-])(\d+(?:\.\d+)?) ?[Bb](?![\w]|-\d+E)"
_TOKENS = r"([\d.]+) ?([BT]|billion|trillion) tokens"
_CHIPS = r"\bon (\d+) GPUs?\b"


def _tokens_per_chip_s(of: Sheet) -> pd.Series:
    """Tokens that each chip of a measured run takes a second; NaN for other metrics."""
    metric, unit = of.frame["metric"], of.frame["unit"]
    tokens = of["value"].where(metric.isin(A_CHIP))
    whole = of["value"].where(metric.isin(A_SECOND))
    whole = whole * np.where(unit == "samples/s", of["seq_len"], 1)
    seconds = (of["value"] * np.where(unit == "ms", 1e-3, 1)).where(metric == "step_time")
    whole = whole.fillna(of["global_batch"] * of["seq_len"] / seconds)
    return tokens.fillna(whole / of["n_chips"])


def _flop_per_token(of: Sheet, models: Sheet) -> pd.Series:
    """Six for each active weight, and the scores of attention over half of the sequence; blank where the active weights of
    experts are not told."""
    told = dict(zip(models.frame["id"], models["active_params_b"], strict=True))
    active = of["active_params_b"].fillna(of.frame["model_id"].map(told).astype(float))
    active = active.fillna(of["params_b"].where(of["moe_experts"].isna()))
    scores = (of["layers"] * of["hidden"] * of["seq_len"]).fillna(0)
    return 6 * (active * 1e9 + scores)


@check("training_measurements", "chips", "models")
def work_over_peak(of: Sheet, chips: Sheet, models: Sheet) -> Iterator[Problem]:
    """Rates at which the model's work would take more of the peak than there is, or hardly any of it."""
    tflops = _flop_per_token(of, models) * _tokens_per_chip_s(of) / 1e12
    use = tflops / best_peak(of, chips)
    least, most = USES
    expected = f"{least:.2%} to {most:.0%} of the chip's peak by 6 x parameters x tokens"
    yield from of.refused(outside(use, *USES), "value", expected)


@check_each("training_measurements")
def two_rates(of: Sheet) -> Iterator[Problem]:
    """Rates of one run that its batch, its lengths and its chips contradict."""
    tokens = _tokens_per_chip_s(of)
    own = tokens.groupby(of.frame["config_id"])
    most, least = (own.transform(end) for end in ("max", "min"))
    wrong = tokens.notna() & (most / least - 1 > ROUNDED)
    yield from of.flagged(wrong, "value", "the other rate of the same run, or 'checked:' in notes")


@check_each("training_runs")
def tokens_a_weight(of: Sheet) -> Iterator[Problem]:
    """Language models of which two of weights, tokens and FLOP are told, and the third would be out of all custom."""
    weights = of["active_params_b"].fillna(of["params_b"]) * 1e9
    tokens, flop = of["training_tokens_b"] * 1e9, of["training_flop"]
    words = of.frame["domain"].fillna("").str.contains("Language")
    by_weights = (flop / (6 * weights**2)).where(words & tokens.isna())
    by_tokens = (6 * tokens**2 / flop).where(words & weights.isna())
    least, most = TOKENS_A_WEIGHT
    expected = f"FLOP / 6 as {least:g} to {most:g} tokens a weight give it, or 'checked:' in notes"
    for ratio, column in ((by_weights, "params_b"), (by_tokens, "training_tokens_b")):
        yield from of.flagged(outside(ratio, *TOKENS_A_WEIGHT), column, expected)


@check_each("runs_non_nvidia")
def told_tokens(of: Sheet) -> Iterator[Problem]:
    """FLOP far from what the parameters, and tokens that the notes alone tell, come to. Where a model is trained further, its
    FLOP may count what came before."""
    told = of.notes().str.extract(_TOKENS)
    scale = told[1].str[0].str.lower().map({"b": 1e9, "t": 1e12})
    tokens = pd.to_numeric(told[0].str.rstrip("."), errors="coerce") * scale
    weights = of["active_params_b"].fillna(of["params_b"]) * 1e9
    ratio = of["training_flop"] / (6 * weights * tokens.where(of["training_tokens_b"].isna()))
    further = of.notes().str.contains("continu|fine-tun", case=False)
    expected = "about 6 x parameters x the tokens in notes, or 'checked:' there"
    yield from of.flagged(outside(ratio.mask(further), *TOLD_TOKENS), "training_flop", expected)


@check_each("training_runs", "runs_non_nvidia", "training_measurements", "memory_measurements")
def named_sizes(of: Sheet) -> Iterator[Problem]:
    """Parameters far from the size in the model's name."""
    size = pd.to_numeric(of.frame["model"].astype(str).str.extract(_SIZE)[0])
    cut = of.frame["model"].astype(str).str.contains("layers|experts")
    wrong = outside((of["params_b"] / size).mask(cut), *SIZE)
    yield from of.flagged(wrong, "params_b", "the size in its name, or 'checked:' in notes")


@check_each("memory_measurements", "training_measurements")
def told_chips(of: Sheet) -> Iterator[Problem]:
    """Chips of a run other than the words on its table say."""
    told = pd.to_numeric(of.frame["table_ref"].astype(str).str.extract(_CHIPS)[0])
    wrong = told.notna() & of["n_chips"].notna() & (told != of["n_chips"])
    yield from of.flagged(wrong, "n_chips", "the chips that table_ref names")
