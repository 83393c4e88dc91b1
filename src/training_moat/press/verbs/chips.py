"""moat chips"""

from __future__ import annotations

import argparse

from training_moat.catalog import chips
from training_moat.press.verbs import _listing

_COLUMNS = [
    "id",
    "vendor",
    "name",
    "announced",
    "bf16_tflops",
    "fp8_tflops",
    "hbm_gb",
    "hbm_tb_per_s",
    "sram_mb",
    "supports_training",
]


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _listing.offer(parser, "moat chips cerebras")


def run(options: argparse.Namespace) -> None:
    """Print the chips whose id, name or maker contains the pattern."""
    _listing.listed(options, chips.frame, "vendor", _COLUMNS)
