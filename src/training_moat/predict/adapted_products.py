"""Which products a request's adapters are on, in the words of the programs that train them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_moat.core.adapters import ADAPTED, ALL_ADAPTED
from training_moat.core.errors import InputError, unknown
from training_moat.predict import requests

FIELD = "lora_targets"
ATTENTION, BLOCK = ADAPTED[:4], ADAPTED[4:]
NAMES = {
    **{f"{product}_proj": (product,) for product in ADAPTED},
    "attention": ATTENTION,
    "mlp": BLOCK,
    "all-linear": ADAPTED,
}
"""Words of a request, and the products of `ADAPTED` that they mean: PEFT's of LLaMA's modules and of all linear ones."""
ELSEWHERE = {
    **{product: (product,) for product in ADAPTED},
    **dict.fromkeys(("wq", "query", "linear_q"), ("q",)),
    **dict.fromkeys(("wk", "key", "linear_k"), ("k",)),
    **dict.fromkeys(("wv", "value", "linear_v"), ("v",)),
    **dict.fromkeys(
        ("qkv", "qkv_proj", "linear_qkv", "attention_qkv", "query_key_value", "c_attn", "wqkv"),
        ("q", "k", "v"),
    ),
    **dict.fromkeys(("wo", "output_proj", "out_proj", "linear_proj", "attention_dense"), ("o",)),
    **dict.fromkeys(("gate_up_proj", "linear_fc1", "mlp_fc1"), ("gate", "up")),
    **dict.fromkeys(("linear_fc2", "mlp_fc2"), ("down",)),
    **dict.fromkeys(("all", "all_linear"), ADAPTED),
    "w1": ("gate",),
    "w3": ("up",),
    "w2": ("down",),
    "attn": ATTENTION,
    "self_attn": ATTENTION,
    "ffn": BLOCK,
}
"""The same in the words of other programs: torchtune, LitGPT, Megatron Bridge and NeMo, transformers' older models."""


def told(case: Mapping[str, Any], rank: int) -> int | None:
    """The set of `ADAPTED` that a request names, None where it names none. Raises `InputError` in one sentence."""
    value = case.get(FIELD)
    if value is None:
        return None
    if not rank:
        raise InputError(f"{FIELD} are of adapters; expected a lora_rank with it")
    words = value.replace("+", ",").split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not words:
        expected = f"expected a list of {', '.join(NAMES)}"
        raise InputError(f"{FIELD} is {requests.shown(value)}; {expected}")
    products = {product for word in words for product in _meant(word)}
    return sum(1 << bit for bit, product in enumerate(ADAPTED) if product in products)


def _meant(word: Any) -> tuple[str, ...]:
    if not isinstance(word, str):
        raise InputError(f"{FIELD} has {requests.shown(word)}; expected one of {', '.join(NAMES)}")
    name = word.strip().lower()
    if name in NAMES:
        return NAMES[name]
    if name not in ELSEWHERE:
        raise unknown(FIELD, word, tuple(NAMES))
    return ELSEWHERE[name]


def names(targets: int) -> list[str] | None:
    """The products of a set by their names in a request; None for all of them."""
    if targets == ALL_ADAPTED:
        return None
    return [f"{product}_proj" for bit, product in enumerate(ADAPTED) if targets >> bit & 1]
