"""The networking chapter's computed sentences."""

from __future__ import annotations

import pandas as pd

from training_moat.inquiry.networking import TARGET


def answer(
    kinds: pd.DataFrame, scaleup: pd.DataFrame, needs: float, lost: pd.DataFrame, who: str
) -> str:
    """The chapter's answer in one sentence."""
    next_only = float(kinds.loc[kinds["kind"] == "pipeline", "gb"].iloc[0] / kinds["gb"].sum())
    own = float(scaleup.loc[scaleup["factor"] == 1, "speed"].iloc[0])
    worst = lost.loc[lost["lost"].idxmax()]
    return (
        f'"Each chip talks only to the next" covers **{next_only:.1%} of the bytes** that {who} exchange in a training step; '
        f"their scale-up links give {own:.0%} of the speed of endless ones, and {TARGET:.0%} takes {_amount(needs)} GB/s. "
        f"In serving it costs nothing for a dense pipeline and **{worst['lost']:.0%} of the tokens** for {worst['layout']} on {worst['chips']} chips."
    )


def moved(kinds: pd.DataFrame, seconds: dict[str, float]) -> str:
    """Bytes per step by kind, and the time they cost."""
    shown = kinds[kinds["gb"] > 0].sort_values("gb", ascending=False)
    spoken = ", ".join(f"{row['kind']} {row['gb']:,.1f} GB" for _, row in shown.iterrows())
    total = sum(seconds.values())
    exchange = sum(
        seconds[key] for key in ("tensor_parallel", "pipeline", "data_parallel", "expert_parallel")
    )
    return (
        f"Each chip sends **{kinds['gb'].sum():,.0f} GB in a step of {total:.1f} seconds**: {spoken}. After what hides behind "
        f"arithmetic, exchange takes {exchange / total:.0%} of the step, and waiting for the pipeline to fill {seconds['bubble'] / total:.0%}."
    )


def curves(
    scaleup: pd.DataFrame, scaleout: pd.DataFrame, needs_up: float, needs_out: float, name: str
) -> str:
    """What each network must carry for the target speed."""
    has_up = float(scaleup.loc[scaleup["factor"] == 1, "rate"].iloc[0])
    least = float(scaleup["speed"].min())
    out = "; it publishes no scale-out network"
    if len(scaleout):
        has_out = float(scaleout.loc[scaleout["factor"] == 1, "rate"].iloc[0])
        out = f" and {_amount(needs_out)} Gbit/s of scale-out (it has {has_out:,.0f})"
    return (
        f"For {TARGET:.0%} of full speed {name} needs **{_amount(needs_up)} GB/s of scale-up** (it has {has_up:,.0f}){out}; "
        f"with a sixty-fourth of its scale-up links it still keeps {least:.0%}, because the layout moves to what the network can carry."
    )


def _amount(value: float) -> str:
    """A bandwidth in words: a number, or that none of those tried is enough."""
    return "more than eight times its own" if value != value else f"{value:,.0f}"


def needed(needs: pd.DataFrame) -> str:
    """How many chips have the bandwidth they need."""
    enough = needs[needs["surplus"] >= 1]
    short = needs.loc[needs["surplus"].idxmin()]
    return (
        f"Of {len(needs)} chips compared, **{len(enough)} have the scale-up bandwidth** that {TARGET:.0%} of their own speed asks for; "
        f"the furthest from it is {short['name']}, with {short['has']:,.0f} GB/s of the {short['needs']:,.0f} it would need."
    )


def scaled(families: pd.DataFrame) -> pd.DataFrame:
    """The largest run of every family: measured and predicted speed per chip against the smallest run."""
    last = families.sort_values("chips").groupby("family").tail(1)
    growth = families.groupby("family")["chips"].agg(lambda sizes: sizes.max() / sizes.min())
    return last.assign(growth=last["family"].map(growth))


def scaling(last: pd.DataFrame) -> str:
    """How well speed per chip holds at scale, measured and predicted."""
    wrong = float((last["predicted"] - last["measured"]).abs().median())
    return (
        f"Over {len(last)} measured families that grow by {last['growth'].median():.0f} times in the middle, chips keep **{last['measured'].median():.0%} of their speed**; "
        f"the model says {last['predicted'].median():.0%}, and is off by {wrong:.1%} of the speed in the middle."
    )


def scaling_title(last: pd.DataFrame) -> str:
    """The finding of the scaling chart."""
    kept = float((last["measured"] >= 0.9).mean())
    return f"{kept:.0%} of {len(last)} scaling families keep nine tenths of their speed per chip"


def neighbours(lost: pd.DataFrame) -> str:
    """Where the neighbour-only claim holds and where it fails."""
    largest = lost[lost["chips"] == lost["chips"].max()].set_index("layout")
    spoken = "; ".join(
        f"{layout}: {row['kb_per_token']:,.0f} kB sent per token, {row['lost']:.0%} of the tokens lost"
        for layout, row in largest.iterrows()
    )
    return f"On {lost['chips'].max()} chips with links to the next chip only, against the same links behind a switch: **{spoken}**."


def experiment(pairs: pd.DataFrame) -> str:
    """Inferentia2 against Trainium1."""
    wide = pairs.pivot_table(
        index=["model", "precision", "input_len", "output_len", "batch"],
        columns="chip",
        values=["measured_ms", "predicted_ms", "chip_ms"],
    )
    speed = (wide["measured_ms"]["inferentia2"] / wide["measured_ms"]["trainium1"]).median()
    said = (wide["predicted_ms"]["inferentia2"] / wide["predicted_ms"]["trainium1"]).median()
    chip_time = (wide["chip_ms"]["inferentia2"] / wide["chip_ms"]["trainium1"]).median()
    return (
        f"On {len(wide)} identical serving jobs the larger, better connected Trainium1 group is **{speed:.2f} times as fast** (the model says {said:.2f}), "
        f"with a third more chips; per chip, Inferentia2 spends {chip_time:.2f} times the time on a token. Serving does not pay for the better network."
    )


def collectives(errors: pd.DataFrame, held_out: pd.DataFrame) -> str:
    """Error of the exchange formulas, seen and unseen."""
    large, small = errors[errors["large"]], errors[~errors["large"]]
    mean = lambda frame: float((frame["mape"] * frame["rows"]).sum() / frame["rows"].sum())  # noqa: E731
    seen = held_out[held_out["seen_elsewhere"]]
    return (
        f"Against {errors['rows'].sum():,} timed collectives the formulas err by **{mean(large):.0%} from one megabyte up** and {mean(small):.0%} below; "
        f"on a source they were not fitted on, {mean(seen):.0%} where another source measured the fabric and {mean(held_out[~held_out['seen_elsewhere']]):.0%} where none did."
    )


def beyond(speeds: pd.DataFrame) -> str:
    """Published speeds that reading the weights once per token cannot explain."""
    above = speeds[speeds["measured"] > speeds["ceiling"]]
    ratio = (speeds["predicted"] / speeds["measured"]).median()
    named = ", ".join(dict.fromkeys(above["chip"]))
    return (
        f"{len(above)} of {len(speeds)} published single-user speeds{' (' + named + ')' if named else ''} **exceed what one read of the weights per token allows**, so they guess several tokens ahead "
        f"or use more chips than said; the model reaches {ratio:.0%} of the published speeds in the middle."
    )
