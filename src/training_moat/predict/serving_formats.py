"""What a served checkpoint's format means: bytes of its parts, the units that multiply it, casts on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from training_moat.catalog import models as model_catalog
from training_moat.catalog import relatives, tables
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.serving_memory import Job
from training_moat.core.units import BYTES_PER_VALUE, TERA
from training_moat.core.workload import Transformer
from training_moat.predict import requests, serving_software

NARROW = ("nvfp4", "mxfp4", "fp4")
"""Four-bit floating-point formats. Their checkpoints keep a mixture-of-experts model's attention in 16 bit (model
cards of gpt-oss-120b, 2025, and of NVIDIA's DeepSeek-R1-NVFP4, 2025)."""

BYTEWIDE = ("fp8", "mxfp8", "int8")
"""Formats of one byte, whose products reach less of their peak than 16-bit ones (power; scales: table matmul_maxima)."""

WEIGHTS_ALONE = ("int4",)
"""Formats of the stored weights alone, which are multiplied in 16 bits (GPTQ: Frantar et al. 2022; AWQ: Lin et al.
2023)."""

CAST = ("fp8", "mxfp8", "int8", "nvfp4", "fp4")
"""Formats of multiplying units to which inputs are cast before every product."""


PRECISIONS = (*requests.PRECISIONS, *WEIGHTS_ALONE)
"""Formats of served weights that a case may name."""

WIDEST_FIRST = ("bf16", "fp16", "fp32", "fp8", "int8", "mxfp4")
"""Formats taken where a case names none: sixteen bits, or the widest the chip multiplies."""

IN_NAMES = {"awq": "int4", "gptq": "int4", "w4a16": "int4", "w8a8": "int8", "fp4": "nvfp4"}
"""What a checkpoint's name calls a format that a case names otherwise (`fp4` as NVIDIA named what it calls NVFP4 since)."""

ANY_FP4 = "fp4"
"""The four-bit floating-point format of a chip or model, where a case says no more."""

IN_CASES = {
    **{name: told for name, told in IN_NAMES.items() if name != ANY_FP4},
    **dict.fromkeys(("int4awq", "int4gptq", "awqint4", "gptqint4", "awq4bit", "gptq4bit"), "int4"),
    **dict.fromkeys(("fp8dynamic", "fp8block", "fp8w8a8", "w8a8fp8"), "fp8"),
    **dict.fromkeys(("int8w8a8", "w8a8int8"), "int8"),
}
"""What engines call a format that a case may name so too, as `requests.plain` writes it."""


def of_checkpoint(case: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """(the case, notes) with a format that its model's name tells ("Qwen3-32B-FP8") as its precision. InputError where the
    case names another."""
    named = case.get("model")
    name, word = model_catalog.stored_as(named) if isinstance(named, str) else ("", "")
    if not word or not model_catalog.known(name):
        return case, []
    told = IN_NAMES.get(word.replace("_", "-").split("-")[0], word.replace("_", "-").split("-")[0])
    given = _said(case)
    given = told if given == ANY_FP4 and told in NARROW else given
    if given is not None and given != told and (word, given) != ("fp4", "mxfp4"):
        raise InputError(
            f"precision is {given}, but {requests.shown(named)} is a checkpoint in {told}"
        )
    note = [f"{told} weights, as the model's name tells"] * (given is None)
    return {**case, "model": name, "precision": given or told}, note


def precision_of(
    case: Mapping[str, Any], chip: Chip, model: Transformer | None = None
) -> tuple[str, list[str]]:
    """(format of the weights, notes): the one asked for, else that of the chip maker's own software, the one in which the
    model's maker publishes it alone, sixteen bits or the widest the chip has; a note where other units stand in. InputError
    where no units could."""
    wanted = _said(case)
    if wanted == ANY_FP4:
        wanted = _fp4_of(chip, model)
        taken = [f"fp4 is taken as {wanted}"]
        return wanted, taken + requests.stand_in_notes(chip, wanted, multiplied_in(chip, wanted))
    if wanted is None:
        if usual := _usual_format(chip):
            return usual, [f"{chip.vendor}'s software keeps weights in {usual}; that is taken"]
        if model and (only := _taken_alone(model, chip)):
            told = f"precision not given; {only} is taken, the only format its maker publishes {model.name} in"
            return only, [told, *requests.stand_in_notes(chip, only, multiplied_in(chip, only))]
        for name in WIDEST_FIRST:
            if chip.peak_flops.get(name) or chip.peak_flops.get(name.removeprefix("mx")):
                narrow = [f"{chip.id} publishes no 16-bit peak; {name} weights are taken"]
                return name, narrow if BYTES_PER_VALUE[name] < 2 else []
        return chip.compute_format("bf16"), []
    used = multiplied_in(chip, wanted)
    if wanted in WEIGHTS_ALONE:
        return wanted, [f"{wanted} weights are multiplied in {used}, as GPTQ and AWQ engines do"]
    return wanted, requests.stand_in_notes(chip, wanted, used)


def with_units(chip: Chip) -> tuple[Chip, list[str]]:
    """(the chip, notes) with the likely rate of its 16-bit units (`relatives.likely_wide_peak`) where the chips table says that
    it has such units, and only a narrower rate is published."""
    if any(chip.peak_flops.get(name) for name in WIDEST_FIRST[:3]):
        return chip, []
    if "bf16" not in _formats_of_chips().get(chip.id, "").split(";"):
        return chip, []
    likely = relatives.likely_wide_peak(chip)
    told = f"{chip.id} publishes no rate of its bf16 units; {likely.middle / TERA:.0f} TFLOP/s taken, as usual beside its {likely.source}"
    return replace(chip, peak_flops={**chip.peak_flops, "bf16": likely.middle}), [told]


@tables.kept()
def _formats_of_chips() -> dict[str, str]:
    """Formats that the makers say their chips multiply, by chip; at what rate may be unpublished."""
    frame = tables.load("chips").dropna(subset="formats_supported")
    return dict(zip(frame["id"], frame["formats_supported"], strict=True))


def _said(case: Mapping[str, Any]) -> str | None:
    """The format of weights that a case names, in its own words or in those of engines and checkpoints; `ANY_FP4` is left,
    since what that is depends on chip and model."""
    word = case.get("precision")
    plain = requests.plain(word) if isinstance(word, str) else ""
    if plain == ANY_FP4:
        return ANY_FP4
    told = IN_CASES.get(plain, word)
    return requests.choice({"precision": told}, "precision", PRECISIONS)


def _fp4_of(chip: Chip, model: Transformer | None) -> str:
    """The four-bit floating-point format meant: the one that the model's maker publishes, else NVFP4 on NVIDIA's chips, which
    is its own, and MXFP4, the common one, on others (Rouhani et al. 2023)."""
    own = published_alone(model) if model else ""
    return own if own in NARROW else "nvfp4" if chip.vendor == "NVIDIA" else "mxfp4"


def attention_format(model: Transformer, precision: str) -> str:
    """Format of the attention weights when the feed-forward weights are in `precision`."""
    partly = _partly().get((model.name, precision))
    if partly:
        return partly[0]
    return "bf16" if precision in NARROW and model.experts > 0 else precision


def wide_ffn_layers(model: Transformer, precision: str) -> float:
    """Layers whose feed-forward weights the checkpoint keeps in the attention's format."""
    partly = _partly().get((model.name, precision))
    return partly[1] if partly else 0.0


def _usual_format(chip: Chip) -> str | None:
    """The format in which the chip maker's own software keeps served weights where none is asked for; None where it keeps them
    as they are, or the chip has no units of that format."""
    usual = _by_family("stored_in").get(chip.family)
    return usual if usual and chip.peak_flops.get(usual) else None


@tables.kept()
def _by_family(column: str) -> dict[str, str]:
    """What the table of memories says of serving in one column, by chip family."""
    use = tables.load("memory_use").query("job == 'serving'").dropna(subset=column)
    return dict(zip(use["family"], use[column], strict=True))


def published_alone(model: Transformer) -> str:
    """The narrow format in which the model's maker publishes it alone; blank where there is none, or sixteen bits too."""
    return _narrow_models().get(model.name, "")


def _taken_alone(model: Transformer, chip: Chip) -> str:
    """`published_alone` where the chip multiplies it or it has four bits, which engines widen on the way; on chips that their
    makers serve themselves only what these keep so, blank where they have it in 16 bits."""
    name = published_alone(model)
    if chip.family in serving_software.services():
        return name if name and name == _by_family("kept").get(chip.family) else ""
    return name if name in (*NARROW, *WEIGHTS_ALONE) or chip.peak_flops.get(name) else ""


@tables.kept()
def _narrow_models() -> dict[str, str]:
    """Names of models that their makers publish in a narrow format alone, and the format."""
    rows = tables.load("checkpoints").query("alone == 'yes'")
    names = tables.load("models").set_index("id")["name"]
    return dict(zip(names[rows["model_id"]], rows["precision"], strict=True))


@tables.kept()
def _partly() -> dict[tuple[str, str], tuple[str, float]]:
    """Partly quantised checkpoints by model (id and name) and format."""
    rows = tables.load("checkpoints")
    names = tables.load("models").set_index("id")["name"]
    found = {}
    for row in rows.itertuples():
        for name in (row.model_id, names.get(row.model_id)):
            found[name, row.precision] = (row.attention_precision, float(row.wide_ffn_layers))
    return found


def multiplied_in(chip: Chip, precision: str) -> str:
    """Units of the chip that multiply weights stored in `precision`. InputError where none could.

    Four-bit weights on a chip without four-bit units are widened to 16 bits on the way (Marlin: Frantar et al. 2024), as
    InferenceX's launch scripts ask on H100 and H200.
    """
    used = chip.compute_format(precision) if precision not in WEIGHTS_ALONE else ""
    if used in NARROW or (used and precision not in NARROW):
        return used
    return attention_units(chip, "bf16", precision)


def attention_units(chip: Chip, wanted: str, otherwise: str) -> str:
    """Units that multiply attention's weights: those for `wanted`, or for `otherwise` on a chip without them."""
    try:
        return chip.compute_format(wanted)
    except InputError:
        return chip.compute_format(otherwise)


def job(
    model: Transformer,
    precision: str,
    kv_precision: str,
    batch: float,
    input_len: float,
    output_len: float,
    prefill_chunk: float,
    attention: str = "",
) -> Job:
    """The model's question for one load, with the checkpoint's bytes: that of the model's maker, or one that keeps its
    attention's weights in the format `attention`."""
    return Job(
        batch=float(batch),
        input_len=float(input_len),
        output_len=float(output_len),
        ffn_weight_bytes=BYTES_PER_VALUE[precision],
        attention_weight_bytes=BYTES_PER_VALUE[attention or attention_format(model, precision)],
        kv_bytes=BYTES_PER_VALUE[kv_precision],
        prefill_chunk=float(prefill_chunk),
        wide_ffn_layers=wide_ffn_layers(model, precision),
    )
