"""What the ecosystem's own tools expect of the book: a data package, a root of its own."""

import json
from pathlib import Path

from training_moat.catalog import paths

ROOT = Path(__file__).resolve().parents[2]


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
