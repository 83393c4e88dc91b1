"""Records of numbers and records of arrays: one out of many, one behind another, one with every part changed.

Words in a record stay as they are and are the same in all that are brought together; records inside a record are treated
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def is_record(value: Any) -> bool:
    """Whether a value has fields of its own."""
    return hasattr(value, "__dataclass_fields__")


def mapped(record: Any, change: Callable[[Any], Any]) -> Any:
    """The same record with every number or array changed."""
    found = {}
    for name in record.__dataclass_fields__:
        value = getattr(record, name)
        if is_record(value):
            found[name] = mapped(value, change)
        elif isinstance(value, tuple):
            found[name] = tuple(mapped(one, change) for one in value)
        else:
            found[name] = value if isinstance(value, str) else change(value)
    return type(record)(**found)


def merged(records: Sequence[Any], merge: Callable[[list[Any]], Any]) -> Any:
    """One record out of several of a kind: each field of what they have there."""
    first, found = records[0], {}
    for name in first.__dataclass_fields__:
        values = [getattr(record, name) for record in records]
        if is_record(values[0]):
            found[name] = merged(values, merge)
        else:
            found[name] = values[0] if isinstance(values[0], str) else merge(values)
    return type(first)(**found)


def joined(records: Sequence[Any]) -> Any:
    """Records of arrays behind one another."""
    return records[0] if len(records) == 1 else merged(records, np.concatenate)


def stacked(records: Sequence[Any], which: Any = slice(None)) -> Any:
    """One record of arrays with a number of each record, or of those that `which` names."""
    return merged(records, lambda values: np.array(values, float)[which])


def stacked_once(records: Sequence[Any]) -> Any:
    """The same where many of the records are one object, each of which is read once."""
    place: dict[int, int] = {}
    which = [place.setdefault(id(record), len(place)) for record in records]
    different = {id(record): record for record in records}
    return stacked(list(different.values()), np.array(which))
