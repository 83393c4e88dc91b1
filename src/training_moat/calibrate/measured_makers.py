"""Single published speeds, most of them makers' own of their own machines, in the shape of the other serving rows.

Such a number comes with gaps. What is not stated is filled by a rule, and `assumed` names it: lengths by those of
Artificial Analysis's usual prompt, the number format by that of the maker's other rows, the number of chips by the
fewest that hold the model. Where drafting (speculative decoding) may explain a speed and its gain is not known, the
row is shown and not fitted, unless the engine has a fitted gain.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.catalog import chips, models, tables
from training_moat.predict import serving_constants, serving_plans, serving_software
from training_moat.predict.serving_batch import Question

PROMPT, ANSWER = 1000.0, 300.0
"""Tokens taken where a source states none: a medium prompt and a short answer. One user's speed hardly depends on
them."""

FORMAT = {"groq": "int8", "sambanova": "fp8", "d-matrix": "int8"}
"""Format taken where a source states none: that of the maker's other rows, or the one in which the model fits."""

NEVER_DRAFTED = ("cerebras-2024",)
"""Engines whose rows count only where their source says that no smaller model drafts."""

COLLECTED = {
    "chip_id": "chip", "model_id": "model", "format": "precision", "batch_or_concurrency": "batch",
    "value": "tokens_per_s_user",
}  # fmt: skip
KEPT = ("input_len", "output_len", "source", "date")
"""Columns of serving_measurements that go by other names here, and those that do not."""

FIELDS = {"input_len": PROMPT, "output_len": ANSWER, "batch": 1.0}


def is_makers(frame: pd.DataFrame) -> pd.Series:
    """Rows of serving_measurements that are a maker's published speed of its own machine."""
    families = {name: chip.family for name, chip in chips.all_chips().items()}
    own = frame["chip_id"].map(families).isin(list(serving_software.services()))
    return own & (frame["metric"] == "user_output_speed")


def _published() -> pd.DataFrame:
    frame = tables.load("serving_published")
    frame = frame.rename(columns={"chip_id": "chip", "model_id": "model"})
    return frame.assign(seconds_per_token=1 / frame["tokens_per_s_user"])


def _collected(published: pd.DataFrame) -> pd.DataFrame:
    """The makers' rows of serving_measurements; chips from the maker's own statement on the same model."""
    frame = tables.load("serving_measurements")
    own = frame[is_makers(frame)]
    family = chips.families(own["chip_id"])
    services = serving_software.services()
    stated = published.dropna(subset=["chips"]).groupby(["chip", "model"])["chips"].first()
    pairs = pd.MultiIndex.from_arrays([own["chip_id"], own["model_id"]])
    counted = own["n_chips"].fillna(pd.Series(stated.reindex(pairs).to_numpy(), own.index))
    found = own[["row_id", *COLLECTED, *KEPT]].rename(columns=COLLECTED)
    return found.assign(
        software=[
            serving_software.of_release(services[name], when)
            for name, when in zip(family, own["date"], strict=True)
        ],
        chips=counted,
        speculative="no",
        seconds_per_token=1 / own["value"],
    )


@tables.kept(copied=True, lasting=True)
def rows() -> pd.DataFrame:
    """Every maker's row: the columns of measured serving rows, and chips, tokens_per_s_user, assumed, date."""
    published = _published()
    frame = pd.concat([published, _collected(published)], ignore_index=True)
    assumed: list[list[str]] = [[] for _ in range(len(frame))]
    for name, value in (*FIELDS.items(), ("precision", frame["software"].map(FORMAT))):
        blank = frame[name].isna()
        frame[name] = frame[name].fillna(value)
        _note(assumed, blank, name)
    _note(assumed, frame["chips"].isna(), "chips")
    found = pd.concat([frame, pd.DataFrame(_layout(row) for row in frame.itertuples())], axis=1)
    drafted = (found["speculative"] == "unknown") & found["software"].isin(NEVER_DRAFTED)
    found["unusable"] = np.where(drafted, "whether a smaller model drafts tokens is not stated", "")
    return found.assign(
        source=found["source"].str.split(";").str[0],
        kind="tpot",
        ttft_s=np.nan,
        assumed=[", ".join(names) for names in assumed],
    )


def _note(assumed: list[list[str]], where: pd.Series, name: str) -> None:
    for position in np.flatnonzero(where.to_numpy()):
        assumed[position].append(name)


def _layout(row) -> dict[str, float]:
    """Parallel sizes of a row: tensor parallel over all chips, or the pipeline that chips with their weights in SRAM
    make; on the fewest chips where their number is not stated."""
    model, chip = models.model(row.model), chips.chip(row.chip)
    piped = serving_plans.is_pipelined(chip)
    asked = {} if np.isnan(row.chips) else {"chips": int(row.chips)}
    if asked and not piped:
        asked["tp"] = asked["chips"]
    formats = row.precision, serving_constants.KV_PRECISION
    lengths = row.batch, row.input_len, row.output_len
    question = Question(model, chip, row.software, *formats, *lengths)
    plan = serving_plans.candidate_plans(asked, question)[0]
    sizes = {name: float(getattr(plan, name)) for name in ("tp", "pp", "dp", "ep", "expert_tp")}
    sizes["drafted"] = 0.0
    return {**sizes, "total_chips": float(plan.chips)}
