"""What the ecosystem's own tools expect of the book: a wheel that works anywhere, a data package, a root of its own."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from calling import environment

from training_moat.catalog import paths

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = ("src", "data", "chapters", "_static", "pyproject.toml", "setup.py", "MANIFEST.in")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The contents of a wheel of the book, laid out as an installer would."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    hidden = shutil.ignore_patterns("*.egg-info", "__pycache__", ".ipynb_checkpoints")
    for name in (*BUILT_FROM, "README.md", "_config.yml", "_toc.yml", "LICENSE", "LICENSE-DATA"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=hidden)
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", wheels, source], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    target = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(target)
    return target


@pytest.mark.slow
def test_the_wheel_answers_anywhere_even_beside_a_foreign_data_package(installed, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "datapackage.json").write_text('{"name": "another", "resources": []}')
    here = environment(None) | {
        "PYTHONPATH": str(installed),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    code = "import training_moat.press.building; from training_moat import cli; cli.main(['chips', 'sn40l'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "sn40l" in done.stdout, done.stderr
    book = installed / "training_moat" / "book"
    assert len(list((book / "chapters").glob("*.ipynb"))) == len(
        list((ROOT / "chapters").glob("*.ipynb"))
    )
    assert {path.name for path in (book / "data").glob("*.csv")} == {
        path.name for path in (ROOT / "data").glob("*.csv")
    }


def test_another_projects_data_package_is_not_taken_for_ours(tmp_path, monkeypatch):
    monkeypatch.delenv("MOAT_ROOT", raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "datapackage.json").write_text('{"name": "another", "resources": []}')
    monkeypatch.chdir(tmp_path)
    assert paths.root() == ROOT


def test_every_table_is_a_tabular_data_resource():
    package = json.loads((ROOT / "data" / "datapackage.json").read_text(encoding="utf-8"))
    assert package["profile"] == "tabular-data-package"
    assert {item.get("profile") for item in package["resources"]} == {"tabular-data-resource"}
