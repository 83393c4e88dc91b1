"""Fitted constants: one record for what the tables of training and of serving store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import pandas as pd

from training_moat.catalog import tables

Key = tuple[str, str, str]
"""(level, key, name) of a constant, such as ("family", "nvidia-hopper", "attention")."""


@dataclass(frozen=True)
class Fitted:
    """All constants of a model by (level, key, name)."""

    values: Mapping[Key, float]

    @classmethod
    def stored(cls, table: str) -> Self:
        """The constants that a table stores."""
        return cls.of(tables.load(table))

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        """The constants of such a table."""
        keys = zip(frame["level"], frame["key"], frame["constant"], strict=True)
        return cls(dict(zip(keys, frame["value"].astype(float), strict=True)))

    def keys(self, level: str) -> set[str]:
        """Chips, families or software of which anything was fitted on a level."""
        return self._keys.get(level, set())

    @cached_property
    def _keys(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for level, key, _ in self.values:
            found.setdefault(level, set()).add(key)
        return found

    def interval(self, level: str, kind: str = "") -> tuple[float, float]:
        """Factors on a prediction that bound the middle 90% of what the fit had not seen: of a level of knowledge, or of a
        kind of run under it."""
        return self.values["interval", level, f"{kind}p05"], self.values[
            "interval", level, f"{kind}p95"
        ]
