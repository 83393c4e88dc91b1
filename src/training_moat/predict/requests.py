"""A prediction request, as JSON gives it, to the model's objects; every fault one clear sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.core.errors import InputError, unknown
from training_moat.core.machine import Chip
from training_moat.core.workload import Transformer

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4", "mxfp4", "int8")
"""Matmul formats a case may name."""

COMMON_FIELDS = (
    "id",
    "model",
    "chip",
    "chips",
    "tp",
    "pp",
    "dp",
    "ep",
    "cp",
    "precision",
    "software",
)
"""Fields that training and serving cases share."""


def reject_unknown_fields(case: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise `InputError` for the first field of `case` that is not `allowed`, naming the nearest one."""
    for key in case:
        if key not in allowed:
            raise unknown("field", key, allowed)


def whole(case: Mapping[str, Any], key: str, low: int = 1, high: int | None = None) -> int | None:
    """The whole number under `key`, or None when absent or null.

    Raises `InputError` for other types, fractions and values outside [low, high].
    """
    value = case.get(key)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or value != value
        or value in (float("inf"), float("-inf"))
    ):
        raise InputError(f"{key} is {value!r}; expected a whole number")
    if value != int(value):
        raise InputError(f"{key} is {value}; expected a whole number")
    if value < low or (high is not None and value > high):
        upper = f" to {high}" if high is not None else " or more"
        raise InputError(f"{key} is {value:g}; expected {low}{upper}")
    return int(value)


def share(case: Mapping[str, Any], key: str) -> float | None:
    """The number from 0 to 1 under `key`, or None when absent or null."""
    value = case.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{key} is {value!r}; expected a number from 0 to 1")
    return float(value)


def flag(case: Mapping[str, Any], key: str) -> bool | None:
    """The true-or-false value under `key`, or None when absent or null."""
    value = case.get(key)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise InputError(f"{key} is {value!r}; expected true or false")


def choice(case: Mapping[str, Any], key: str, options: tuple[str, ...]) -> str | None:
    """The word under `key`, one of `options` whatever its case, or None when absent or null."""
    value = case.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"{key} is {value!r}; expected one of {', '.join(options)}")
    if value.lower() not in options:
        raise unknown(key, value, options)
    return value.lower()


def model_of(case: Mapping[str, Any]) -> Transformer:
    """The case's model: a name from the models table, or an object of its fields."""
    wanted = case.get("model")
    if wanted is None:
        raise InputError(
            "model is missing; expected a name from `moat models` or an object with its fields"
        )
    if isinstance(wanted, str):
        return model_catalog.model(wanted)
    if isinstance(wanted, Mapping):
        return model_catalog.from_record(wanted)
    raise InputError(f"model is {wanted!r}; expected a name or an object")


def model_notes(case: Mapping[str, Any]) -> list[str]:
    """What had to be assumed about a model given as an object, as notes for the answer."""
    record = case.get("model")
    guessed = model_catalog.assumed(record) if isinstance(record, Mapping) else []
    return [f"model: {', '.join(guessed)} assumed, as customary for its size"] if guessed else []


def chip_of(case: Mapping[str, Any]) -> Chip:
    """The case's chip: an id from the chips table, an object of its columns, optionally with a `base`, or a `Chip`."""
    wanted = case.get("chip")
    if isinstance(wanted, Chip):
        return wanted
    if wanted is None:
        raise InputError(
            "chip is missing; expected an id from `moat chips` or an object with its columns"
        )
    if isinstance(wanted, str):
        return chip_catalog.chip(wanted)
    if isinstance(wanted, Mapping):
        return chip_catalog.from_record(wanted, "chip")
    raise InputError(f"chip is {wanted!r}; expected an id or an object")


def precision_of(case: Mapping[str, Any], chip: Chip) -> tuple[str, list[str]]:
    """(matmul format, notes): the one asked for, else 16 bits; a note where the chip lacks units for it."""
    wanted = choice(case, "precision", PRECISIONS)
    if wanted is None:
        for name in ("bf16", "fp16", "fp32"):
            if chip.peak_flops.get(name):
                return name, []
        return chip.compute_format("bf16"), []
    used = chip.compute_format(wanted)
    notes = (
        []
        if used == wanted
        else [f"{chip.id} has no published {wanted} peak; {used} units stand in"]
    )
    return wanted, notes
