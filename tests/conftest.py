"""Fixtures that several test folders share."""

from small_book import small_book  # noqa: F401
