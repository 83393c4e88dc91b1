"""A release is the same bytes whoever makes it, whenever and wherever; its version is told alike everywhere."""

import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import release
import yaml

from training_moat import __version__

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def twice(tmp_path_factory, checkout):
    """Two releases of one source, from two folders of other names, rights and times."""
    made = []
    for number, mask in enumerate((0o022, 0o077)):
        before = os.umask(mask)
        try:
            folder = tmp_path_factory.mktemp(f"place-{number}")
            source, site = checkout(folder / f"source-{number}"), folder / "site"
            site.mkdir()
            (site / "index.html").write_text("<!doctype html>")
            for path in source.rglob("*"):
                os.utime(path, (EPOCH + 1000 * number, EPOCH + 1000 * number))
            release.pack(source, site, folder / "made", __version__, EPOCH)
        finally:
            os.umask(before)
        made.append(folder / "made")
    return made


@pytest.mark.slow
def test_two_releases_of_a_source_are_the_same_bytes(twice):
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in twice)
    assert sorted(name for name in one if one[name] != two[name]) == []
    assert one.keys() == two.keys() and len(one) == 5


@pytest.mark.slow
def test_it_holds_what_its_names_say(twice):
    data = zipfile.ZipFile(twice[0] / f"training-moat-{__version__}-data.zip").namelist()
    assert "datapackage.json" in data and "chips.csv" in data and "LICENSE-DATA" in data
    with tarfile.open(twice[0] / f"training_moat-{__version__}.tar.gz") as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "_toc.yml", "chapters/memory.ipynb"} <= names
    assert {"data/chips.csv", "sweeps/chips-and-clusters.yaml", "src/training_moat/cli.py"} <= names
    sums = (twice[0] / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in sums] == sorted(
        path.name for path in twice[0].iterdir() if path.name != "SHA256SUMS"
    )


def test_the_version_is_told_alike_everywhere():
    changelog = (ROOT / "chapters" / "changelog.md").read_text(encoding="utf-8")
    assert re.findall(r"^## .*\(version (.*)\)$", changelog, re.M)[0] == __version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
