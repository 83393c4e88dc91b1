"""What must be held, and who can hold it: training and serving verdicts for every chip of the table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.core import serving_step
from training_moat.core.machine import Chip, Tier
from training_moat.core.memory import training_memory
from training_moat.core.plan import RECOMPUTE_LEVELS, Plan
from training_moat.core.tiers import USABLE_SHARE, usable_tiers
from training_moat.core.units import BYTES_PER_VALUE, GB, GIB
from training_moat.core.workload import Transformer
from training_moat.predict import serving as serving_answers
from training_moat.predict.serving_batch import attention_format

COUNTS = tuple(2**power for power in range(21))
"""Numbers of chips tried: powers of two up to a million."""

MAX_TENSOR_PARALLEL = 64
SMALL_CHUNK = 256.0
"""Prompt tokens per pass when asking how little memory serving can do with."""
TRAINING_FORMATS = ("bf16", "fp16", "fp8", "tf32", "fp32")
"""Formats of which at least one must have a published peak before a chip can be said to train."""

TIER_WORDS = {"sram": "SRAM", "hbm": "HBM", "ddr": "DDR"}


@dataclass(frozen=True)
class Holding:
    """What a job needs at each number of chips: the smallest bytes per chip any layout reaches."""

    counts: np.ndarray
    bytes_per_chip: np.ndarray

    def fewest(self, capacity_bytes: float) -> int | None:
        """Fewest chips (a power of two) on which the job fits `capacity_bytes` per chip."""
        fitting = np.flatnonzero(self.bytes_per_chip <= capacity_bytes)
        return int(self.counts[fitting[0]]) if len(fitting) else None


def _powers_up_to(limit: float) -> list[int]:
    return [2**power for power in range(int(np.log2(max(limit, 1))) + 1)]


def _layouts(model: Transformer, chips: int) -> list[tuple[int, int, int]]:
    """(tp, pp, dp) in powers of two that use `chips` chips."""
    tensor = [n for n in _powers_up_to(min(chips, MAX_TENSOR_PARALLEL)) if model.heads % n == 0]
    stages = _powers_up_to(min(chips, model.layers))
    return [
        (tp, pp, chips // (tp * pp)) for tp in tensor for pp in stages if chips % (tp * pp) == 0
    ]


def training_need(
    model: Transformer,
    *,
    optimizer: str = "adamw",
    seq_len: int = 8192,
    sequences: int = 1024,
    recompute: str = "selective",
    zero_stage: int = 1,
) -> Holding:
    """Smallest bytes per chip to train, at each number of chips.

    One sequence per chip group at a time; data parallelism at most one copy per sequence. Beyond what the
    batch can be spread over, more chips hold no less.
    """
    smallest = []
    for count in COUNTS:
        found = [(tp, pp, dp) for tp, pp, dp in _layouts(model, count) if dp <= sequences]
        if not found:
            smallest.append(smallest[-1])
            continue
        tp, pp, dp = (np.array(column, float) for column in zip(*found))
        experts = np.minimum(tp * dp, 2 ** np.floor(np.log2(max(model.experts, 1))))
        plan = Plan(
            seq_len=float(seq_len),
            global_batch=float(sequences),
            micro_batch=1.0,
            tp=tp,
            pp=pp,
            dp=dp,
            ep=experts,
            zero_stage=float(zero_stage),
            sequence_parallel=(tp > 1).astype(float),
            recompute=float(RECOMPUTE_LEVELS[recompute]),
        )
        smallest.append(float(np.min(training_memory(model, plan, optimizer).total)))
    return Holding(np.array(COUNTS), np.array(smallest))


def serving_need(
    model: Transformer,
    *,
    batch: int = 32,
    context: int = 8192,
    precision: str = "bf16",
    kv_precision: str = "bf16",
) -> Holding:
    """Smallest bytes per chip to serve `batch` sequences of `context` tokens, at each number of chips."""
    job = serving_step.Job(
        float(batch),
        float(context),
        0.0,
        BYTES_PER_VALUE[precision],
        BYTES_PER_VALUE[attention_format(model, precision)],
        BYTES_PER_VALUE[kv_precision],
        SMALL_CHUNK,
    )
    smallest = []
    for count in COUNTS:
        found = [(tp, pp) for tp, pp, dp in _layouts(model, count) if dp == 1]
        if not found:
            smallest.append(smallest[-1])
            continue
        tp, pp = (np.array(column, float) for column in zip(*found))
        held = serving_step.memory(
            model, job, serving_step.ServingPlan(tp, pp, np.ones_like(tp), np.ones_like(tp), tp)
        )
        smallest.append(float(np.min(held.total)))
    return Holding(np.array(COUNTS), np.array(smallest))


def home(chip: Chip) -> Tier | None:
    """The tier that holds a job's data: HBM where there is any, else DDR, else SRAM; None where no tier has
    both a capacity and a bandwidth."""
    known = {tier.name: tier for tier in usable_tiers(chip)}
    return known.get("hbm") or known.get("ddr") or known.get("sram")


def missing(chip: Chip) -> str:
    """The datum without which nothing can be said, or an empty string."""
    if not chip.tiers:
        return "memory capacity not published"
    if home(chip) is None:
        return f"bandwidth of its {TIER_WORDS.get(chip.tiers[-1].name, chip.tiers[-1].name)} not published"
    if not chip.peak_flops:
        return "no peak published in any format"
    return ""


def network_limit(chip: Chip) -> float:
    """Chips its networks can join: endless with a scale-out network, else the scale-up domain, else unknown."""
    if chip.scaleout is not None:
        return float("inf")
    if chip.scaleup is not None and chip.scaleup.domain_chips:
        return float(chip.scaleup.domain_chips)
    return float("nan")


def _verdict(chip: Chip, need: Holding, kind: str) -> tuple[str, int | None, str]:
    """(verdict, fewest chips, sentence) for one chip and job."""
    gap = missing(chip)
    if (
        not gap
        and kind == "training"
        and not any(chip.peak_flops.get(name) for name in TRAINING_FORMATS)
    ):
        gap = "no floating-point peak published"
    if gap:
        return "unknown", None, f"Missing datum: {gap}."
    tier, limit = home(chip), network_limit(chip)
    words = TIER_WORDS[tier.name]
    count = need.fewest(tier.capacity_bytes * USABLE_SHARE)
    larger = [
        other
        for other in chip.tiers
        if other.capacity_bytes > tier.capacity_bytes and not other.bytes_per_s
    ]
    if larger and (count is None or count > limit):
        other = larger[-1]
        return (
            "unknown",
            None,
            f"{words} is too small; its {TIER_WORDS[other.name]} of {other.capacity_bytes / GIB:,.0f} GB may hold it. Missing datum: that tier's bandwidth.",
        )
    if count is None:
        short = need.bytes_per_chip[-1] / GIB
        return (
            "no",
            None,
            f"{words} fails: even spread over {COUNTS[-1]:,} chips the job needs {short:.3g} GB a chip, it has {tier.capacity_bytes / GIB:.3g}.",
        )
    if np.isnan(limit) and count > 1:
        return (
            "holds",
            count,
            f"{words} of {count:,} chips holds it; whether its network joins so many is not published.",
        )
    if count > limit:
        at_limit = need.bytes_per_chip[np.flatnonzero(need.counts <= limit)[-1]] / GIB
        return (
            "no",
            count,
            f"{words} fails: needs {count:,} chips, its network joins {limit:,.0f}, each short by {at_limit / (tier.capacity_bytes / GIB):,.1f} times.",
        )
    plural = "s" if count > 1 else ""
    return "holds", count, f"{words} of {count:,} chip{plural} holds it."


def tokens_to_feed(chip: Chip, precision: str = "bf16") -> float:
    """Tokens that must share each read of a weight before the home tier keeps the matmul units busy: peak
    FLOP per byte, times the bytes of a weight, over the two operations a token does with it."""
    tier = home(chip)
    if tier is None or not chip.peak_flops:
        return float("nan")
    try:
        used = chip.compute_format(precision)
    except ValueError:
        return float("nan")
    return chip.peak_flops[used] / tier.bytes_per_s * BYTES_PER_VALUE[used] / 2


def verdicts(
    model: str = "llama3.1-70b",
    *,
    chips: list[str] | None = None,
    optimizer: str = "adamw",
    seq_len: int = 8192,
    sequences: int = 1024,
    batch: int = 32,
    precision: str = "bf16",
    recompute: str = "selective",
    zero_stage: int = 1,
) -> pd.DataFrame:
    """One row per chip: can it hold the training and the serving of `model`, on how many chips, which tier decides.

    `sequences` is the training batch, `batch` the sequences served at once, both of `seq_len` tokens. Verdicts
    are holds, no, or unknown with the missing datum; nothing is assumed for blanks.
    """
    shape = model_catalog.model(model)
    train = training_need(
        shape,
        optimizer=optimizer,
        seq_len=seq_len,
        sequences=sequences,
        recompute=recompute,
        zero_stage=zero_stage,
    )
    serve = serving_need(shape, batch=batch, context=seq_len, precision=precision)
    known = chip_catalog.all_chips()
    wanted = [chip_catalog.resolve(name) for name in chips] if chips else list(known)
    rows = []
    for name in wanted:
        chip, tier = known[name], home(known[name])
        training, training_chips, training_words = _verdict(chip, train, "training")
        served, serving_chips, serving_words = _verdict(chip, serve, "serving")
        rows.append(
            {
                "chip": name,
                "name": chip.name,
                "vendor": chip.vendor,
                "tier": TIER_WORDS[tier.name] if tier else "",
                "tier_gb": tier.capacity_bytes / GIB if tier else np.nan,
                "tier_gb_per_s": tier.bytes_per_s / GB if tier else np.nan,
                "tokens_to_feed": tokens_to_feed(chip, precision),
                "training": training,
                "training_chips": training_chips,
                "training_why": training_words,
                "serving": served,
                "serving_chips": serving_chips,
                "serving_why": serving_words,
                "vendor_trains": chip.supports_training,
            }
        )
    return pd.DataFrame(rows)


def speeds(
    found: pd.DataFrame,
    model: str,
    *,
    seq_len: int = 8192,
    batch: int = 32,
    precision: str = "bf16",
) -> pd.DataFrame:
    """Predicted serving on the fewest chips that hold it, for every chip whose verdict is `holds`.

    Columns: chip, name, vendor, chips, low, middle, high (tokens per second and user: the interval and the
    prediction), tokens_per_s_per_chip, calibration. Half of `seq_len` is prompt, half answer.
    """
    held = found[found["serving"] == "holds"]
    half = max(seq_len // 2, 1)
    requests = [
        {
            "model": model,
            "chip": row.chip,
            "chips": int(row.serving_chips),
            "precision": precision,
            "batch": batch,
            "input_len": half,
            "output_len": half,
        }
        for row in held.itertuples()
    ]
    rows = []
    for row, one in zip(held.itertuples(), serving_answers.predict(requests)):
        if one["ok"] and one["fits"]:
            rows.append(
                {
                    "chip": row.chip,
                    "name": row.name,
                    "vendor": row.vendor,
                    "chips": one["plan"]["chips"],
                    "low": 1 / one["tpot_s_p95"],
                    "middle": 1 / one["tpot_s"],
                    "high": 1 / one["tpot_s_p05"],
                    "tokens_per_s_per_chip": one["tokens_per_s_per_chip"],
                    "calibration": one["calibration"],
                }
            )
    columns = [
        "chip",
        "name",
        "vendor",
        "chips",
        "low",
        "middle",
        "high",
        "tokens_per_s_per_chip",
        "calibration",
    ]
    return pd.DataFrame(rows, columns=columns)


def bytes_by_kind(
    model: str = "llama3.1-70b",
    *,
    optimizer: str = "adamw",
    seq_len: int = 8192,
    batch: int = 32,
    precision: str = "bf16",
    recompute: str = "selective",
) -> pd.DataFrame:
    """What training one sequence and serving `batch` sequences must hold in all, by kind. Columns: job, kind, gb."""
    shape = model_catalog.model(model)
    plan = Plan(
        seq_len=float(seq_len),
        global_batch=1.0,
        zero_stage=0.0,
        recompute=float(RECOMPUTE_LEVELS[recompute]),
    )
    held = training_memory(shape, plan, optimizer)
    rows = [
        ("training", kind, getattr(held, kind) / GB)
        for kind in ("weights", "gradients", "optimizer", "activations")
    ]
    job = serving_step.Job(
        float(batch),
        float(seq_len),
        0.0,
        BYTES_PER_VALUE[precision],
        BYTES_PER_VALUE[attention_format(shape, precision)],
    )
    served = serving_step.memory(shape, job, serving_step.ServingPlan())
    rows += [
        ("serving", kind, getattr(served, name) / GB)
        for kind, name in (
            ("weights", "weights"),
            ("KV cache", "kv_cache"),
            ("activations", "activations"),
        )
    ]
    return pd.DataFrame(rows, columns=["job", "kind", "gb"])
