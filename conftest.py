"""Test configuration: notebooks count as slow tests and leave no traces beside their sources."""

import os

import pytest

# A scenario in the caller's environment would change every number that tests compare.
os.environ.pop("MOAT_SCENARIO", None)
# Chapters run with their defaults here: a finding that no longer holds fails.
os.environ["MOAT_STRICT"] = "1"


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
