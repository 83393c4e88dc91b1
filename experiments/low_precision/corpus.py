"""The text the small models read: reference topics of Python 3.11, kept beside this file and pinned by hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training_moat.core.errors import InputError

TEXT = Path(__file__).with_name("corpus.txt")
SHA256 = "25801bc3334cf8b741fc518c510f68c37cad3a6c61bb3d97d3e4ec1265953c5c"
_VALIDATION_SHARE = 0.1
_VALIDATION_SEQUENCES = 128


@dataclass(frozen=True)
class Corpus:
    """Characters as whole numbers, split into a training part and a held-out tail."""

    vocab: int
    train: np.ndarray
    held_out: np.ndarray

    def batch(
        self, rng: np.random.Generator, sequences: int, context: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Random windows of the training part and the same windows one character on."""
        starts = rng.integers(0, len(self.train) - context - 1, size=sequences)
        return _windows(self.train, starts, context)

    def validation(self, context: int) -> tuple[np.ndarray, np.ndarray]:
        """The same evenly spaced windows of the held-out part for every run."""
        starts = np.linspace(0, len(self.held_out) - context - 1, _VALIDATION_SEQUENCES).astype(int)
        return _windows(self.held_out, starts, context)


def load() -> Corpus:
    """Read the text and check that it is the one the results were made with."""
    raw = TEXT.read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != SHA256:
        raise InputError(f"{TEXT.name} has SHA-256 {found}: expected {SHA256}; restore the file.")
    alphabet, codes = np.unique(np.frombuffer(raw, dtype=np.uint8), return_inverse=True)
    cut = int(len(codes) * (1 - _VALIDATION_SHARE))
    return Corpus(len(alphabet), codes[:cut], codes[cut:])


def _windows(codes: np.ndarray, starts: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    index = starts[:, None] + np.arange(context)
    return codes[index], codes[index + 1]
