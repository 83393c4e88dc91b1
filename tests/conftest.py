"""Fixtures that several test folders share."""

from hypothesis import settings
from small_book import small_book  # noqa: F401

# How long an example takes says nothing on a shared machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
