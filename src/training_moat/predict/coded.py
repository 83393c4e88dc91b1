"""Fields of many requests column by column: each different value once, and which of them every request has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

ABSENT = -1
"""Code of a field that a request leaves out."""


class Coded(NamedTuple):
    """A field of many requests: its different values, and which of them each request has, `ABSENT` where none."""

    values: list[Any]
    codes: np.ndarray

    def at(self, which: Any) -> Coded:
        """The same field of some of the requests."""
        return Coded(self.values, self.codes[which])


Asked = Mapping[str, Coded]
"""Requests: their fields by name, all of one length."""


def one_by_one(asked: Asked, count: int) -> list[dict[str, Any]]:
    """Each of `count` requests as a mapping from its fields to their values."""
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, (values, codes) in asked.items():
        for request, code in zip(found, codes.tolist(), strict=True):
            if code != ABSENT:
                request[name] = values[code]
    return found
