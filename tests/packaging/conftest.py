"""Two releases of the book, and an empty environment that the wheel of one is installed into."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import release

from training_moat import __version__
from training_moat.catalog.paths import PARTS

ROOT = Path(__file__).resolve().parents[2]
MADE_FROM = ("src", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", *PARTS)
EPOCH = 1_700_000_000
HIDDEN = shutil.ignore_patterns("*.egg-info", "__pycache__", ".ipynb_checkpoints")


def copied(folder):
    """A copy of what a wheel is made from, so that building leaves nothing beside the sources."""
    folder.mkdir(exist_ok=True)
    for name in MADE_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=HIDDEN)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """Two releases of one source, from two folders of other names, rights and times."""
    made = []
    for number, mask in enumerate((0o022, 0o077)):
        before = os.umask(mask)
        try:
            folder = tmp_path_factory.mktemp(f"place-{number}")
            source, site = copied(folder / f"source-{number}"), folder / "site"
            site.mkdir()
            (site / "index.html").write_text("<!doctype html>")
            for path in source.rglob("*"):
                os.utime(path, (EPOCH + 1000 * number, EPOCH + 1000 * number))
            release.pack(source, site, folder / "made", __version__, EPOCH)
        finally:
            os.umask(before)
        made.append(folder / "made")
    return made


@pytest.fixture(scope="session")
def wheel(releases):
    """The wheel's file."""
    (file,) = releases[0].glob("*.whl")
    return file


@pytest.fixture(scope="session")
def empty_environment(wheel, tmp_path_factory):
    """An environment with the wheel in it, which sees the libraries of this one and not this checkout."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    done = subprocess.run(
        [*install, "--no-index", "--disable-pip-version-check", wheel],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder
