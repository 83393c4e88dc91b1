"""How likely two sets of fresh seeds are to give different verdicts, judged from seeds that were seen before.

    python experiments/low_precision/power.py --seeds 12 --draws 200

A nested bootstrap: the seen seeds are drawn with replacement to make a world, so that what they do not tell about the
true effects counts too; from each world two sets of the design's size are drawn and judged. Prints, per hypothesis,
how often the sets differ and how often each verdict falls; the last line counts verdicts over all hypotheses.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from training_moat.numerics import analysis
from training_moat.numerics.design import FULL, Design

SEEN = Path(__file__).with_name("seen_seeds.csv")


def resampled(
    by_study: dict[str, dict[int, pd.DataFrame]], world: np.ndarray, design: Design, rng
) -> pd.DataFrame:
    """Runs of a set of seeds drawn from `world`, numbered anew: as many per study as the design asks for."""
    counts = {
        "transfer": len(design.seeds),
        "low_rate": design.low_rate_seeds,
        "range": design.range_seeds,
    }
    chosen = rng.choice(world, len(design.seeds))
    parts = []
    for study, seeds in by_study.items():
        usable = [
            seed for seed in world if seed in seeds
        ]  # some studies ran on some of the seen seeds only
        picked = rng.choice(usable, counts[study]) if study in ("low_rate", "range") else chosen
        parts += [seeds[seed].assign(seed=number) for number, seed in enumerate(picked)]
    return pd.concat(parts, ignore_index=True)


def agreement(
    runs: pd.DataFrame, design: Design, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Per hypothesis: share of pairs of sets that differ, and the share of each verdict."""
    by_study = {study: dict(iter(part.groupby("seed"))) for study, part in runs.groupby("study")}
    seeds = np.array(sorted(by_study["transfer"]))
    pairs = []
    while len(pairs) < draws:
        world = rng.choice(seeds, len(seeds))
        if not set(world) & set(by_study["range"]):
            continue
        pairs.append(
            [
                analysis.verdicts(resampled(by_study, world, design, rng)).set_index("hypothesis")[
                    "verdict"
                ]
                for _ in range(2)
            ]
        )
    one, other = (
        pd.DataFrame([pair[side] for pair in pairs]).reset_index(drop=True) for side in (0, 1)
    )
    both = pd.concat([one, other])
    table = pd.DataFrame({"differ": (one != other).mean()})
    for verdict in ("supported", "open", "contradicted"):
        table[verdict] = (both == verdict).mean()
    table.loc["not all seven alike"] = {"differ": (one != other).any(axis=1).mean()}
    return table


def main() -> None:
    """Print the table of `agreement`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=len(FULL.seeds), help="seeds per set")
    parser.add_argument("--draws", type=int, default=200, help="pairs of sets")
    arguments = parser.parse_args()
    design = dataclasses.replace(FULL, seeds=tuple(range(arguments.seeds)))
    print(
        agreement(pd.read_csv(SEEN), design, arguments.draws, np.random.default_rng(0))
        .round(3)
        .to_string()
    )


if __name__ == "__main__":
    main()
