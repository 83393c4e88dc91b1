"""The market chapter's computed sentences and titles: each reads a frame of `market` or `market_evidence`."""

from __future__ import annotations

import pandas as pd

from training_moat.inquiry import market
from training_moat.inquiry.market import TEN, Case, figure


def percent(share: float) -> str:
    """A share as whole percents, without a false zero."""
    return "under 1%" if 0 < share < 0.01 else f"{share:.0%}"


def counting(counts: pd.DataFrame) -> str:
    """How far the answer moves with the way of counting; `counts` from `market.every_count`."""
    top, bottom = counts.loc[counts["median"].idxmax()], counts.loc[counts["median"].idxmin()]
    return (
        f"The same inputs give a median of **{figure(top['median'])} times** against {top['definition']} in {top['unit']} "
        f"and **{figure(bottom['median'])} times** against {bottom['definition']} in {bottom['unit']}. Even in the count "
        f"most generous to inference the chance of ten times is {percent(counts['probability_ten'].max())}."
    )


def counting_title(counts: pd.DataFrame) -> str:
    """Title of the chart of all counts."""
    spread = counts["median"].max() / counts["median"].min()
    return f"The answer moves {figure(spread)}-fold with the way of counting"


def upper_ratio(published: pd.DataFrame) -> pd.Series:
    """The most each published statement allows: the high end of its range where it gives one."""
    return published[["ratio", "ratio_high"]].max(axis=1)


def stability(answer: market.Answer) -> str:
    """How sure the probability itself is: its sampling error between independent seeds."""
    points = max(answer.ten.error, answer.larger.error) * 100
    bound = "a tenth of a point" if points < 0.1 else f"{points:.1f} points"
    return (
        f"The probabilities are stable: between independently seeded draws they vary by less than {bound} "
        f"(one standard error), so the width of the range is ignorance about the inputs, not noise."
    )


def splits(published: pd.DataFrame) -> str:
    """Where the named research houses stand; `published` from `market_evidence.splits`."""
    houses = published[published["house"] == "analyst"]
    upper = upper_ratio(houses)
    highest = houses.loc[upper.idxmax()]
    reach = "None reaches ten." if upper.max() < TEN else "That reaches ten."
    return (
        f"Of {len(published)} published ratios, {len(houses)} come from {houses['organisation'].nunique()} named research "
        f"houses. Their median is **{figure(houses['ratio'].median())} times**; the highest any of them allows is "
        f"{figure(upper.max())} ({highest['organisation']}, {highest['date'][:4]}). {reach}"
    )


def splits_title(published: pd.DataFrame) -> str:
    """Title of the chart of published ratios."""
    others = published[published["house"] != "article"]["ratio"]
    return f"Published ratios run from {figure(others.min())} to {figure(others.max())} times; their middle is {figure(others.median())}"


def years_title(published: pd.DataFrame) -> str:
    """Title of the chart of published ratios by the year they speak of."""
    dated = published[published["year"].notna() & (published["house"] != "article")]
    past, future = (
        dated[side]["ratio"].median() for side in (dated["year"] <= 2025, dated["year"] > 2025)
    )
    return f"The middle of the published ratios moves from {figure(past)} up to 2025 to {figure(future)} after it"


def ways(found: pd.DataFrame) -> str:
    """The disagreement of the two ways; `found` from `market_evidence.top_down_and_bottom_up`."""
    model, world = found["median"].iloc[0], found["median"].iloc[1]
    top_down = found[found["kind"] == "top-down"]["median"]
    if top_down.empty:
        return (
            f"No published split counts this way. The model says {figure(model)} for one heavily served model, the world "
            f"bottom-up at most {figure(world)}."
        )
    factor = top_down.median() / model
    more = (
        f"{figure(factor)} times as many tokens as"
        if factor >= 1
        else f"{factor:.0%} of the tokens"
    )
    return (
        f"The published splits that count alike have a median of {figure(top_down.median())}. The model says "
        f"{figure(model)} for one heavily served model, the world bottom-up at most {figure(world)}. **{(top_down > model).mean():.0%} "
        f"of the published splits lie above the model's median.** To meet them in the middle the central model would have to serve "
        f"{more} we assume."
    )


def break_even_title(days: pd.DataFrame) -> str:
    """Title of the break-even chart; `days` from `market.break_even`."""
    first, last = days["within_life"].iloc[0], days["within_life"].iloc[-1]
    return f"{percent(first)} of draws repay the final run within the model's life, {percent(last)} all R&D"


def swing(tornado: pd.DataFrame, causes: pd.DataFrame) -> str:
    """Which inputs matter; `tornado` and `causes` from `market`."""
    first, second = tornado["title"].iloc[:2]
    silent = (
        tornado[(tornado["at_p05"] / tornado["at_p95"] - 1).abs() < 1e-9]["title"]
        .str[0]
        .str.lower()
        .str.cat(tornado["title"].str[1:])
        .dropna()
    )
    both = causes.set_index("title")["total"][[first, second]].sum()
    return (
        f"The widest swing comes from **{first[0].lower() + first[1:]}**, then from {second[0].lower() + second[1:]}; together they cause "
        f"{both:.0%} of the variance (of the logarithm). No effect on the ratio at all: {', '.join(silent)}."
    )


def custom(branch: pd.DataFrame, share: float = 0.6) -> str:
    """What custom training does; `branch` from `market_evidence.custom_branch`."""
    none = branch.iloc[0]
    much = branch[branch["custom_share"] >= share].iloc[0]
    return (
        f"With no custom models the median would be {figure(none['median'])} times. If they took "
        f"{much['custom_share']:.0%} of all training it would be **{figure(much['median'])}**, and the chance that inference is the "
        f"larger would go from {percent(none['probability_larger'])} to {percent(much['probability_larger'])}."
    )


def race(found: pd.DataFrame) -> str:
    """Growth of tokens against growth of training; `found` from `market_evidence.growth_race`."""
    slow, fast = found.iloc[-1], found.iloc[0]
    return (
        f"Published token volumes grow **{figure(slow['growth_per_year'])} to {figure(fast['growth_per_year'])} times a year**; the "
        f"summed compute of the notable training runs we know grew {figure(slow['training_growth_per_year'])} times a year. Carried on "
        f"unchanged, with every token as costly as today, that would reach ten to one in {figure(fast['years_to_ten'])} to "
        f"{figure(slow['years_to_ten'])} years."
    )


def worlds(found: pd.DataFrame, sizes: pd.DataFrame) -> str:
    """What single changes do; `found` from `market.what_ifs`, `sizes` from `market.model_sizes`."""
    best, worst = found.loc[found["median"].idxmax()], found.loc[found["median"].idxmin()]
    return (
        f"The change that helps inference most ({best['change'][0].lower() + best['change'][1:]}) gives a median of "
        f"**{figure(best['median'])} times**; the one that hurts it most ({worst['change'][0].lower() + worst['change'][1:]}) gives "
        f"{figure(worst['median'])}. Serving nine tenths of the tokens from a model a tenth the size divides the ratio by "
        f"{figure(sizes['ratio'].iloc[0] / sizes['ratio'].iloc[-1])}."
    )


def worlds_title(found: pd.DataFrame) -> str:
    """Title of the chart of what-ifs."""
    reached = int((found["median"] >= TEN).sum())
    return (
        "No single change carries the median to ten"
        if not reached
        else f"{reached} of {len(found)} cases have a median of ten or more"
    )


def today(case: Case) -> str:
    """Where the central case stands on the map of `market.ten_times_surface`."""
    served = case.central["served_tokens_t"] / case.central["training_tokens_t"]
    return (
        f"Today's centre: {figure(served)} tokens served per training token, R&D at "
        f"{figure(case.central['rnd_multiplier'])} times the released training; "
        f"{market.UNIT_WORDS[case.unit]} with all R&D counted."
    )


def vendor_title(share: market.VendorShare) -> str:
    """Title of the chart of inference-shaped work."""
    before, after = share.serving.median, share.with_rollouts.median
    if f"{before:.0%}" == f"{after:.0%}":
        return f"Serving is {before:.0%} of all work counted"
    return f"Rollouts lift inference-shaped work from {before:.0%} to {after:.0%}"
