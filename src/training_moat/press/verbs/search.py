"""moat search"""

from __future__ import annotations

import argparse
from typing import Any

COLUMNS = ("tp", "pp", "cp", "dp", "ep", "micro_batch", "virtual_stages", "zero_stage", "recompute")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "example: moat search --model gpt3-175b --chip a100-80 --chips 4096 --seq-len 2048 --global-batch 4096"
    parser.add_argument("--model", required=True, help="a name from `moat models`")
    parser.add_argument("--chip", required=True, help="an id from `moat chips`")
    parser.add_argument("--chips", type=int, required=True, help="how many")
    parser.add_argument("--seq-len", type=int, help="tokens per sequence")
    parser.add_argument("--global-batch", type=int, help="sequences per step")
    parser.add_argument("--precision", help="matmul format, such as bf16 or fp8")
    parser.add_argument("--software", help="software stack, such as nemo or fsdp")
    parser.add_argument("--top", type=int, default=10, help="how many plans (default: 10)")


def run(options: argparse.Namespace) -> None:
    """Print the fastest plans that fit, best first."""
    from training_moat.core.errors import InputError
    from training_moat.predict import training

    if options.top < 1:
        raise InputError(f"--top is {options.top}; expected 1 or more")
    names = ("model", "chip", "chips", "seq_len", "global_batch", "precision", "software")
    request = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    found = training.search(request, options.top)
    print("  ".join(f"{name:>14}" for name in (*COLUMNS, "step_s", "mfu", "memory_gib", "fits")))
    for answer in found:
        print("  ".join(f"{_shown(value):>14}" for value in _cells(answer)))


def _cells(answer: dict[str, Any]) -> list[Any]:
    plan = [answer["plan"][name] for name in COLUMNS]
    return [
        *plan,
        answer["step_time_s"],
        answer["mfu"],
        answer["memory_gib"]["total"],
        answer["fits"],
    ]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
