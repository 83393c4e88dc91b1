"""Chips, models, engines and columns for readers: names in place of ids."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

import pandas as pd

from training_moat.catalog import chips, models, tables

CHIP_COLUMNS, MODEL_COLUMNS = ("chip", "chip_id"), ("model", "model_id")
"""Columns that hold ids of the tables of chips and of models."""

HEADINGS = {
    "chip_id": "chip", "model_id": "model", "interval_kind": "kind of run", "level": "support",
    "coverage": "runs inside", "coverage_by_source": "inside, every source counted once",
    "low": "factor, low end", "high": "factor, high end", "with_two": "with two own runs", "without": "without",
    "tokens_b": "tokens (billion)", "hours": "chip-hours published", "ideal_hours": "chip-hours of pure steps",
    "goodput": "share explained", "software": "engine", "p05": "5th percentile", "p95": "95th percentile",
    "mape": "mean absolute error", "measured_s": "measured (s)", "unseen_source_s": "predicted (s)",
    "unseen_source_error": "error", "constant": "fair constant", "error": "model", "inside": "runs inside",
}  # fmt: skip
"""Headings of printed tables by the column's name in code."""

SHORT_TITLE = 48
"""Characters of a source's title that a chart has room for."""
RELEASE = re.compile(r"-((?:early-)?20\d\d)$")
"""The time of a release at the end of an engine's key."""


def engine_name(key: str) -> str:
    """A serving engine by name, with the time of its release where the key says one: "vLLM, early 2025"."""
    engine, *era = RELEASE.split(key)[:2]
    names = tables.load("serving_software").set_index("engine")["name"]
    return ", ".join([names.get(engine, engine), *(when.replace("-", " ") for when in era)])


def readable(frame: pd.DataFrame, **headings: str) -> pd.DataFrame:
    """A frame as a page prints it: chips, models, engines and sources by name, columns in words (`headings` overrule the
    usual)."""
    shown = named(frame)
    if "source" in shown:
        shown = titled(shown)
    if "software" in shown:
        shown = shown.assign(software=shown["software"].map(engine_name))
    return shown.rename(columns=HEADINGS | headings)


def column_words(field: Mapping[str, Any], streamed: bool = False) -> str:
    """A column of a table in few words: its title, where the data package has one, else how its description begins.
    streamed: whether the chip's weights come from a store outside."""
    title = (streamed and field.get("titleStreamed")) or field.get("title")
    return title or re.split(r"[.(,]", field["description"])[0].strip()


def name_of(word: str) -> str:
    """The name of the chip or the model with this id; any other word as it is."""
    known = chips.all_chips().get(word) or models.all_models().get(word)
    return known.name if known else word


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with chips and models by name wherever such a column holds an id; other words stay as they are."""
    known = dict.fromkeys(CHIP_COLUMNS, chips.all_chips) | dict.fromkeys(
        MODEL_COLUMNS, models.all_models
    )
    names = {
        column: {key: one.name for key, one in of().items()}
        for column, of in known.items()
        if column in frame
    }
    return frame.assign(**{c: frame[c].map(own).fillna(frame[c]) for c, own in names.items()})


def makers(ids: pd.Series) -> pd.Series:
    """The maker of each chip id; blank where the catalog has no such chip."""
    return ids.map({name: one.vendor for name, one in chips.all_chips().items()})


def _titles() -> pd.Series:
    return tables.load("sources").set_index("key")["title"]


def titled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the title of each source in place of its key."""
    return frame.assign(source=frame["source"].map(_titles()).fillna(frame["source"]))


def source_labels(labels: pd.Series) -> pd.Series:
    """Labels of a chart that begin with the key of a source, with its title in the key's place.

    A title is cut at `SHORT_TITLE` characters, unless another one would then read alike.
    """
    keys, rest = labels.str.split(" ", n=1).str[0], labels.str.extract(r"^\S+( .*)?$")[0]
    full = keys.map(_titles()).fillna(keys)
    short = full.map(lambda title: textwrap.shorten(title, SHORT_TITLE, placeholder=" …"))
    told = pd.DataFrame({"key": keys, "short": short}).drop_duplicates()["short"]
    twice = set(told[told.duplicated(keep=False)])
    return short.mask(short.isin(twice), full) + rest.fillna("")
