"""The same arithmetic for plain numbers and arrays."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core import elementwise as e

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5))
def test_two_argument_functions_agree_with_arrays(pairs):
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    for function in (e.minimum, e.maximum):
        assert list(function(a, b)) == [function(x, y) for x, y in pairs]
    assert list(e.where(a > b, a, b)) == [e.where(x > y, x, y) for x, y in pairs]


@given(st.lists(positive, min_size=1, max_size=5))
def test_one_argument_functions_agree_with_arrays(values):
    for function in (e.ceil, e.sqrt, e.log, e.log2):
        assert function(np.array(values)) == pytest.approx([function(value) for value in values])


def test_plain_numbers_stay_plain():
    assert (
        type(e.minimum(1, 2)) is int
        and type(e.where(True, 1, 2.0)) is int
        and type(e.ceil(1.2)) is float
    )
    assert e.power(2, 10) == 1024 and e.exp(0.0) == 1.0 and e.sqrt(9.0) == 3.0


def test_an_array_anywhere_makes_an_array():
    assert list(e.maximum(2, np.array([1, 3]))) == [2, 3]
    assert list(e.where(np.array([True, False]), 1, 2)) == [1, 2]
    assert list(e.power(np.array([1.0, 2.0]), 2)) == [1.0, 4.0]


def test_all_true_needs_every_element():
    assert e.all_true(np.array([True, True])) and not e.all_true(np.array([True, False]))
    assert e.all_true(1) and not e.all_true(0)


def test_plain_numbers_need_no_numpy(monkeypatch):
    """Inside the static page there is none."""
    monkeypatch.setattr(e, "_np", None)
    assert e.minimum(3, 2) == 2 and e.where(False, 1, 2) == 2 and e.log2(8) == 3
    assert math.isclose(e.log(e.exp(1.0)), 1.0)
