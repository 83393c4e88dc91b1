"""Test configuration: notebooks count as slow tests, and what takes longest starts first."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest

# A scenario in the caller's environment would change every number that tests compare.
os.environ.pop("MOAT_SCENARIO", None)
# Compiled code is kept, whatever the environment says: the tests start Python a hundred times.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Chapters run with their defaults here: a finding that no longer holds fails.
os.environ["MOAT_STRICT"] = "1"
# As many processes as cores, each with one thread for its products: with more they wait for each other, a minute in all.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Modules and thousands of tests stay to the end: looking through them for garbage again and again is a tenth of the time.
gc.disable()


LONGEST_FIRST = ("tests/faults/test_builds", "tests/notebooks", "tests/faults", "chapters/")
"""Where the slow tests are, the slowest first: the last module to start decides when all are done."""


def pytest_addoption(parser):
    said = "execute every chapter in a kernel, also where the book's build has run it as it stands"
    parser.addoption("--kernels", action="store_true", help=said)


def compare_with_the_build(notebook):
    """Let nbval compare a chapter with the run of the book's build, where there is one."""
    import replay  # beside the tests; not needed where no notebook is collected

    in_a_kernel = notebook.setup

    def setup():
        with tempfile.TemporaryDirectory() as folder:
            notebook.kernel = replay.played(notebook.path.stem, Path(folder))
        if notebook.kernel is None:
            return in_a_kernel()
        notebook.setup_sanitize_files()

    if notebook.path.stem not in replay.IN_KERNELS:
        notebook.setup = setup


def pytest_collection_finish():
    """All that is there by now stays; look for garbage among what comes, and not after every 700 objects."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(config, items):
    notebooks = {item.parent for item in items if item.path.suffix == ".ipynb"}
    for item in items:
        if item.parent in notebooks:
            item.add_marker(pytest.mark.slow)
    for notebook in notebooks:
        if not config.getoption("--kernels"):
            compare_with_the_build(notebook)
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item):
        starts = [item.nodeid.startswith(place) for place in LONGEST_FIRST]
        place = starts.index(True) if any(starts) else len(starts)
        return (item.path not in slow, place)

    items.sort(key=turn)
