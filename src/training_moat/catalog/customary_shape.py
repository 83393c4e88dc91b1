"""The shape customary for a number of weights, for a model of which only that number is given.

The depth follows GPT-3's proportions, hidden = 128 x layers (Brown et al. 2020, table 2.1: 96 layers of 12,288),
the count Kaplan et al. 2020, table 1: 12 x layers x hidden^2, embeddings apart. In a mixture of experts only
attention, 4 x layers x hidden^2, follows that proportion; the experts hold the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from training_moat.core.errors import InputError

DENSE_LAYER, ATTENTION = 12, 4
"""Weights over hidden^2 of a whole dense layer and of its attention alone."""

GPT_VOCABULARY = 50304
"""Vocabulary assumed where none is given: GPT-2's 50,257 (Radford et al. 2019) padded to a multiple of 128."""
ASPECT = 128
"""Hidden size over layers of GPT-3, width of its heads, and the multiple that hidden sizes are rounded to."""

LAYER_MULTIPLE, HEAD_MULTIPLE, EXPERT_MULTIPLE = 4, 8, 8
"""Guessed sizes are multiples of these, as published ones mostly are: they divide over parallel chips."""

COARSE_RATIO, COARSE_USED, FINE_USED = 6, 2, 8
"""Models that hold up to 6 times their active weights route to 2 experts (Mixtral, Grok-1), others to 8 smaller
ones (DeepSeek-V3, Qwen3, Kimi K2)."""

EXPERT_SHARE = 2 / 3
"""Share of the active weights in routed experts (Qwen3-235B 65%, Kimi K2 67%, DeepSeek-V3 56%, Mixtral 87%)."""

DENSE_SHARE = 0.9
"""A model that uses this share of its weights for every token is no mixture of experts."""


def guessed(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values for sizes missing from `record`: layers, hidden, heads, and the experts' where active weights tell.

    Those that are there are finite numbers. Raises InputError where no count of weights (`params_b`, in billions) tells them.
    """
    total = _positive(record, "params_b", where)
    active = _positive(record, "active_params_b", where) or total
    if total and active and active > total:
        raise InputError(
            f"{where}: active_params_b is {active:g}; expected at most params_b, {total:g}"
        )
    missing = [name for name in ("layers", "hidden") if record.get(name) is None]
    if missing and not total:
        raise InputError(
            f"{where}: {missing[0]} is missing; a model needs at least layers and hidden, or params_b, or a base"
        )
    sizes: dict[str, Any] = {}
    layers, hidden = _positive(record, "layers", where), _positive(record, "hidden", where)
    if total and active and (layers is None or hidden is None):
        experts = _experts(record, where, total, active)
        vocab = _positive(record, "vocab", where) or GPT_VOCABULARY
        body = max(active - experts.pop("weights_b"), active / 10) * 1e9
        per_layer = ATTENTION if experts else DENSE_LAYER
        layers = layers or _depth(hidden, body, vocab, per_layer)
        hidden = hidden or _width(layers, body, vocab, per_layer)
        sizes = {"layers": layers, "hidden": hidden, "gated_ffn": 0, "tied_embeddings": 0}
        if experts:
            idle = (total - active) / (experts["experts"] - experts["experts_per_token"])
            matrices = 3 if record.get("gated_ffn") else 2
            width = 64 * round(idle * 1e9 / (64 * layers * matrices * hidden))
            sizes |= {**experts, "expert_ffn": max(64, width)}
    sizes["heads"] = _heads(record, where, hidden or 0.0)
    return sizes


def _positive(record: Mapping[str, Any], name: str, where: str) -> float | None:
    value = record.get(name)
    if value is not None and value <= 0:
        kind = "number" if name.endswith("_b") else "whole number"
        raise InputError(f"{where}, column {name}: '{value}' is wrong; expected a {kind} above 0")
    return value


def _experts(record: Mapping[str, Any], where: str, total: float, active: float) -> dict[str, Any]:
    """How many experts, how many of them a token uses, and the billions of weights in those (`weights_b`)."""
    if not record.get("experts") and active >= DENSE_SHARE * total:
        return {"weights_b": 0.0}
    customary = COARSE_USED if total < COARSE_RATIO * active else FINE_USED
    used = _positive(record, "experts_per_token", where) or customary
    wanted = used * (1 + (total - active) / (EXPERT_SHARE * active))
    rounded = max(EXPERT_MULTIPLE, EXPERT_MULTIPLE * round(wanted / EXPERT_MULTIPLE))
    experts = _positive(record, "experts", where) or rounded
    if used >= experts:
        raise InputError(
            f"{where}: experts_per_token is {used:g}; expected fewer than experts, {experts:g}"
        )
    return {
        "experts": experts,
        "experts_per_token": used,
        "weights_b": used * (total - active) / (experts - used),
    }


def _depth(hidden: float | None, body: float, vocab: float, per_layer: float) -> int:
    if hidden:
        return max(1, round((body - 2 * vocab * hidden) / (per_layer * hidden**2)))
    layers = (body / (per_layer * ASPECT**2)) ** (1 / 3)
    return (
        max(1, round(layers))
        if layers < LAYER_MULTIPLE
        else LAYER_MULTIPLE * round(layers / LAYER_MULTIPLE)
    )


def _width(layers: float, body: float, vocab: float, per_layer: float) -> int:
    """The hidden size h at which layers and both embeddings, w L h^2 + 2 V h, hold the `body` weights."""
    exact = (sqrt(vocab**2 + per_layer * layers * body) - vocab) / (per_layer * layers)
    return max(ASPECT, ASPECT * round(exact / ASPECT))


def _heads(record: Mapping[str, Any], where: str, hidden: float) -> float:
    given = _positive(record, "heads", where)
    if given:
        return given
    heads = hidden / (_positive(record, "head_dim", where) or ASPECT)
    if record.get("hidden") is None and heads >= HEAD_MULTIPLE:
        return HEAD_MULTIPLE * round(heads / HEAD_MULTIPLE)
    return max(1, round(heads))
