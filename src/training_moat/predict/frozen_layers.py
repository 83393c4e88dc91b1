"""What a request that trains adapters says of the layers beside them, which are frozen: their bytes and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from training_moat.catalog import dates
from training_moat.core.adapters import ALL_ADAPTED
from training_moat.core.errors import InputError
from training_moat.core.optimizer_states import NF4_BYTES, NF4_PLAIN_BYTES, WEIGHT_BYTES
from training_moat.predict import adapted_products, requests
from training_moat.predict.software import Software

ADAPTERS_NOTE = "adapters are taken to be on every dense product of every layer"
KEEPING_NOTE = "bitsandbytes before 0.43.2 keeps the inputs of all frozen products"
KEPT_BEFORE = dates.span("2024-08")[0]
"""bitsandbytes 0.43.2, of the end of July 2024, lets the inputs of frozen products go, which its forward pass had kept (its
CHANGELOG: "activations being unnecessary for frozen parameters, yet the memory for them was still erroneously allocated")."""
BASE_BYTES = {"nf4": NF4_BYTES, "nf4-plain": NF4_PLAIN_BYTES}
"""Formats in which frozen weights beside adapters are kept, 16 bits apart, by bytes of a weight."""


class Frozen(NamedTuple):
    """Bytes of a frozen weight of a layer, the products that have adapters (a set of `core.adapters.ADAPTED`), those that keep
    their inputs for the backward pass, and what was assumed."""

    base_bytes: float
    targets: int
    inputs_kept: int
    notes: list[str]


def told(case: Mapping[str, Any], rank: int, software: Software, released: float | None) -> Frozen:
    """What a request with adapters of that rank (0: none) says, its software `released` in that year (None: today's). Raises
    `InputError` in one sentence."""
    base, named = _base_bytes(case, rank), adapted_products.told(case, rank)
    kept_all = base < WEIGHT_BYTES and _keeps_inputs(software, released)
    targets = ALL_ADAPTED if named is None else named
    notes = [ADAPTERS_NOTE] * bool(rank and named is None) + [KEEPING_NOTE] * kept_all
    return Frozen(base, targets, ALL_ADAPTED if kept_all else targets, notes)


def _base_bytes(case: Mapping[str, Any], rank: int) -> float:
    """Bytes of a frozen weight of a layer."""
    if case.get("base_precision") in ("bf16", "fp16", "bfloat16", "float16"):
        return WEIGHT_BYTES
    word = requests.choice(case, "base_precision", tuple(BASE_BYTES))
    if word and not rank:
        raise InputError(
            f"base_precision {word} is of frozen weights; expected a lora_rank with it"
        )
    return BASE_BYTES[word] if word else WEIGHT_BYTES


def _keeps_inputs(software: Software, released: float | None) -> bool:
    """Whether products with weights in four bits keep their inputs although these weights are frozen: bitsandbytes did before
    `KEPT_BEFORE`."""
    return not software.own_four_bits and released is not None and released < KEPT_BEFORE
