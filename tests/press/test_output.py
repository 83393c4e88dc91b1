"""Nothing is removed or replaced that we did not write: markers of sites, digests of pages, every refused place."""

import json
import os
import shutil
from pathlib import Path

import pytest

from training_moat.core.errors import InputError
from training_moat.press import folders, output, unpacking


@pytest.fixture(autouse=True)
def notes(tmp_path_factory, monkeypatch):
    """Notes of these tests alone."""
    monkeypatch.setattr(output, "NOTES", tmp_path_factory.mktemp("notes"))


def site(folder, key="k", **files):
    folder.mkdir(parents=True)
    for name, text in ({"index.html": "a"} | files).items():
        (folder / name).write_text(text)
    output.mark(folder)
    output.note(folder, key, folder)
    return folder


def refused(place, says):
    with pytest.raises(InputError, match=says) as caught:
        output.site_folder(place)
    assert "\n" not in str(caught.value)


def test_free_places_and_our_own_sites_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    site(tmp_path / "ours")
    for name in ("empty", "ours", "new/deep"):
        assert output.site_folder(tmp_path / name) == tmp_path / name
    assert not (tmp_path / "new").exists(), "asking makes nothing"


@pytest.mark.parametrize("stray", ["notes.txt", ".hidden", "deep/notes.txt"])
def test_a_file_of_somebody_else_refuses_the_folder(stray, tmp_path):
    for folder in (tmp_path / "plain", site(tmp_path / "ours")):
        path = folder / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        refused(folder, "was not written by")
        assert path.read_text() == "mine"


def test_a_page_changed_since_and_a_forged_marker_refuse_the_folder(tmp_path):
    changed = site(tmp_path / "changed")
    (changed / "index.html").write_text("my own words")
    refused(changed, "index.html")
    forged = site(tmp_path / "forged")
    (forged / output.MARKER).write_text(json.dumps({"files": []}))
    refused(forged, "was not written by")


def test_links_are_not_followed(tmp_path):
    site(tmp_path / "ours")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    refused(tmp_path / "link", "this is a link")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ours" / "inner").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "ours", "'inner' in it")


def test_the_project_the_working_folder_and_what_holds_them_are_refused(tmp_path, monkeypatch):
    for place in (folders.ROOT, folders.ROOT.parent, folders.ROOT.anchor):
        refused(place, "holds the project")
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    for place in (".", "..", tmp_path):
        refused(place, "holds the working folder")


def test_files_and_impossible_names_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "is a file")
    refused(tmp_path / "file" / "below", "is a file")
    refused(tmp_path / ("x" * 300), "name too long")
    refused("a\0b", "null")


def early(folder):
    (folder / "_static").mkdir(parents=True)
    (folder / "_static" / "moat-figures.js").write_text("early")
    return folder


def patched(folder):
    """A site of ours in which somebody tried out another script."""
    (site(folder, **{"page.html": "b"}) / "moat-figures.js").write_text("another")
    return folder


def half_written(folder):
    """A site of ours that a killed build by hand was writing over."""
    (site(folder) / "index.html").write_text("new")
    return folder


def of_somebody_else(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    return folder


@pytest.mark.parametrize("make", [early, patched, half_written, of_somebody_else])
def test_the_standard_place_gives_way_and_all_that_stood_there_is_kept(make, tmp_path, capsys):
    target = make(tmp_path / "html")
    before = {path.relative_to(target): path.read_bytes() for path in output._files(target)}
    refused(target, "was not written by")
    assert output.site_folder(target, standard=True) == target
    output.put_site(site(tmp_path / "made"), target, "new")
    kept = tmp_path / "html.kept-1"
    assert {path.relative_to(kept): path.read_bytes() for path in output._files(kept)} == before
    assert output.is_whole(target, "new") and str(kept) in capsys.readouterr().err


def test_a_site_takes_the_place_of_the_old_one_and_leaves_nothing(tmp_path):
    target = site(tmp_path / "site[1]", old="x")
    made = site(tmp_path / "made", other="y")
    output.put_site(made, target, "new")
    assert sorted(path.name for path in target.iterdir()) == [".moat-site", "index.html", "other"]
    assert output.is_whole(target, "new") and not output.is_whole(target, "k")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "site[1]"]
    (target / "other").unlink()
    assert not output.is_whole(target, "new")


def test_what_made_a_site_is_known_and_is_not_in_it(tmp_path):
    """Another Python makes another key, and the same site of it, byte for byte."""
    one, two = tmp_path / "one", tmp_path / "two"
    output.put_site(site(tmp_path / "made"), one, "of Python 3.11")
    output.put_site(tmp_path / "made", two, "of Python 3.12")
    assert output.is_whole(one, "of Python 3.11") and not output.is_whole(one, "of Python 3.12")
    assert output.is_whole(two, "of Python 3.12")
    assert (one / output.MARKER).read_bytes() == (two / output.MARKER).read_bytes()
    (two / "late.html").write_text("new")
    output.mark(two)
    assert not output.is_whole(two, "of Python 3.12"), "the note is of the site as it was put there"


def test_the_site_of_another_build_is_not_taken_for_ours(tmp_path, monkeypatch):
    swap, other = output._swap, site(tmp_path / "other", page="b")

    def overtaken(fresh, target):
        swap(fresh, target)
        shutil.rmtree(target)
        shutil.copytree(other, target)

    monkeypatch.setattr(output, "_swap", overtaken)
    output.put_site(site(tmp_path / "made"), tmp_path / "site", "ours")
    assert not output.is_whole(tmp_path / "site", "ours")


def test_somebody_elses_file_is_kept_where_no_note_can_be_written(tmp_path, monkeypatch):
    target, made = site(tmp_path / "site"), site(tmp_path / "made")
    (target / "late.txt").write_text("mine")
    monkeypatch.setattr(output, "NOTES", target / "index.html")
    with pytest.raises(OSError):
        output.put_site(made, target, "new")
    assert (tmp_path / "site.kept-1" / "late.txt").read_text() == "mine"


@pytest.mark.parametrize("exchange", [True, False])
def test_a_file_that_came_at_the_last_moment_is_kept(exchange, tmp_path, monkeypatch, capsys):
    if not exchange:
        monkeypatch.setattr(output.ctypes, "CDLL", lambda *_, **__: object())
    target, made = site(tmp_path / "site"), site(tmp_path / "made")
    (target / "late.txt").write_text("mine")
    output.put_site(made, target, "new")
    assert output.is_whole(target, "new")
    assert (tmp_path / "site.kept-1" / "late.txt").read_text() == "mine"
    assert "late.txt" in capsys.readouterr().err


def test_a_site_moved_aside_by_a_killed_build_comes_back(tmp_path):
    aside = tmp_path / ".site.moat-0123456789ab" / "old"
    os.renames(site(tmp_path / "site"), aside)
    assert output.site_folder(tmp_path / "site") == tmp_path / "site"
    assert output.is_whole(tmp_path / "site", "k") and not aside.exists()


def test_a_sealed_file_is_ours_until_it_is_changed(tmp_path):
    page = tmp_path / "memory.html"
    page.write_text(output.sealed(f"<meta content='{output.UNSEALED}'>words"))
    assert output.is_sealed(page)
    assert output.page_folder(tmp_path, "memory") == tmp_path
    page.write_text(page.read_text() + "more")
    with pytest.raises(InputError, match="memory.html there is not as"):
        output.page_folder(tmp_path, "memory")


def test_pages_do_not_replace_the_chapters_or_a_link(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="holds the chapters themselves"):
        output.page_folder(folders.CHAPTERS, "memory")
    monkeypatch.chdir(folders.CHAPTERS)
    with pytest.raises(InputError, match="holds the chapters themselves"):
        output.page_folder(None, "memory")
    (tmp_path / "precious").write_text(output.sealed(output.UNSEALED))
    (tmp_path / "memory.html").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="memory.html there"):
        output.page_folder(tmp_path, "memory")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes anywhere")
def test_a_place_where_nothing_can_be_written_is_refused_at_once(tmp_path):
    tmp_path.chmod(0o500)
    refused(tmp_path / "site", "nothing can be written")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no such file system here")
def test_a_file_system_that_takes_no_folder_is_refused_at_once():
    refused("/proc/moat-site", "nothing can be written in /proc")


def test_a_place_where_a_disk_is_mounted_is_refused_before_the_work(tmp_path, monkeypatch):
    """It can be filled, and a page goes there, but its folder cannot be exchanged for another."""
    monkeypatch.setattr(os.path, "ismount", lambda place: Path(place).name == "disk")
    (tmp_path / "disk").mkdir()
    for ask in (output.site_folder, unpacking.unpack):
        with pytest.raises(InputError, match="disk is mounted there.* give a folder in it"):
            ask(str(tmp_path / "disk"))
    assert output.site_folder(tmp_path / "disk" / "site") and output.page_folder(
        tmp_path / "disk", "bars"
    )
