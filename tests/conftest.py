"""Fixtures that several test folders share."""

from functools import cache

import pytest
from browsing import browser  # noqa: F401
from hypothesis import settings
from small_book import small_book  # noqa: F401

from training_moat.catalog import lasting
from training_moat.core.surroundings import environment

# How long an example takes says nothing on a shared machine, and the same examples are tried everywhere.
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")

AS_BUILT = {
    *("calibrate", "claims", "contest", "inquiry"),
    *("test_foretold_steps", "test_market_runs", "test_odd_runs", "test_reruns"),
}
"""Folders and modules whose tests work out, in this process, what the book's build worked out moments ago."""


@cache
def _found():
    from training_moat.press import caching

    return str(caching.found_folder(caching.inputs()))


@pytest.fixture(autouse=True, scope="module")
def found_by_the_build(request):
    """What the build found on its way, as `moat run` has it: kept under a hash of the package's source, the tables, Python
    and the libraries. Where any of them is another, or nothing was built, the tests work it out."""
    given = AS_BUILT & {request.path.parent.name, request.path.stem}
    with environment({lasting.FOUND: _found()} if given else {}):
        yield
