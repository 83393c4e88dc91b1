"""What must be held, and who can hold it: verdicts for every chip, as `moat predict` answers.

Nothing is weighed here. Whether a job fits is asked of the predictions, at growing numbers of chips for training and
with the number left open for serving; what is written here are the questions, the limits and the words.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import relatives
from training_moat.core import serving_memory, serving_step, tiers
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip, Tier
from training_moat.core.memory import training_memory
from training_moat.core.optimizer_states import OPTIMIZER_BYTES, WEIGHT_BYTES
from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.units import BYTES_PER_VALUE, GB, GIB, MIB, TERA
from training_moat.core.workload import Transformer, params
from training_moat.inquiry.wording import counted, digits, listed
from training_moat.predict import serving, serving_formats, side_by_side, training
from training_moat.predict.serving_constants import KV_PRECISION

LEAST = "least"
"""Recomputation as little as each chip's memory asks."""

WIDE = ("bf16", "fp16", "tf32", "fp32")
"""Formats in which the weights of a training run are multiplied unless a narrower one is asked for."""


UNJOINED = "whether its network joins so many is not published"
"""How a verdict ends that counts on more chips than their maker is known to join."""

NOT_ASKED = "Not asked"
"""How a verdict on training begins where a chip multiplies integers alone."""


def verdicts(
    model: str = "llama3.1-70b",
    *,
    chips: list[str] | None = None,
    optimizer: str = "adamw",
    seq_len: int = 8192,
    sequences: int = 1024,
    batch: int = 32,
    precision: str | None = None,
    recompute: str = LEAST,
    zero_stage: int | None = None,
) -> pd.DataFrame:
    """One row per chip: can it hold the training and the serving of `model`, on how many chips, which tier decides.

    `sequences` is the training batch, `batch` the sequences served at once, both of `seq_len` tokens. What is None is
    chosen chip by chip (the format of its maker's software or the model's own, else the widest up to 16 bits; the best sharing out), and so is `least` recomputation. Verdicts
    are holds, no, or unknown with the missing datum; nothing that bears on what a chip holds is assumed for blanks.
    """
    known = chip_catalog.all_chips()
    wanted = [chip_catalog.resolve(name) for name in chips] if chips else list(known)
    train = {"model": model, "seq_len": seq_len, "global_batch": sequences, "optimizer": optimizer}
    train |= {"recompute": None if recompute == LEAST else recompute, "zero_stage": zero_stage}
    serve = {"model": model, "precision": precision, "batch": batch}
    serve |= {"input_len": max(seq_len - 1, 1), "output_len": 1}
    served = serving.predict([serve | {"chip": name} for name in wanted])
    asking = [_training_verdict(known[name], train) for name in wanted]
    trained = side_by_side.run(asking, training.predict)
    rows = []
    for name, answer, trains in zip(wanted, served, trained, strict=True):
        chip = known[name]
        serves = _serving_verdict(chip, answer)
        rows.append(
            {"chip": name, "name": chip.name, "vendor": chip.vendor}
            | _fed_from(chip, precision, model)
            | {"training": trains.holds, "training_chips": trains.chips, "training_why": trains.why}
            | {"serving": serves.holds, "serving_chips": serves.chips, "serving_why": serves.why}
            | {"vendor_trains": chip.supports_training}
        )
    frame = pd.DataFrame(rows)
    return frame.astype({"training_chips": float, "serving_chips": float})


def _fed_from(chip: Chip, precision: str | None, model: str) -> dict[str, object]:
    """The memory that feeds the multipliers in serving: its name, size and rate, and the tokens that keep up with it."""
    if tiers.missing(chip, "serving"):
        return {"tier": "", "tier_gb": np.nan, "tier_gb_per_s": np.nan, "tokens_to_feed": np.nan}
    tier = tiers.faster_tiers(chip)[0]
    return {
        "tier": tier.word,
        "tier_gb": size_gb(tier),
        "tier_gb_per_s": (tier.bytes_per_s or np.nan) / GB,
        "tokens_to_feed": tokens_to_feed(chip, precision, model=model),
    }


def counts(chip: Chip, least: float = 1.0) -> Iterator[int]:
    """Numbers of chips to try: powers of two from `least` up to what one system joins."""
    count = 1
    while count <= tiers.system_limit(chip):
        if 2 * count > least:
            yield count
        count *= 2


def _no_wide_rate(chip: Chip) -> str:
    """What is missing of a chip whose maker gives no rate of sixteen bits, in words; blank where it is known."""
    if _has_wide_rate(chip):
        return ""
    known = [name.upper() for name, peak in chip.peak_flops.items() if peak]
    return f"rate in sixteen bits not published{f' (only {listed(known)})' if known else ''}"


def _has_wide_rate(chip: Chip) -> bool:
    return any(chip.peak_flops.get(name) for name in WIDE)


def _asked(chip: Chip) -> str | dict[str, object]:
    """The chip as the training predictions are asked about it: one whose maker gives a narrower floating-point rate alone
    with the likely one of sixteen bits (what it holds is no matter of its speed)."""
    if _has_wide_rate(chip) or not chip_catalog.multiplies_floats(chip):
        return chip.id
    return {"base": chip.id, "bf16_tflops": relatives.likely_wide_peak(chip).middle / TERA}


def _least_chips(chip: Chip, model: Transformer, optimizer: str) -> float:
    """A bound below which no number of chips can hold weights and optimizer states."""
    states = params(model) * (WEIGHT_BYTES + OPTIMIZER_BYTES[optimizer])
    return states / tiers.capacity_bytes(chip, "training")


class Verdict(NamedTuple):
    """Whether a chip holds a job (holds, no or unknown), the fewest chips that do, and why, in a sentence."""

    holds: str
    chips: float
    why: str


def _lacks(datum: str) -> Verdict:
    """The verdict where a datum is missing."""
    return Verdict("unknown", np.nan, f"Missing datum: {datum}.")


def _training_verdict(chip: Chip, question: dict) -> Generator[list[dict], list[dict], Verdict]:
    """A chip's verdict, asked of the training predictions at growing numbers of chips."""
    asked = _asked(chip)
    integers = chip_catalog.integers_alone(chip)
    gap = tiers.missing(chip, "training")
    if integers and not gap:
        return Verdict("unknown", np.nan, f"{NOT_ASKED}: {integers}.")
    gap = gap or (_no_wide_rate(chip) if asked == chip.id else "")
    if gap:
        return _lacks(gap)
    question = question | {"chip": asked}
    shape = model_catalog.model(question["model"])
    least = _least_chips(chip, shape, question["optimizer"])
    error, last = "", None
    for count in counts(chip, least):
        (answer,) = yield [question | {"chips": count}]
        if not answer["ok"]:
            error = answer["error"]
        elif answer["fits"]:
            return Verdict("holds", count, _held_words(chip, "training", count))
        else:
            last = answer, count
    if last is None and error:
        return _lacks(error)
    if last is not None and "training" not in chip.streamed:
        for count in counts(chip, least):
            last = (yield from _leanest(question, shape, count)) or last
            if last[0]["fits"]:
                return Verdict("holds", count, _held_words(chip, "training", count))
    return Verdict("no", np.nan, _short_words(chip, "training", last, least))


def shared_out(shape: Transformer, count: int) -> list[dict]:
    """Settings of every plan on `count` chips that shares everything out (ZeRO stage 3, all activations made again), over
    each number of chips that a matrix can be cut over; none where no layout of so many chips exists."""
    widths = [2**power for power in range(13) if 2**power <= min(shape.heads, count)]
    depths = [pp for pp in (1, 2, 4, 8, 16) if shape.layers % pp == 0]
    return [
        {"tp": tp, "pp": pp, "micro_batch": 1, "zero_stage": 3, "recompute": "full"}
        for tp in widths
        for pp in depths
        if count % (tp * pp) == 0
    ]


def _leanest(
    question: dict, shape: Transformer, count: int
) -> Generator[list[dict], list[dict], tuple[dict, int] | None]:
    """The answer that needs least memory on `count` chips when everything is shared out; a plan that fits comes first.
    None where no layout of so many chips exists."""
    asked = [question | {"chips": count} | plan for plan in shared_out(shape, count)]
    found = [answer for answer in (yield asked) if answer["ok"]]
    if not found:
        return None
    return min(found, key=lambda one: (not one["fits"], one["memory_gib"]["allocated"])), count


def _serving_verdict(chip: Chip, answer: dict) -> Verdict:
    """A chip's verdict from the serving prediction with the number of chips left open."""
    if not answer["ok"]:
        return _lacks(tiers.missing(chip, "serving") or _no_wide_rate(chip) or answer["error"])
    count = answer["plan"]["chips"]
    if not answer["fits"]:
        return Verdict("no", np.nan, _short_words(chip, "serving", (answer, count), 0.0))
    fast = tiers.room(tiers.faster_tiers(chip), "serving") / GIB
    queue = [f" There is {note}." for note in answer["notes"] if note.startswith("room for")]
    within = answer["memory_gib"]["total"] <= fast
    return Verdict("holds", count, _held_words(chip, "serving", count, within) + "".join(queue))


def home_words(chip: Chip, job: str, fast_alone: bool) -> str:
    """The memory that holds a job, in words."""
    used = (
        tiers.faster_tiers(chip, job) if fast_alone and job == "serving" else tiers.home(chip, job)
    )
    return " and ".join(tier.word for tier in used)


def _held_words(chip: Chip, job: str, count: int, fast_alone: bool = True) -> str:
    on = counted(count, "chip")
    known = tiers.is_joined(chip, count)
    joined = "" if known else f"; {UNJOINED}"
    if job in chip.streamed:
        aboard = tiers.working(chip, job).word
        return f"An outside store holds the weights and streams them in; {aboard} of {on} holds the activations{joined}."
    return f"It fits into the {home_words(chip, job, fast_alone)} of {on}{joined}."


def _short_words(chip: Chip, job: str, last: tuple[dict, int] | None, least: float) -> str:
    """Why a job fits no system, with the distance."""
    words = home_words(chip, job, fast_alone=False)
    largest = tiers.system_limit(chip)
    if last is None:
        return (
            f"{words} fails: weights and optimizer states alone fill {counted(int(np.ceil(least)), 'chip')}, "
            f"{digits(least / largest)} times the {largest:,.0f} that one system joins."
        )
    answer, count = last
    has = tiers.capacity_bytes(chip, job) / GIB
    needs = answer["memory_gib"].get("allocated", answer["memory_gib"]["total"])
    if job in chip.streamed:
        room, stored = tiers.room_for(chip, job), answer["store_gib"]
        if stored > room.store / GIB:
            return f"The outside store fails: the job needs {digits(stored)} GB of it, of the {digits(room.store / GIB)} it has."
        words = tiers.working(chip, job).word
        has = room.space / GIB
        needs = answer["memory_gib"]["activations"] + answer["memory_gib"]["workspace"]
    spread = f"{words} fails: spread over {counted(count, 'chip')} the job needs {digits(needs)} GB a chip"
    if needs < has:
        return f"{spread} of the {digits(has)} that data may fill on one, which leaves less than its software takes."
    return (
        f"{spread}, {digits(needs / has)} times what one has, before anything its software takes."
    )


def tokens_to_feed(
    chip: Chip, precision: str | None = None, job: str = "serving", model: str | None = None
) -> float:
    """Tokens that must share each read of a weight before its memory keeps the matmul units busy: peak FLOP per byte,
    times the bytes of a weight, over the two operations a token does with it (Williams et al. 2009). In serving the
    weights come from the home's fastest tier, in the format in which `model` is served where none is named; in training
    from where they live."""
    served = model_catalog.model(model) if model and job == "serving" else None
    try:
        source = tiers.faster_tiers(chip)[0] if job == "serving" else tiers.home(chip, job)[-1]
        stored, _ = serving_formats.precision_of({"precision": precision}, chip, served)
        used = serving_formats.multiplied_in(chip, stored)
    except InputError:
        return float("nan")
    return chip.peak_flops[used] / (source.bytes_per_s or np.nan) * BYTES_PER_VALUE[stored] / 2


def bytes_by_kind(
    model: str = "llama3.1-70b",
    *,
    optimizer: str = "adamw",
    seq_len: int = 8192,
    batch: int = 32,
    precision: str | None = None,
    recompute: str = LEAST,
) -> pd.DataFrame:
    """What training one sequence and serving `batch` sequences must hold in all, by kind. Columns: job, kind, gb.

    Where none is named, selective recomputation, and served weights of sixteen bits or in the one format in which the
    model's maker publishes it.
    """
    recompute = "selective" if recompute == LEAST else recompute
    shape = model_catalog.model(model)
    precision = precision or serving_formats.published_alone(shape) or "bf16"
    level = float(RECOMPUTE_LEVELS[recompute])
    plan = Plan(seq_len=float(seq_len), global_batch=1.0, zero_stage=0.0, recompute=level)
    held = training_memory(shape, plan, optimizer)
    rows = [
        ("training", kind, getattr(held, kind) / GB)
        for kind in ("weights", "gradients", "optimizer", "activations")
    ]
    chunk = serving_memory.PREFILL_CHUNK
    job = serving_formats.job(shape, precision, KV_PRECISION, batch, seq_len, 0, chunk)
    served = serving_step.memory(shape, job, serving_step.ServingPlan())
    kinds = {"weights": "weights", "KV cache": "kv_cache", "activations": "activations"}
    rows += [("serving", kind, getattr(served, name) / GB) for kind, name in kinds.items()]
    return pd.DataFrame(rows, columns=["job", "kind", "gb"])


def totals(kinds: pd.DataFrame) -> dict[str, float]:
    """Gigabytes that each job of `bytes_by_kind` holds in all."""
    return {str(job): float(size) for job, size in kinds.groupby("job")["gb"].sum().items()}


def counted_verdicts(found: pd.DataFrame) -> dict[str, int]:
    """How many chips hold training, hold serving, fail either, or lack a datum (`training_holds`, `serving_no` ...)."""
    return {
        f"{job}_{word}": int((found[job] == word).sum())
        for job in ("training", "serving")
        for word in ("holds", "no", "unknown")
    }


def unjoined_words(found: pd.DataFrame) -> str:
    """How many of the chips that hold training do so only on a number that nobody says their network joins, in brackets."""
    held = found[found["training"] == "holds"]
    count = int(held["training_why"].str.contains(UNJOINED, regex=False).sum())
    return f" ({count} of them on a number that nobody says their network joins)" if count else ""


def gaps_words(found: pd.DataFrame) -> str:
    """Of how many chips the verdict on training is open, and why, in words."""
    integers = int(found["training_why"].str.startswith(NOT_ASKED).sum())
    blank = int((found["training"] == "unknown").sum()) - integers
    rest = f", and {integers} {'multiplies' if integers == 1 else 'multiply'} integers alone"
    return (
        f"for {blank or 'none'} a number that it takes is not published{rest if integers else ''}"
    )


def typical_ratio(found: pd.DataFrame) -> float:
    """Median of chips needed to train over chips needed to serve, over chips that hold both; nan where none does."""
    both = found[(found["training"] == "holds") & (found["serving"] == "holds")]
    return float((both["training_chips"] / both["serving_chips"]).median())


def fewest(found: pd.DataFrame) -> pd.DataFrame:
    """Fewest chips by chip and job, one row each. Columns: chip, vendor, job, chips."""
    parts = [
        found.loc[found[job] == "holds", ["name", "vendor", f"{job}_chips"]]
        .set_axis(["chip", "vendor", "chips"], axis=1)
        .assign(job=job)
        for job in ("training", "serving")
    ]
    return pd.concat(parts, ignore_index=True)


def every_verdict(found: pd.DataFrame) -> pd.DataFrame:
    """Both verdicts of every chip with their reasons, those that do not hold both jobs first, ready to show."""
    held = (found[["training", "serving"]] == "holds").sum(axis=1)
    rows = found.assign(held=held).sort_values(["held", "vendor", "name", "chip"], kind="stable")
    shown = rows[["name", "training", "training_why", "serving", "serving_why"]]
    return shown.set_axis(["chip", "training", "why", "serving", "why (serving)"], axis=1)


def size_gb(tier: Tier) -> float:
    """Size of a memory (GB) as its maker counts it: megabytes on the chip, of which a thousand are a gigabyte; gigabytes
    beside it."""
    return tier.capacity_bytes / (1000 * MIB if tier.name == "sram" else GIB)


def size_words(tier: Tier) -> str:
    """The same in words."""
    gb = size_gb(tier)
    if tier.name != "sram":
        return f"{digits(gb, 4)} GB"
    return f"{digits(1000 * gb, 3)} MB" if gb < 1 else f"{digits(gb, 3)} GB"


def on_one_chip(chip: Chip) -> str:
    """A chip's memories in words: size and rate of each."""
    parts = []
    for tier in chip.tiers:
        rate = (
            f"at {digits(tier.bytes_per_s / GB, 4)} GB/s"
            if tier.bytes_per_s
            else "(bandwidth not published)"
        )
        parts.append(f"{tier.word} of {size_words(tier)} {rate}")
    return ", ".join(parts) or "no published memory"
