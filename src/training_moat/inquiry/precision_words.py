"""The sentences, titles and captions of the precision chapter, computed from its tables."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

ANSWER = {"supported": "yes", "partly": "in part", "contradicted": "no", "open": "nothing clear"}
"""What a verdict on lock-in says in a sentence."""


class Picture(NamedTuple):
    """What is written around a chart."""

    title: str
    caption: str
    alt: str


def answer(
    record: pd.DataFrame, transfer: pd.DataFrame, pairs: pd.DataFrame, ported: pd.DataFrame
) -> str:
    """The chapter's answer. record: as `precision.lockin`; the others as in `numerics.analysis` and `measured_pairs`."""
    said = record.set_index("width")["verdict"].map(ANSWER)
    speed = pairs.loc[pairs["format"] == "fp8", ["speedup", "peak_ratio"]].median()
    lost = ported["diverged"].max()
    return (
        f"**Are training recipes tied to Nvidia's short numbers? At four bits the published record says {said['4 bits']}, "
        f"at eight bits {said['8 bits']}, at BF16 {said['BF16']}.** In our experiment a learning rate tuned on any of "
        f"{transfer['tuned_on'].nunique()} recipes cost any other at most {transfer['nats'].max():.1g} nats per character on average, "
        f"while one constant carried over from another chip ended {lost:.0%} of the runs. FP8 makes a training step "
        f"{speed['speedup']:.2f} times as fast, where the data sheet says {speed['peak_ratio']:.1f}."
    )


def number_line(tolerated: pd.DataFrame, limit_percent: float) -> Picture:
    """tolerated: as `numerics.line.tolerated`."""
    reach = tolerated.sort_values("octaves", kind="stable").set_index("format")["octaves"]
    return Picture(
        f"Within {limit_percent:g}% error, {reach.index[-1]} holds a tensor over {reach.iloc[-1]} doublings of its size, {reach.index[0]} over {reach.iloc[0]}",
        "Positive numbers of each format, and at the right the share of a bell-shaped tensor that rounding to it destroys (root mean square).",
        f"Rows of marks on a logarithmic line, one per format, with a shaded tensor that a slider moves. {reach.index[-1]} reaches farthest, {reach.index[0]} least.",
    )


def accumulation(errors: pd.DataFrame) -> Picture:
    """errors: as `numerics.matrix_unit.error_by_length`."""
    at = errors[errors["terms"] == errors["terms"].max()].set_index("unit")
    gain = at["rms_error"]["hopper_fp8"] / at["rms_error"]["hopper_fp8_promoted"]
    return Picture(
        f"{at['label'][at['rms_error'].idxmax()]} errs most; moving partial sums out makes it {gain:.0f} times better",
        "Error of the accumulation alone, for random operands already rounded to the format, by a model of each matrix unit.",
        f"Lines on logarithmic axes. FP8 on Hopper lies far above all others and rises to {at['rms_error'].max():.1g} at the longest sums; its promoted form stays level.",
    )


PUBLISHED_HOPPER_ERROR = 0.02
"""Largest relative error at 4,096 terms, "nearly 2%", DeepSeek-V3 report, section 3.3.2."""


def published_error(centred: pd.DataFrame, positive: pd.DataFrame) -> str:
    """Both as `numerics.matrix_unit.error_by_length` at 4,096 terms, for operands around zero and of one sign."""
    sizes = [frame.set_index("unit")["max_error"] for frame in (centred, positive)]
    low, high = (size["hopper_fp8"] for size in sizes)
    gain = sizes[1]["hopper_fp8"] / sizes[1]["hopper_fp8_promoted"]
    return (
        f"DeepSeek reports errors of nearly {PUBLISHED_HOPPER_ERROR:.0%} for sums of 4,096 terms on Hopper. The model gives at most {low:.1%} for operands "
        f"that lie around zero, and {high:.1%} for operands of one sign, such as some activations, where every cut goes the same way. "
        f"For those, moving partial sums out makes the sum {gain:.0f} times better."
    )


def gpu_note(measured: pd.DataFrame) -> str:
    """Whether the accumulation models were checked on a GPU here, and how that went."""
    if measured.empty:
        return "**Not measured yet:** nobody has run the book's GPU script, so the models above are checked against their publication only."
    agreed = measured[measured["quantity"] == "share_equal_to_the_model"]["value"]
    return f"Measured on {', '.join(sorted(measured['machine'].unique()))}: {agreed.min():.0%} to {agreed.max():.0%} of the sums equal the model bit for bit."


def speedups(pairs: pd.DataFrame) -> Picture:
    """pairs: as `precision.measured_pairs`."""
    same = (pairs["plan"] == "same").sum()
    return Picture(
        f"Half of all pairs realise less than {pairs['realised'].median():.0%} of the gain on the data sheet",
        f"Measured speed of eight-bit training over BF16: {len(pairs)} pairs, {same} of them with every parallel setting alike.",
        f"Dots per model between {pairs['speedup'].min():.2f} and {pairs['speedup'].max():.2f} times; the median is {pairs['speedup'].median():.2f}.",
    )


def claims(published: pd.DataFrame) -> Picture:
    """published: as `precision.published_speedups`."""
    top = published.loc[published["high"].idxmax()]
    return Picture(
        f"{len(published)} published runs claim {published['low'].min():.2f} to {published['high'].max():.2f} times, half of them at most {published['high'].median():.2f}",
        f"End-to-end speed over sixteen bits that published low-precision runs claim. The largest: {top['run']}.",
        f"Ranges of claimed speed per published run, coloured by chip vendor, from {published['low'].min():.2f} to {published['high'].max():.2f}.",
    )


def transfer(cells: pd.DataFrame, seeds: int) -> Picture:
    """cells: as `numerics.analysis.transfer`, with readers' names."""
    dear = cells.loc[cells["nats"].idxmax()]
    return Picture(
        f"A learning rate tuned on other hardware's numbers costs at most {dear['nats']:.1g} nats",
        f"Loss added by training with a learning rate tuned under another recipe, mean of {seeds} seeds. Worst: tuned on {dear['tuned_on']}, trained with {dear['trained_with']}.",
        f"Square of cells, one row and column per recipe, all within {cells['nats'].abs().max():.1g} nats of zero.",
    )


def shifts(moved: pd.DataFrame, margin: float) -> Picture:
    """moved: as `numerics.analysis.shifts`, with readers' names and without the reference."""
    inside = ((moved["low"] > -margin) & (moved["high"] < margin)).sum()
    reach = "a factor of two" if margin == 1 else f"a factor of {2**margin:.2f}"
    return Picture(
        f"Best learning rates: {inside} of {len(moved)} recipes lie within {reach} of BF16's, interval and all",
        f"Where the best learning rate of each recipe lies: that of the mean curve over seeds, with a 90% interval. Dashed: {reach}.",
        f"Ranges around zero; the means lie between {moved['octaves'].min():.2f} and {moved['octaves'].max():.2f} doublings.",
    )


def windows(grid: pd.DataFrame) -> Picture:
    """grid: as `numerics.analysis.windows`, with readers' names and `borne` in words, "trains" or "fails"."""
    tried = grid["log2_loss_scale"].nunique()
    borne = grid["borne"].eq("trains").groupby(grid["recipe"], sort=False).sum()
    shares = ", ".join(
        f"{name} {count}" for name, count in borne.sort_values(ascending=False).items()
    )
    return Picture(
        f"Of {tried} constant factors on the loss, {borne.idxmin()} bears {borne.min()}, {(borne == tried).sum()} of {len(borne)} recipes bear all",
        "Constant factors on the loss. A filled cell: every seed comes within the margin of the recipe's best loss.",
        f"Grid of recipes against powers of two; of {tried} factors are borne: {shares}.",
    )


def low_rates(table: pd.DataFrame) -> Picture:
    """table: as `numerics.analysis.low_rate`."""
    nearest, stochastic = (
        table[table["recipe"].str.contains(word)]["nats"] for word in ("nearest", "stochastic")
    )
    return Picture(
        f"At low rates, rounding weights to nearest loses {nearest.min():.1f} to {nearest.max():.1f} nats; stochastic rounding at most {stochastic.abs().max():.3f}",
        "Weights kept in BF16 without an FP32 copy, at learning rates far below the optimum, such as a long run ends with.",
        "Two groups of ranges: stochastic rounding at zero, rounding to nearest far to the right, farther the lower the rate.",
    )


def constant(ported: pd.DataFrame) -> str:
    """ported: as `numerics.analysis.ported`, indexed by recipe."""
    lost, saved = ported.loc["fp8_fnuz_ported_nan"], ported.loc["fp8_fnuz_ported"]
    return (
        f"With Hopper's constant and casts that do not saturate, {lost['diverged']:.0%} of the runs ended at once. With saturating "
        f"casts the same mistake changed the loss by {saved['nats']:+.3f} nats (90% interval {saved['low']:+.3f} to {saved['high']:+.3f})."
    )


def added(table: pd.DataFrame) -> str:
    """What short numbers cost at equal rates; table: as `numerics.analysis.added_loss`, with a column `bits`."""
    four, eight = (table[table["bits"] == width].sort_values("nats") for width in (4, 8))
    costs = " and ".join(
        f"{row.nats:.3f} with {row.recipe} (90% interval {row.low:+.3f} to {row.high:+.3f})"
        for row in four.itertuples()
    )
    return (
        f"At the same learning rates four bits add to the loss of full precision, in nats per character, {costs}. "
        f"The {len(eight)} eight-bit recipes change it by {eight['nats'].iloc[0]:+.3f} to {eight['nats'].iloc[-1]:+.3f}."
    )


def replicated(judged: pd.DataFrame, seeds: tuple[int, int]) -> str:
    """Which verdicts hold on both sets of seeds; judged: as `numerics.analysis.side_by_side`, seeds: how many in each."""
    differ = judged[judged["first"] != judged["second"]]
    counts = judged["together"].value_counts()
    moved = [
        f" {row.hypothesis} is {row.first} on the first set and {row.second} on the other."
        for row in differ.itertuples()
    ]
    told = ", ".join(
        f"{counts[name]} {name}" for name in ("supported", "contradicted", "open") if name in counts
    )
    return (
        f"**{len(judged) - len(differ)} of {len(judged)} verdicts are the same on both sets of seeds.** The sets hold {seeds[0]} and {seeds[1]} seeds "
        f"that nothing had been run with before.{''.join(moved)} On all seeds together: {told}."
    )


def hypotheses(judged: pd.DataFrame) -> str:
    """Caption of the verdicts; judged: as `numerics.analysis.side_by_side`."""
    return f"The {len(judged)} hypotheses, their verdicts on each set of seeds, and on all seeds the number that was held against the margin."


def lockin(record: pd.DataFrame) -> Picture:
    """record: as `precision.lockin`."""
    rows = record.set_index("width")
    share = {
        width: f"{rows.loc[width, 'supports']} of {rows.loc[width, ['supports', 'against']].sum()}"
        for width in rows.index
    }
    return Picture(
        f"Reports that take a side and find recipes tied to a chip: {share['4 bits']} at four bits, {share['BF16']} at BF16",
        "What published low-precision training runs say about recipes being tied to a vendor's number formats, by width of format.",
        "Stacked bars of reports. Tied against free, of those that take a side: "
        + ", ".join(f"{width} {count}" for width, count in share.items())
        + ".",
    )


def vendors(years: pd.DataFrame) -> Picture:
    """years: as `precision.vendors_by_year`."""
    last = years["year"].max()
    latest = years[years["year"] == last].set_index("format")["vendors"]
    return Picture(
        f"By {last}, {latest['fp8']} vendors had a training chip with FP8, {latest['fp4']} with FP4",
        "Vendors with a training chip that multiplies each format, counted when the chip was first used.",
        f"Step lines of vendors per format over the years; FP8 reaches {latest['fp8']}, FP4 {latest['fp4']}.",
    )


def worth(costs: pd.DataFrame, tokens_t: float) -> Picture:
    """costs: as `precision_worth.cost_by_format`."""
    eight = costs[costs["format"] == "fp8"]
    saved = (
        f"{eight['saving'].min():.0%} to {eight['saving'].max():.0%}" if len(eight) else "nothing"
    )
    return Picture(
        f"Eight bits save {saved} of the time on the chips that have them",
        f"Days to train on {tokens_t:g} trillion tokens with the fastest plan of each chip and format: median and 90% interval of the model. Formats a chip does not multiply are left out.",
        "Ranges of days per chip and format; shorter formats lie to the left on every chip.",
    )


def ranking(sixteen: pd.Series, all_formats: pd.Series, vendors: pd.Series) -> str:
    """Who is cheapest with sixteen bits only, and with all formats; vendors: vendor by name of chip."""
    both = [
        (
            prices[vendors[prices.index] == "NVIDIA"].min(),
            prices[vendors[prices.index] != "NVIDIA"].min(),
        )
        for prices in (sixteen, all_formats)
    ]
    if pd.isna(both).any():
        return "Nvidia and others can only be compared in money when both have a chip here with a price and sixteen bits; none of these pairs has."
    first, then = sixteen.index[0], all_formats.index[0]
    change = "the same chip stays cheapest" if first == then else f"the cheapest becomes {then}"
    long, short = (own / other for own, other in both)
    return (
        f"If every chip had only sixteen bits, {first} would by the model's median train it most cheaply, at {sixteen.iloc[0]:.1f} million dollars. With all "
        f"formats {change}, at {all_formats.iloc[0]:.1f}. Nvidia's cheapest costs {long:.2f} times the best other chip with sixteen bits "
        f"and {short:.2f} times with all formats: its short numbers change the distance by {short / long - 1:+.0%}."
    )
