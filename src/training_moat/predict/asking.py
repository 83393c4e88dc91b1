"""The model's answers for a notebook or a script: one call a question, or a table of questions.

Fields and answers are those of `moat predict`. Times are seconds, memory GiB (2^30 bytes) a chip,
rates TFLOP/s (1e12), prices US dollars; `_p05` and `_p95` bound the central 90%. A field that is
left out is chosen by the model - the fastest plan that fits - and told under `plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

import pandas as pd

from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.predict import serving, training

Named = str | Mapping[str, Any]
"""A model's or chip's name in the tables, or an object of the table's columns (`base` names one to start from)."""
Cases: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]
"""Questions: a table with one a row and a field a column, or mappings; a blank cell is a field left out."""
_NESTED = ("seconds", "memory_gib", "plan")


class _Answer(TypedDict, total=False):
    tokens_per_s: float
    tokens_per_s_per_chip: float
    memory_gib: dict[str, float]
    fits: bool
    seconds: dict[str, float]
    calibration: str
    notes: list[str]


class TrainingAnswer(_Answer, total=False):
    """One training step. `run_days`, `chip_hours`, `goodput` come with `tokens_b`, `cost_usd` with a price; `store_gib`, what
    one store outside all chips holds for them, where their weights stream in from it."""

    plan: dict[str, Any]
    step_time_s: float
    step_time_s_p05: float
    step_time_s_p95: float
    model_tflops_per_chip: float
    hardware_tflops_per_chip: float
    mfu: float
    hfu: float
    run_days: float
    chip_hours: float
    goodput: float
    cost_usd: float
    store_gib: float


class ServingPlan(TypedDict, total=False):
    """How a service is laid out: chips, degrees of parallelism, formats, engine, load and lengths in tokens."""

    chips: int
    tp: int
    pp: int
    dp: int
    ep: int
    expert_tp: int
    cp: int
    precision: str
    kv_precision: str
    software: str
    batch: int
    input_len: int
    output_len: int


class ServingAnswer(_Answer, total=False):
    """Serving at a steady number of concurrent sequences. `usd_per_m_output_tokens` comes with a price."""

    plan: ServingPlan
    ttft_s: float
    tpot_s: float
    tpot_s_p05: float
    tpot_s_p95: float
    usd_per_m_output_tokens: float


def training_step(
    model: Named,
    chip: Named | Chip,
    chips: int,
    *,
    seq_len: int | None = None,
    global_batch: int | None = None,
    precision: str | None = None,
    software: str | None = None,
    tokens_b: float | None = None,
    price_usd_per_chip_hour: float | None = None,
    **plan: Any,
) -> TrainingAnswer:
    """Time, rate and memory of one training step, on the fastest plan that fits unless `plan` fixes it.

    chips: how many. seq_len: tokens a sequence. global_batch: sequences a step. precision: matmul
    format (`bf16`, `fp8`, ...). software: the stack (`megatron`, `fsdp`, ...). tokens_b: length of the
    whole run in 1e9 tokens. plan: `tp`, `pp`, `dp`, `ep`, `cp`, `micro_batch`, `recompute`, ...
    (`moat predict training` has the list). Raises InputError for a name, size or field that is none.
    """
    return _only(training.predict([_asked(locals())]))  # type: ignore[return-value]


def service(
    model: Named,
    chip: Named | Chip,
    chips: int,
    *,
    batch: int = 1,
    input_len: int | None = None,
    output_len: int | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    software: str | None = None,
    price_usd_per_chip_hour: float | None = None,
    **plan: Any,
) -> ServingAnswer:
    """Latency, throughput and memory of serving, on the fastest plan that fits unless `plan` fixes it.

    batch: sequences served at once. input_len, output_len: tokens of a prompt and of its answer.
    `tpot_s` is the time per output token that a client sees, `ttft_s` the time to the first.
    Raises InputError for a name, size or field that is none.
    """
    return _only(serving.predict([_asked(locals())]))  # type: ignore[return-value]


def fastest_plans(
    model: Named, chip: Named | Chip, chips: int, *, top: int = 10, **fields: Any
) -> pd.DataFrame:
    """The fastest plans of training that fit, one a row, best first, with columns such as `plan.tp`.

    fields: whatever `training_step` takes. Where nothing fits, `fits` is false: the plans that need
    least memory. Raises InputError as `training_step` does, and for `top` below 1.
    """
    if top < 1:
        raise InputError(f"top is {top}; expected 1 or more")
    case = _case({"model": model, "chip": chip, "chips": chips, **fields})
    found = training.search(case, top)
    return pd.DataFrame(columns(found))


def training_steps(cases: Cases) -> pd.DataFrame:
    """The answer of `training_step` for each case, one a row, nested values as `memory_gib.total`.

    The fields asked with come first. A bad case fills `error` with its sentence and nothing else;
    what no case was told (`cost_usd` without a price) is a blank column.
    """
    return _table(cases, training.predict)


def services(cases: Cases) -> pd.DataFrame:
    """The answer of `service` for each case, one a row; see `training_steps`."""
    return _table(cases, serving.predict)


def columns(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Answers as the columns of a table: nested values as `plan.tp`, notes as one text, `error` blank or a sentence.

    Column by column and not row by row, which would cost several times as much.
    """
    right = [answer if answer["ok"] else {} for answer in found]
    made: dict[str, list[Any]] = {"error": [answer.get("error") or "" for answer in found]}
    for name in dict.fromkeys(key for answer in right for key in answer):
        if name in ("id", "ok"):
            continue
        values = [answer.get(name) for answer in right]
        if name == "notes":
            made[name] = [None if value is None else "; ".join(value) for value in values]
        elif name in _NESTED:
            parts = [value or {} for value in values]
            for part in dict.fromkeys(key for value in parts for key in value):
                made[f"{name}.{part}"] = [value.get(part) for value in parts]
        else:
            made[name] = values
    return made


def _asked(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a call was given as one case, the fields of its `plan` among the others."""
    plan = arguments.pop("plan")
    return _case({**arguments, **plan})


def _case(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _only(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    answer = dict(found[0])
    if not answer.pop("ok"):
        raise InputError(answer["error"])
    answer.pop("id")
    return answer


def _table(cases: Cases, predicted: Callable[..., list[dict[str, Any]]]) -> pd.DataFrame:
    if isinstance(cases, pd.DataFrame):
        records = cases.astype(object).where(cases.notna(), None).to_dict("records")
    else:
        records = [dict(case) for case in cases]
    answered = pd.DataFrame(columns(predicted([_case(record) for record in records])))
    asked = pd.DataFrame(records)
    table = asked[[name for name in asked if name not in answered]].join(answered)
    shape = TrainingAnswer if predicted is training.predict else ServingAnswer
    whole = [name for name in shape.__annotations__ if name not in _NESTED]
    if shape is ServingAnswer:
        whole += [f"plan.{name}" for name in ServingPlan.__annotations__]
    return table.reindex(columns=[*table, *(name for name in whole if name not in table)])
