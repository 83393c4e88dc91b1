"""A prediction request, as JSON gives it, to the model's objects; every fault one clear sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import spelling, tables, unlikely
from training_moat.core import tiers
from training_moat.core.errors import InputError, unknown
from training_moat.core.machine import Chip
from training_moat.core.numbers import is_number
from training_moat.core.workload import Transformer, weights_problem
from training_moat.predict import request_fields

FROZEN_FORMATS = ("nf4", "int4", "4bit", "4-bit")
"""Formats of weights that are kept and never multiplied (Dettmers et al. 2023, QLoRA, equation 5)."""
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4", "mxfp4", "int8")
"""Matmul formats a case may name."""


def reject_unknown_fields(case: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise `InputError` for the first field of `case` that is not `allowed`, naming the nearest one, or the column of a chip's
    or a model's object that says it."""
    for key in case:
        if key not in allowed:
            name = str(key).lower()
            ours = request_fields.ELSEWHERE.get(name, ())
            if other := next((field for field in ours if field in allowed), None):
                raise InputError(f"unknown field '{key}'; did you mean '{other}'?")
            if own := _of_object(name, case):
                raise InputError(f"unknown field '{key}'; it goes into an object: {own}")
            raise unknown("field", str(key), allowed)


def _of_object(name: str, case: Mapping[str, Any]) -> str | None:
    """The object that says what a caller told beside a chip or a model: of the one the case names, with that column."""
    for kind, words in (("chip", request_fields.OF_THE_CHIP), ("model", {})):
        column = words.get(name, name)
        if column in tables.load(f"{kind}s").select_dtypes("number").columns:
            base = shown(wanted) if isinstance(wanted := case.get(kind), str) else "'...'"
            return f'"{kind}": {{"base": {base}, "{column}": ...}}'.replace("'", '"')
    return None


LARGEST = 10**12
"""No count in a case is larger."""
SHOWN = 40
"""Characters of a wrong value that an error repeats."""


def shown(value: Any) -> str:
    """A wrong value as an error repeats it: on one line, cut where it is long."""
    try:
        # JSON's own words for these two.
        text = str(value).lower() if isinstance(value, bool) else " ".join(repr(value).split())
    except (ValueError, RecursionError):  # an integer of over 4,300 digits; a list inside itself
        return f"a {type(value).__name__} too long to print"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _is_number(value: Any) -> bool:
    return is_number(value) and value == value and -1e30 < value < 1e30


def whole(
    case: Mapping[str, Any], key: str, low: int = 1, high: int | None = LARGEST
) -> int | None:
    """The whole number under `key`, or None when absent or null.

    Raises `InputError` for other types, fractions and values outside [low, high].
    """
    value = case.get(key)
    if value is None:
        return None
    if type(value) is int and low <= value <= (high or LARGEST):
        return value
    if not _is_number(value) or value != int(value):
        raise InputError(f"{key} is {shown(value)}; expected a whole number")
    if value < low or (high is not None and value > high):
        upper = f" or more, at most {high:,}" if high == LARGEST else f" to {high:,}"
        raise InputError(f"{key} is {value:,.12g}; expected {low}{upper}")
    return int(value)


def number(
    case: Mapping[str, Any], key: str, low: float = 0.0, high: float = 1e30, above: bool = False
) -> float | None:
    """The number under `key`, or None when absent or null; from `low` (`above`: more than it) to `high`."""
    value = case.get(key)
    if value is None:
        return None
    if not _is_number(value) or not low <= value <= high or (above and value == low):
        least = f"above {low:g}" if above else f"from {low:g}"
        most = "" if high >= 1e30 else f" to {high:,.10g}"
        raise InputError(f"{key} is {shown(value)}; expected a number {least}{most}")
    return float(value)


def share(case: Mapping[str, Any], key: str) -> float | None:
    """The number from 0 to 1 under `key`, or None when absent or null."""
    return number(case, key, 0.0, 1.0)


MOST_USD_PER_CHIP_HOUR = 1e6
"""No hour of a chip costs more: thousands of times the dearest system's."""


def price(case: Mapping[str, Any]) -> float | None:
    """Dollars that an hour of a chip costs, or None when absent or null; nothing where somebody gives it away."""
    return number(case, "price_usd_per_chip_hour", 0.0, MOST_USD_PER_CHIP_HOUR)


def plain_record(record: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """A model's or chip's object, when all its values are plain: texts, finite numbers, true or false, null."""
    for key, value in record.items():
        plain = value is None or isinstance(value, (str, bool)) or _is_number(value)
        if not isinstance(key, str) or not plain:
            raise InputError(f"{what}: {shown(key)} is {shown(value)}; expected a number or a text")
    return record


def flag(case: Mapping[str, Any], key: str) -> bool | None:
    """The true-or-false value under `key`, or None when absent or null."""
    value = case.get(key)
    if value is None or isinstance(value, bool):
        return value
    if _is_number(value) and value in (0, 1):
        return bool(value)
    raise InputError(f"{key} is {shown(value)}; expected true or false")


def choice(case: Mapping[str, Any], key: str, options: tuple[str, ...]) -> str | None:
    """The word under `key`, one of `options` whatever its case and what stands between its parts, or as other tools spell it, or
    None when absent or null."""
    value = case.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"{key} is {shown(value)}; expected one of {', '.join(options)}")
    if (word := value.lower()) in options:
        return word
    spelt = {**_plainly(options), **request_fields.SPELT.get(key, {})}
    found = spelt.get(plain(word)) or spelt.get(_telling(word, key))
    if found not in options:
        raise unknown(key, value, options)
    return found


def _telling(word: str, key: str) -> str:
    """What is left of a word without those that tell nothing in its field, in its `plain` form."""
    silent = request_fields.SAYING_NOTHING.get(key, "").split()
    return plain(" ".join(each for each in re.findall(r"[a-z0-9]+", word) if each not in silent))


def plain(word: str) -> str:
    """A word in small letters with nothing between its parts."""
    return spelling.normal(word.replace("_", "-"))


@lru_cache
def _plainly(options: tuple[str, ...]) -> dict[str, str]:
    """The words of a field by their `plain` form."""
    return {plain(option): option for option in options}


def _entry(
    case: Mapping[str, Any],
    kind: str,
    word: str,
    named: Callable[[str], Any],
    recorded: Callable[[Mapping[str, Any]], Any],
) -> Any:
    """What a case says of one thing of a kind that has a table: by a word of that table, or by an object of its columns."""
    wanted = case.get(kind)
    if isinstance(wanted, str):
        return named(wanted)
    if isinstance(wanted, Mapping):
        return recorded(plain_record(wanted, kind))
    if wanted is None:
        columns = "fields" if kind == "model" else "columns"
        expected = f"{word} from `moat {kind}s` or an object with its {columns}"
        raise InputError(f"{kind} is missing; expected {expected}")
    raise InputError(f"{kind} is {shown(wanted)}; expected {word} or an object")


def model_of(case: Mapping[str, Any]) -> Transformer:
    """The case's model: a name from the models table, or an object of its fields whose counts do not contradict each other
    (`workload.weights_problem`)."""
    model = _entry(case, "model", "a name", model_catalog.model, model_catalog.from_record)
    if text := _contradiction(model):
        raise InputError(f"model {shown(model.name)}: {text}")
    return model


def model_notes(case: Mapping[str, Any]) -> list[str]:
    """What had to be assumed about a model given as an object, as notes for the answer."""
    record = case.get("model")
    if not isinstance(record, Mapping):
        return []
    guessed = model_catalog.assumed(record)
    notes = [f"model: {', '.join(guessed)} assumed, as customary for its size"] if guessed else []
    if record.get("active_params_b") and not model_of(case).active_params_given:
        notes.append("model: active_params_b is left out, the shape is counted; give params_b too")
    return notes


def chip_notes(case: Mapping[str, Any]) -> list[str]:
    """What is doubted of a chip given as an object, as notes for the answer."""
    record = case.get("chip")
    if not isinstance(record, Mapping):
        return []
    return [f"chip, {doubt}" for doubt in (*unlikely.of_chip(record), *_unrated(record))]


RATES = [(name, *tiers.COLUMNS[name]) for name in ("hbm", "ddr")]
"""Memories that a chip object may add to those of its base: tier, size and rate."""


def _unrated(record: Mapping[str, Any]) -> list[str]:
    """Memories that a chip is given and that no job can use, since nobody says how fast they are."""
    added = [(name, size, rate) for name, size, rate in RATES if record.get(size)]
    if all(record.get(rate) for _, _, rate in added):
        return []
    chip = chip_catalog.from_record(record)
    return [
        f"column {size}: a memory without {rate} is left out"
        for name, size, rate in added
        if (tier := chip.tier(name)) and not tier.bytes_per_s
    ]


def chip_of(case: Mapping[str, Any]) -> Chip:
    """The case's chip: an id from the chips table, an object of its columns, optionally with a `base`, or a `Chip`."""
    if isinstance(wanted := case.get("chip"), Chip):
        return wanted
    return _entry(case, "chip", "an id", chip_catalog.chip, chip_catalog.from_record)


_PARTS = re.compile(r"\((\d+) (ASIC|chiplet)s?\)")
"""What the name of a card tells of the chips on it."""


def counting_note(case: Mapping[str, Any], chip: Chip) -> list[str]:
    """That a chip of the table is a card of several, where a case says how many it has."""
    told = _PARTS.search(chip.name)
    if told is None or case.get("chips") in (None, 1):
        return []
    return [f"chips counts {chip.id}, which is a card of {told[1]} {told[2]}s"]


def _machine(case: Mapping[str, Any]) -> tuple[str, int] | None:
    """(id of the chip, how many of it) of the machine that a case names in a chip's place; None where it names a chip."""
    name = case.get("chip")
    return chip_catalog.of_machine(name) if isinstance(name, str) else None


def of_machine(case: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """(the case, notes) with the chips of a machine that it names in a chip's place: all of them, unless it says how many."""
    found = _machine(case)
    if found is None:
        return case, []
    chip, count = found
    if count == 1:
        return {**case, "chip": chip}, []
    taken, notes = whole_machine(case, ("chips", "tp", "pp", "dp"))
    if notes:
        return taken, notes
    counted = case.get("chips") in (None, count)
    more = "" if counted else "; chips counts these"
    return {**case, "chip": chip}, [f"{shown(case['chip'])} is {count} {chip}{more}"]


def whole_machine(
    case: Mapping[str, Any], sizes: tuple[str, ...]
) -> tuple[Mapping[str, Any], list[str]]:
    """(the case, notes) on all chips of the machine that it names in a chip's place, where none of the `sizes` tells how many
    chips it has."""
    found = _machine(case)
    if found is None or any(case.get(size) is not None for size in sizes):
        return case, []
    chip, count = found
    note = f"{shown(case['chip'])} is {count} {chip}, all taken"
    return {**case, "chip": chip, "chips": count}, [note]


def machine_note(case: Mapping[str, Any]) -> list[str]:
    """That a case which names a machine in a chip's place counts its chips, not machines."""
    found = _machine(case)
    if found is None or found[1] == 1:
        return []
    return [f"{shown(case['chip'])} is {found[1]} {found[0]}; chips counts these"]


@lru_cache(maxsize=1024)
def _contradiction(model: Transformer) -> str:
    """The first contradiction in words; searches ask about one model thousands of times."""
    return next((text for broken, text in weights_problem(model) if broken), "")


def precision_of(case: Mapping[str, Any], chip: Chip) -> tuple[str, list[str]]:
    """(matmul format, notes): the one asked for, else 16 bits; a note where the chip lacks units for it."""
    asked = case.get("precision")
    if isinstance(asked, str) and asked.lower() in FROZEN_FORMATS:
        raise InputError(
            f"precision {asked} is a format of frozen weights (QLoRA), which no answer covers; expected that of the products, "
            "which is bf16 as a rule"
        )
    wanted = choice(case, "precision", PRECISIONS)
    if wanted is None:
        for name in ("bf16", "fp16", "fp32"):
            if chip.peak_flops.get(name):
                return name, []
        return chip.compute_format("bf16"), []
    return wanted, stand_in_notes(chip, wanted, chip.compute_format(wanted))


def stand_in_notes(chip: Chip, wanted: str, used: str) -> list[str]:
    """That units of another format multiply what a case asks for; nothing where they are its own."""
    if used == wanted:
        return []
    return [f"{chip.id} has no published {wanted} peak; {used} units stand in"]


def refused(request: Any, sentence: str) -> dict[str, Any]:
    """The contract's answer for a request that has none, whatever it is."""
    identity = request.get("id") if isinstance(request, Mapping) else None
    return {"id": identity, "ok": False, "error": sentence}
