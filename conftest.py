"""Test configuration: notebooks count as slow tests, and what takes longest starts first."""

import os

import pytest

# A scenario in the caller's environment would change every number that tests compare.
os.environ.pop("MOAT_SCENARIO", None)
# Chapters run with their defaults here: a finding that no longer holds fails.
os.environ["MOAT_STRICT"] = "1"


LONGEST_FIRST = ("tests/site/test_site", "tests/faults", "chapters/", "tests/notebooks")
"""Where the slow tests are, the slowest first: the last module to start decides when all are done."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item):
        starts = [item.nodeid.startswith(place) for place in LONGEST_FIRST]
        place = starts.index(True) if any(starts) else len(starts)
        return (item.path not in slow, place)

    items.sort(key=turn)
