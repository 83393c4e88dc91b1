"""moat validate"""

from __future__ import annotations

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat validate --by chip_id"
    parser.add_argument(
        "--by",
        default="source",
        help="group rows by source, chip_id, family, kind, format or stack (default: source)",
    )


def run(options: argparse.Namespace) -> None:
    """Print the error of the training model and its baselines on every usable measurement, by group."""
    from training_moat.calibrate import training_errors
    from training_moat.core.errors import unknown

    groups = ("source", "chip_id", "family", "kind", "format", "stack")
    if options.by not in groups:
        raise unknown("group", options.by, groups, where="--by")
    by = [options.by] if options.by == "kind" else [options.by, "kind"]
    table = training_errors.accuracy(by)
    shares = table.columns.difference([*by, "rows"])
    table[shares] = (100 * table[shares]).round(1)
    print("mean absolute percentage error of predicted step times")
    print(table.to_string(index=False))
    memory = training_errors.memory_rows()
    print(
        f"\npeak memory: {100 * memory['error'].abs().mean():.1f}% over {len(memory)} measured runs"
    )
    covered = training_errors.coverage(by_support=False)
    for row in covered.itertuples():
        print(
            f"90% interval, {training_errors.KINDS[row.interval_kind]}: holds {100 * row.coverage:.0f}% of {row.rows} runs of sources left out"
        )
    print(
        f"not usable: {int(training_errors.unused()['rows'].sum())} configurations (see the validation chapter)"
    )
