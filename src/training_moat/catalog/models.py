"""Model architectures of the table as core objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from training_moat.catalog import scenario, spelling, tables
from training_moat.catalog.shape_gaps import SIZES
from training_moat.core.units import BILLION
from training_moat.core.workload import Transformer

_TUNED = re.compile(
    r"[-_ ](?:instruct|chat|it|hf|base|think|thinking|reasoning|coder|math|sft|dpo|deduped|python|preview)(?=[-_ ]|$)",
    re.IGNORECASE,
)
"""What stands in a release's name for how it was tuned or stored; no size of the model hangs on it."""

_MAKER = re.compile(r"^meta[-_ ]", re.IGNORECASE)
"""A maker before the name, as Llama 3's repositories have it."""

_FIRST = re.compile(
    r"-(?:v0\.1|v1\.0|(?:0[1-9]|1[0-2])[0-3]\d|2[3-6](?:0[1-9]|1[0-2]))$", re.IGNORECASE
)
"""The number of a first version, or the date of a release by month and day or year and month, at a name's end."""

_STORED = re.compile(
    r"[-_ ](?:quantized\.)?((?:awq|gptq)[-_]int4|fp8[-_](?:kv|dynamic|block)|mxfp[48]|nvfp4|fp(?:4|8|16)|bf16|awq|gptq"
    r"|int[48]|w4a16|w8a8)(?:[-_]v\d)?$",
    re.IGNORECASE,
)
"""The format of the weights at the end of a checkpoint's name."""


def frame() -> pd.DataFrame:
    """The models table, the active scenario's models included."""
    return tables.load("models")


def resolve(name: str, where: str = "") -> str:
    """The id that a name or any other spelling means, or the name of a tuned release; InputError with the nearest id
    otherwise."""
    found = find(name) or _released(str(name))
    if found is None:
        raise spelling.unlisted("model", str(name), _spellings(), where)
    return found


def known(name: str) -> bool:
    """Whether `resolve` finds a model of that name."""
    return (find(name) or _released(name)) is not None


def find(name: str) -> str | None:
    """The id that a spelling means, or None: for measured rows whose model the table may not have."""
    return _spellings().get(spelling.normal(str(name)))


def _released(name: str) -> str | None:
    """The model of a repository's name ("Qwen/Qwen2.5-72B-Instruct"), whoever tuned it and when. A format in the name
    ("-FP8", "-AWQ") is left there, so that it is not lost: who has one says `precision`, or asks of serving, which reads it
    (`stored_as`)."""
    bare = _MAKER.sub("", name.rpartition("/")[2])
    plain = _TUNED.sub("", bare)
    said = [spelling.normal(each) for each in (bare, plain, _FIRST.sub("", plain))]
    return next((names[each] for names in (_spellings(), _bare()) for each in said if each in names), None)  # fmt: skip


def stored_as(name: str) -> tuple[str, str]:
    """(the model's name, the format behind it in small letters) of a checkpoint's name: "Qwen3-32B-FP8" is ("Qwen3-32B",
    "fp8"). The format is blank where it names none."""
    place = _STORED.search(name)
    return (name[: place.start()], place[1].lower()) if place else (name, "")


def model(name: str) -> Transformer:
    """One architecture by id, name or a spelling used by a measurement. Raises InputError for an unknown one."""
    return all_models()[resolve(name)]


@tables.kept()
def all_models() -> dict[str, Transformer]:
    """All architectures by id, the active scenario's included, in table order."""
    return {row["id"]: build(row) for _, row in frame().iterrows()}


def from_record(record: Mapping[str, Any]) -> Transformer:
    """An architecture from a mapping with the table's columns.

    `base` names a model whose values it keeps elsewhere. Without one, sizes that follow from the others may
    be left out (see `shape_gaps.filled`). A given `params_b` wins over the count. Raises InputError for
    unknown columns or bases and for values outside the table's schema.
    """
    if record.get("params_b") is not None and record.get("params_basis") is None:
        record = {**record, "params_basis": "published"}
    return build(scenario.entry("models", record, "model"))


def assumed(record: Mapping[str, Any]) -> list[str]:
    """The sizes of a record that `from_record` had to guess from its count of weights or its hidden size."""
    if record.get("base") or find(str(record.get("id"))) is not None:
        return []
    wanted = ("layers", "hidden", "heads", "experts")
    model = from_record(record)
    return [
        f"{name} {getattr(model, name)}"
        for name in wanted
        if record.get(name) is None and getattr(model, name)
    ]


def build(row: pd.Series) -> Transformer:
    """A core transformer from one typed row of the table.

    Weights are counted from the shape, which is exact to a percent, unless `params_basis` says that the
    published count holds weights outside the shape. Where one layer in `full_attention_interval` attends, the others
    are linear.
    """
    published = row["params_basis"] == "published"
    sizes = {name: _number(row[name]) for name in SIZES}
    every = _number(row["full_attention_interval"])
    if every and not sizes["linear_layers"]:
        sizes["linear_layers"] = sizes["layers"] - sizes["layers"] // every
    return Transformer(
        name=row["name"],
        **sizes,
        params_given=_number(row["params_b"]) * BILLION if published else 0,
        active_params_given=_number(row["active_params_b"]) * BILLION if published else 0,
    )


def _number(value: float) -> int | float:
    """A size as a plain number: whole where it is whole, 0 where the shape has no such part."""
    if pd.isna(value):
        return 0
    return int(value) if float(value).is_integer() else float(value)


@tables.kept()
def _spellings() -> dict[str, str]:
    return spelling.ids_by_spelling(frame())


@tables.kept()
def _bare() -> dict[str, str]:
    """Spellings of repositories without their owner ("MiniMaxAI/MiniMax-M2.7" is "MiniMax-M2.7" as well), but those that tell
    a format."""
    frames = frame().dropna(subset="aliases")
    found: dict[str, str] = {}
    for row_id, cell in zip(frames["id"], frames["aliases"], strict=True):
        for name in cell.split(spelling.ALIAS_SEPARATOR):
            if "/" in name and not stored_as(name)[1]:
                found.setdefault(spelling.normal(name.rpartition("/")[2]), row_id)
    return found
