"""Arithmetic that takes plain numbers or NumPy arrays alike.

The model is written once with these functions. With NumPy installed a caller may pass arrays and
a million plans are evaluated in one sweep; without it (inside the static page) plain numbers work
on the standard library alone. Conditions are comparisons, joined by `&` and `|`, which both know.
"""

from __future__ import annotations

import math
from typing import Any

try:
    import numpy as _np
except ImportError:  # the static page carries no NumPy
    _np = None  # type: ignore[assignment]

Number = Any
"""A plain number or a NumPy array of them."""


_Array = _np.ndarray if _np is not None else ()


def _is_array(a: Number, b: Number = None) -> bool:
    # Written out: this is asked a hundred times for every step that is timed.
    return isinstance(a, _Array) or isinstance(b, _Array)


def minimum(a: Number, b: Number) -> Number:
    """Smaller of two values, element by element."""
    return _np.minimum(a, b) if _is_array(a, b) else min(a, b)


def maximum(a: Number, b: Number) -> Number:
    """Larger of two values, element by element."""
    return _np.maximum(a, b) if _is_array(a, b) else max(a, b)


def where(condition: Number, yes: Number, no: Number) -> Number:
    """`yes` where the condition holds, else `no`; both are evaluated by the caller. Of a plain condition one of the two as
    it is."""
    if isinstance(condition, _Array):
        return _np.where(condition, yes, no)
    return yes if condition else no


def some(value: Number) -> bool:
    """Whether a number, or any of an array's, is not zero: what no run in a batch has need not be computed."""
    return bool(value.any()) if _is_array(value) else bool(value)


def ceil(value: Number) -> Number:
    """Round up to a whole number."""
    return _np.ceil(value) if _is_array(value) else float(math.ceil(value))


def sqrt(value: Number) -> Number:
    """Square root."""
    return _np.sqrt(value) if _is_array(value) else math.sqrt(value)


def exp(value: Number) -> Number:
    """Natural exponential."""
    return _np.exp(value) if _is_array(value) else math.exp(value)


def log(value: Number) -> Number:
    """Natural logarithm."""
    return _np.log(value) if _is_array(value) else math.log(value)


def log2(value: Number) -> Number:
    """Logarithm to base 2."""
    return _np.log2(value) if _is_array(value) else math.log2(value)


def power(base: Number, exponent: Number) -> Number:
    """`base` raised to `exponent`."""
    return _np.power(base, exponent) if _is_array(base, exponent) else base**exponent


def all_true(value: Number) -> bool:
    """Whether the condition holds for every element."""
    return bool(_np.all(value)) if _is_array(value) else bool(value)
