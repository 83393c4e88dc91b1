"""A small copy of the project's data that a test may break."""

import csv
import json
import shutil
from functools import partial

import pytest

from training_moat.catalog import paths

KEPT = ("sources", "chips", "models", "link_latencies", "prices")
"""Tables of the copy: enough for every kind of fault, few enough to be fast."""


def project_in(folder):
    """A folder with the kept tables, their part of the descriptor and an empty scenarios folder."""
    data = folder / "data"
    data.mkdir()
    (folder / "scenarios").mkdir()
    package = json.loads((paths.data_folder() / "datapackage.json").read_text(encoding="utf-8"))
    package["resources"] = [item for item in package["resources"] if item["name"] in KEPT]
    (data / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    for item in package["resources"]:
        shutil.copy(paths.data_folder() / item["path"], data / item["path"])
    return folder


def put(project, table, line, column, value):
    """Put a value into one cell of the copy (the header is line 1)."""
    path = project / "data" / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[line - 1][rows[0].index(column)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.fixture
def project(tmp_path):
    return project_in(tmp_path)


@pytest.fixture
def break_cell(project):
    return partial(put, project)


@pytest.fixture(scope="module")
def with_broken_cells(tmp_path_factory):
    """A function that makes a copy in which many cells are broken at once."""

    def make(cells):
        folder = project_in(tmp_path_factory.mktemp("broken"))
        for cell in cells:
            put(folder, *cell)
        return folder

    return make
