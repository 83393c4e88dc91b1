"""Filling what a user's model leaves out, where the rest of its shape says it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product
from math import isfinite
from typing import Any

from training_moat.catalog import descriptor
from training_moat.catalog.customary_shape import GPT_VOCABULARY, guessed
from training_moat.core.errors import InputError
from training_moat.core.workload import Transformer, derived_params

YES_OR_NO = ("gated_ffn", "tied_embeddings")
"""Columns that may be true or false."""


SWIGLU_WIDTH = 8 / 3
"""Inner width of a gated block over the hidden size that keeps the weights of a plain one (Shazeer 2020)."""

PLAIN_WIDTH = 4
"""Inner width of a plain block over the hidden size (Vaswani et al. 2017)."""

SIZES = [
    name
    for name in Transformer.__dataclass_fields__
    if name not in ("name", "params_given", "active_params_given")
]
"""Sizes of a transformer, which are columns of the table of models, too."""


def filled(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`record` with every size a transformer needs.

    Layers and hidden size, where missing, follow from `params_b` (see `customary_shape`), heads from the hidden
    size. Key-value heads default to the heads, a head to hidden / heads, blocks to the width customary for
    their kind. Whether blocks are gated and embeddings tied follows from `params_b` where that is given;
    otherwise a width of exactly four times the hidden size means a plain block. Raises InputError when the
    sizes cannot be told or contradict each other.
    """
    if record.get("experts") and record.get("experts_per_token") is None:
        raise InputError(
            f"{where}: experts_per_token is missing; a model with experts needs it, or a base"
        )
    for key, value in record.items():
        if isinstance(value, bool) and key not in YES_OR_NO:
            raise InputError(
                f"{where}, column {key}: '{value}' is wrong; expected no true or false here"
            )
    sizes = {key: value for key, value in record.items() if value is not None}
    numbers = (*SIZES, "params_b", "active_params_b")
    sizes |= {name: _number(sizes[name], name, where) for name in numbers if name in sizes}
    sizes = guessed(sizes, where) | sizes
    sizes.setdefault("kv_heads", sizes["heads"])
    sizes.setdefault("vocab", GPT_VOCABULARY)
    sizes.setdefault("attention", attention_kind(sizes))
    if sizes.get("kv_lora_rank"):
        _fill_latent(sizes)
    if record.get("heads") and record.get("hidden") and "head_dim" not in sizes:
        _reject_split_heads(sizes, where)
    sizes.setdefault("head_dim", max(1, sizes["hidden"] // sizes["heads"]))
    for name in ("experts", "experts_per_token", "shared_experts"):
        sizes.setdefault(name, 0)
    _reject_contradictions(sizes, where)
    sizes.setdefault("params_basis", "published" if "params_b" in sizes else "shape")
    return _nearest_to_count(sizes)


def _reject_split_heads(sizes: Mapping[str, Any], where: str) -> None:
    """InputError where the heads do not share out the hidden size."""
    hidden, heads = sizes["hidden"], sizes["heads"]
    if hidden % heads:
        raise InputError(
            f"{where}: hidden is {hidden:g} and heads {heads:g}; expected heads that divide it, or head_dim"
        )


def _reject_contradictions(sizes: Mapping[str, Any], where: str) -> None:
    """InputError where one size rules another out."""
    heads, kv_heads = sizes["heads"], sizes["kv_heads"]
    if kv_heads > 0 and heads % kv_heads:
        raise InputError(
            f"{where}: {heads:g} heads and {kv_heads:g} kv_heads; expected kv_heads that divide the heads"
        )
    experts, used = sizes["experts"], sizes["experts_per_token"]
    if used > experts == 0:
        raise InputError(
            f"{where}: experts_per_token is {used:g}, but there are no experts; expected their number, or neither"
        )
    if used > experts:
        raise InputError(
            f"{where}: experts_per_token is {used:g}; expected at most experts, {experts:g}"
        )
    for key, wrong, expected in _odd_sizes(sizes):
        if wrong:
            value = sizes.get(key, 0)
            said = value if isinstance(value, str) else f"{value:g}"
            raise InputError(f"{where}: {key} is {said}; expected {expected}")


def _odd_sizes(sizes: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Columns that a part of the shape needs, or that lie within it: (column, whether it is wrong, what was expected)."""
    size = defaultdict(int, {key: value for key, value in sizes.items() if value == value})
    layers, experts = size["layers"], size["experts"]
    groups = size["routing_groups"]
    yield "dense_layers", size["dense_layers"] > layers, f"at most layers, {layers:g}"
    yield "experts_per_token", experts > 0 == size["experts_per_token"], "at least 1 of the experts"
    no_width = experts > 0 and sizes.get("expert_ffn") == 0
    yield "expert_ffn", no_width, "the inner width of an expert, or none to have it derived"
    yield "routing_groups", bool(groups and experts % groups), "a number that divides the experts"
    yield "routed_groups", size["routed_groups"] > groups, f"at most routing_groups, {groups:g}"
    for part, needed in (
        ("windowed_layers", "attention_window"),
        ("chunked_layers", "attention_chunk"),
    ):
        yield needed, size[part] > 0 == size[needed], f"more, with {size[part]:g} {part}"
    latent = size["attention"] == "mla" and "kv_lora_rank" not in size
    yield "attention", latent, "kv_lora_rank with it, or another kind"


def attention_kind(sizes: Mapping[str, Any]) -> str:
    """The kind of attention that the sizes describe: mla, mqa, gqa or mha."""
    if sizes.get("kv_lora_rank"):
        return "mla"
    if sizes["kv_heads"] == sizes["heads"]:
        return "mha"
    return "mqa" if sizes["kv_heads"] == 1 else "gqa"


def _fill_latent(sizes: dict[str, Any]) -> None:
    """Head sizes of latent attention: DeepSeek-V2's (2024, section 3.1.2) where they are not given."""
    sizes.setdefault("qk_rope_head_dim", 64)
    sizes.setdefault("qk_nope_head_dim", 128)
    sizes.setdefault("v_head_dim", sizes["qk_nope_head_dim"])
    sizes.setdefault("head_dim", sizes["qk_nope_head_dim"] + sizes["qk_rope_head_dim"])


def _nearest_to_count(sizes: dict[str, Any]) -> dict[str, Any]:
    """Settle the open yes-or-no questions so that the counted weights come nearest to `params_b`."""
    choices = [[sizes[name]] if name in sizes else [0, 1] for name in YES_OR_NO]
    candidates = [_with_widths(sizes, gated, tied) for gated, tied in product(*choices)]
    if sizes.get("params_b") is None:
        if "gated_ffn" not in sizes:
            gated = int(sizes.get("ffn") != PLAIN_WIDTH * sizes["hidden"])
            candidates = [item for item in candidates if item["gated_ffn"] == gated]
        return candidates[0]
    wanted = float(sizes["params_b"]) * 1e9
    if sizes["experts"] and "dense_layers" not in sizes:
        candidates = [_with_dense_layers(item, wanted) for item in candidates]
    return min(candidates, key=lambda item: abs(counted_params(item) - wanted))


def _with_dense_layers(sizes: dict[str, Any], wanted: float) -> dict[str, Any]:
    """As many of the first layers dense as bring the count to `wanted`, where experts in all of them exceed it."""
    whole, layers = counted_params(sizes), sizes["layers"]
    one_less = counted_params({**sizes, "dense_layers": 1})
    if whole <= wanted or layers < 2 or one_less >= whole:
        return sizes
    dense = min(round((whole - wanted) / (whole - one_less)), int(layers) - 1)
    return {**sizes, "dense_layers": dense}


def _with_widths(sizes: dict[str, Any], gated: int, tied: int) -> dict[str, Any]:
    """One candidate: the customary block width where none is given, and the experts' width."""
    width = round((SWIGLU_WIDTH if gated else PLAIN_WIDTH) * sizes["hidden"])
    known = {"ffn": sizes.get("expert_ffn") or width, **sizes}
    complete = known | {"gated_ffn": gated, "tied_embeddings": tied}
    if complete["experts"]:
        complete.setdefault("expert_ffn", complete["ffn"])
        complete.setdefault("dense_layers", 0)
    return complete


def counted_params(sizes: Mapping[str, Any]) -> float:
    """All weights of a complete shape."""
    return derived_params(Transformer(name="", **{name: sizes.get(name, 0) for name in SIZES}))


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = value if isinstance(value, int) else float(value)
        if isfinite(number):
            return number
    except (TypeError, ValueError, OverflowError):  # the last: a whole number beyond every float
        pass
    field = next(item for item in descriptor.fields("models") if item["name"] == name)
    expected = descriptor.expectation(field)
    raise InputError(f"{where}, column {name}: '{value!s:.60}' is wrong; expected {expected}")
