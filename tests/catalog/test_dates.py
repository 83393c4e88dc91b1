"""Dates of the tables: a year, a half, a quarter, a month or a day, each by its first day."""

import math

import pandas as pd
import pytest

from training_moat.catalog.dates import day, middle, span


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("2024", "2024-01-01"),
        ("2024-Q3", "2024-07-01"),
        ("2024-H2", "2024-07-01"),
        ("2024-03", "2024-03-01"),
        ("2024-03-18", "2024-03-18"),
    ],
)
def test_the_first_day_of_what_is_written(text, first):
    assert day(text) == pd.Timestamp(first)


@pytest.mark.parametrize(
    ("date", "start", "end"),
    [
        ("2024", 2024, 2025),
        ("2024-07", 2024.5, 2024.5 + 1 / 12),
        ("2024-Q3", 2024.5, 2024.75),
        ("2024-H2", 2024.5, 2025),
        ("2024-end", 2025, 2025),
        ("2024-01-01", 2024, 2024 + 1 / 365),
    ],
)
def test_a_date_is_a_span_of_years(date, start, end):
    assert span(date) == pytest.approx((start, end))


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("2024", 2024.5),
        ("2024-07", 2024 + 6.5 / 12),
        ("2024-07-30", 2024 + 6.5 / 12),
        ("2024-Q1", 2024.5),
    ],
)
def test_the_middle_of_a_month_or_of_a_year(date, year):
    assert middle(date) == year and math.isnan(middle(None))
