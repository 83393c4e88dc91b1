"""Outputs appear whole or not at all."""

import pytest

from training_moat.core.errors import InputError
from training_moat.press import folders


def test_a_file_replaces_the_old_one_only_when_written_whole(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    folders.write_text(target, "old")
    with pytest.raises(RuntimeError), folders.beside(target) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(target.parent.iterdir()) == [target]
    folders.write_text(target, "new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o644


def test_a_folder_replaces_the_old_one_only_when_complete(tmp_path):
    target = tmp_path / "site"
    with folders.new_folder(target) as fresh:
        (fresh / "index.html").write_text("old")
    with pytest.raises(RuntimeError), folders.new_folder(target) as fresh:
        (fresh / "index.html").write_text("half")
        raise RuntimeError
    assert (target / "index.html").read_text() == "old" and list(tmp_path.iterdir()) == [target]
    with folders.new_folder(target) as fresh:
        (fresh / "other.html").write_text("new")
    assert [path.name for path in target.iterdir()] == ["other.html"] and list(
        tmp_path.iterdir()
    ) == [target]


def test_an_output_folder_may_not_be_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="expected a folder"):
        folders.output_folder(str(tmp_path / "taken"))
