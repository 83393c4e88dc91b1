"""What fewer bits are worth: the gain of 8- and 4-bit products over BF16 that sources measured in pairs, beside the gain
that the model predicts for the very same runs when it never saw their source."""

from __future__ import annotations

import pandas as pd

from training_moat.calibrate import training_errors

SAME_RUN = [
    *("source", "interval_kind"),
    *(name for name in training_errors.CASE if name != "format"),
    *("layers", "zero_stage", "recompute_level"),
]
"""What two runs share that differ in their format alone."""


def pairs() -> pd.DataFrame:
    """Every pair of runs that differ in their matmul format alone, the faster one of each format where several are.

    Columns: those of `SAME_RUN`, format, measured and predicted (speed over BF16, the latter without the source).
    """
    frame = training_errors.rows()
    fastest = frame.loc[
        frame.groupby([*SAME_RUN, "format"], dropna=False)["measured_s"].idxmin(),
        [*SAME_RUN, "format", "measured_s", "unseen_source_s"],
    ]
    wide = fastest[fastest["format"] == "bf16"].drop(columns="format")
    narrow = fastest[~fastest["format"].isin(["bf16", "fp16"])]
    # Sizes that neither states are the same.
    both = narrow.merge(wide, on=SAME_RUN, suffixes=("", "_bf16"))
    both["measured"] = both["measured_s_bf16"] / both["measured_s"]
    both["predicted"] = both["unseen_source_s_bf16"] / both["unseen_source_s"]
    kept = both[[*SAME_RUN, "format", "measured", "predicted"]]
    return kept.sort_values([*SAME_RUN, "format"], kind="stable", ignore_index=True)


def by_source(found: pd.DataFrame) -> pd.DataFrame:
    """The middle of each source's pairs, for dense runs and experts apart.

    Columns: source, kind (in readers' words), pairs, measured, predicted.
    """
    groups = found.groupby(["interval_kind", "source"])
    table = groups[["measured", "predicted"]].median().join(groups.size().rename("pairs"))
    table = table.reset_index()
    table["kind"] = table["interval_kind"].map(training_errors.KINDS)
    columns = ["source", "kind", "pairs", "measured", "predicted"]
    return table[columns].sort_values(["kind", "source"], kind="stable", ignore_index=True)
