"""A wheel of the book, built once, and an empty environment that it is installed into."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from training_moat.catalog.paths import PARTS

ROOT = Path(__file__).resolve().parents[2]
MADE_FROM = ("src", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", *PARTS)
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
def checkout():
    """A function that copies what a release is made from into a folder."""
    return copied


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel's file."""
    source, made = copied(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "-w", made, source], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (file,) = made.glob("*.whl")
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
