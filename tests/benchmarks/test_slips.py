"""Slips that are drawn are slips, and the check's word on them is its own."""

import random

import pytest

from benchmarks import slips
from training_moat.catalog import descriptor, files


@pytest.fixture(scope="module")
def found():
    return {name: files.inspect(name) for name in descriptor.table_names()}


def test_every_kind_has_its_tables_and_columns(found):
    for table, column, _ in (place for kind in slips.KINDS.values() for place in kind):
        assert column == slips.COPY or column in found[table].frame


def test_a_slip_changes_one_cell_or_adds_a_row(found):
    dice = random.Random(3)
    assert len(slips.KINDS) == 36
    for kind in slips.KINDS:
        slip, edited = slips.drawn(dice, found, kind)
        before, after = found[slip.table].frame, edited.frame
        assert len(after) == len(before) + (slip.column == slips.COPY)
        if slip.column != slips.COPY and not edited.problems:
            same = before.eq(after) | (before.isna() & after.isna())
            assert (~same).sum().sum() == 1, slip


def test_digits_are_swapped():
    import pandas as pd

    assert slips.swapped(random.Random(1), pd.Series([47.0]), 0) == 74
    assert slips.swapped(random.Random(1), pd.Series([44.0]), 0) is None
