"""The memory chapter's computed sentences and titles."""

from __future__ import annotations

import pandas as pd

from training_moat.core.units import GB, GIB
from training_moat.inquiry.holding import tokens_to_feed


def total(kinds: pd.DataFrame, job: str) -> float:
    """Gigabytes a job holds in all."""
    return float(kinds.loc[kinds["job"] == job, "gb"].sum())


def held(kinds: pd.DataFrame, model: str) -> str:
    """Bytes of training against serving."""
    train, serve = total(kinds, "training"), total(kinds, "serving")
    parts = kinds[kinds["job"] == "training"].set_index("kind")["gb"]
    return (
        f"Training {model} holds **{train:,.0f} GB**, {train / serve:.1f} times the {serve:,.0f} GB that serving it holds; "
        f"the optimizer alone is {parts['optimizer'] / train:.0%} of it, and the weights themselves only {parts['weights'] / train:.0%}."
    )


def counted(verdicts: pd.DataFrame) -> dict[str, int]:
    """How many chips hold training, hold serving, fail training, fail serving, or lack a datum."""
    return {
        f"{job}_{word}": int((verdicts[job] == word).sum())
        for job in ("training", "serving")
        for word in ("holds", "no", "unknown")
    }


def typical_ratio(verdicts: pd.DataFrame) -> float:
    """Median of chips needed to train over chips needed to serve, over chips that hold both."""
    both = verdicts[(verdicts["training"] == "holds") & (verdicts["serving"] == "holds")]
    return float((both["training_chips"] / both["serving_chips"]).median())


def ratio_words(verdicts: pd.DataFrame) -> str:
    """How many more chips training takes than serving, for chips that hold both."""
    ratio = typical_ratio(verdicts)
    if ratio != ratio:
        return "no chip here holds both jobs"
    return f"a typical chip needs {ratio:.0f} times as many of itself to train as to serve"


def answer(verdicts: pd.DataFrame, model: str) -> str:
    """The chapter's answer in one sentence."""
    n, count = counted(verdicts), len(verdicts)
    return (
        f"Memory stops few: of {count} chips, **{n['training_holds']} can hold the training of {model}** given enough of them and "
        f"{n['serving_holds']} its serving; {n['training_no']} cannot train it at any published size, {n['training_unknown']} lack a published number, "
        f"and **{ratio_words(verdicts)}**."
    )


def every_verdict(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Both verdicts of every chip with their reasons, those that do not hold both jobs first, ready to show."""
    trouble = (verdicts["training"] == "holds").astype(int) + (
        verdicts["serving"] == "holds"
    ).astype(int)
    rows = verdicts.assign(trouble=trouble).sort_values(
        ["trouble", "vendor", "name"], kind="stable"
    )
    shown = rows[["name", "training", "training_why", "serving", "serving_why"]]
    return shown.set_axis(["chip", "training", "why", "serving", "why (serving)"], axis=1)


def speed(rows: pd.DataFrame) -> str:
    """How far speeds on the fewest chips spread, and who is measured."""
    best, worst = rows.loc[rows["middle"].idxmax()], rows.loc[rows["middle"].idxmin()]
    measured = int((rows["calibration"] == "measured").sum())
    return (
        f"Served by the fewest chips that hold it, a user gets between {worst['middle']:.2g} tokens a second ({worst['name']}) and **{best['middle']:,.0f}** ({best['name']}); "
        f"{measured} of the {len(rows)} chips have measured rows behind the prediction, the others inherit typical software and a wider range."
    )


def fewest(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Fewest chips by chip and job, one row each. Columns: chip, job, chips, vendor."""
    held_both = verdicts.melt(
        id_vars=["name", "vendor"],
        value_vars=["training_chips", "serving_chips"],
        var_name="job",
        value_name="chips",
    )
    verdict = verdicts.melt(
        id_vars=["name"], value_vars=["training", "serving"], value_name="verdict"
    )["verdict"]
    held_both = held_both[(verdict == "holds").to_numpy()].dropna(subset=["chips"])
    return held_both.assign(job=held_both["job"].str.removesuffix("_chips")).rename(
        columns={"name": "chip"}
    )


def feeding(verdicts: pd.DataFrame) -> str:
    """Which tier feeds the matmul units, and how far the capacity tiers lag."""
    medians = verdicts.dropna(subset=["tokens_to_feed"]).groupby("tier")["tokens_to_feed"].median()
    worst = verdicts.loc[verdicts["tokens_to_feed"].idxmax()]
    spoken = "; ".join(f"{tier} {value:,.3g}" for tier, value in medians.sort_values().items())
    return (
        f"Tokens that must share each read of a weight to keep the multipliers busy, median by the tier that holds the model: {spoken}. "
        f"The most is **{worst['tokens_to_feed']:,.0f}**, for {worst['name']}, which streams its weights from {worst['tier']}."
    )


def closer(verdicts: pd.DataFrame, chip, model: str) -> str:
    """One chip in words: its tiers, its verdicts, the tokens that feed it."""
    row = verdicts[verdicts["chip"] == chip.id].iloc[0]
    tiers = ", ".join(
        f"{tier.name.upper()} of {tier.capacity_bytes / GIB:,.4g} GB"
        + (
            f" at {tier.bytes_per_s / GB:,.4g} GB/s"
            if tier.bytes_per_s
            else " (bandwidth not published)"
        )
        for tier in chip.tiers
    )
    return (
        f"**{chip.name}** has {tiers}. Training {model}: {row['training_why']} Serving: {row['serving_why']} "
        f"Its multipliers stay busy once {tokens_to_feed(chip):,.0f} tokens share each weight."
    )


def peaks(rows: pd.DataFrame) -> str:
    """Measured and predicted peak memory of training."""
    wrong = (rows["predicted_gb"] / rows["measured_gb"] - 1).abs()
    return f"Over {len(rows)} measured training runs the predicted peak memory is off by **{wrong.mean():.1%}** in the mean and {wrong.max():.0%} at worst."
