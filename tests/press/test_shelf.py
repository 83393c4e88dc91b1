"""Kept pages: only sound ones are gone on with, by one build at a time."""

import os

import pytest

from training_moat.press import shelf

KEYS = [letter * 64 for letter in "abc"]


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """An empty shelf."""
    monkeypatch.setattr(shelf, "SHELF", tmp_path / "pages")


def made(key, work, sound=True):
    """Put a page on the shelf; returns the name of its folder."""
    with shelf.place(key, work) as place:
        (place.folder / "page").write_text(key)
        if sound:
            place.settle()
    return place.folder.name


def found(key, work):
    """What the next build of these surroundings finds."""
    with shelf.place(key, work) as place:
        return sorted(path.name for path in place.folder.glob("*"))


def test_only_what_was_finished_is_gone_on_with(tmp_path):
    made(KEYS[0], tmp_path)
    assert found(KEYS[0], tmp_path) == ["page"]
    assert found(KEYS[0], tmp_path) == [], "that build did not say that it was through"
    made(KEYS[1], tmp_path, sound=False)
    assert found(KEYS[1], tmp_path) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "page").write_text(""),
        lambda folder: (folder / "page").unlink(),
        lambda folder: ((folder / "page").unlink(), (folder / "page").mkdir()),
        lambda folder: (folder / "another").write_text("x"),
        lambda folder: (folder / shelf._SOUND).write_bytes(b"\xff"),
    ],
)
def test_what_was_damaged_since_is_not_gone_on_with(damage, tmp_path):
    damage(shelf.SHELF / made(KEYS[0], tmp_path))
    assert found(KEYS[0], tmp_path) == []


def test_two_builds_never_share_a_folder(tmp_path):
    with shelf.place(KEYS[0], tmp_path) as one, shelf.place(KEYS[0], tmp_path) as two:
        assert one.folder != two.folder == tmp_path / "book"
        two.settle()
    with shelf.place(KEYS[0], tmp_path) as one:
        heir = os.dup(one.handles[0])  # as a process does that the build has started
    with shelf.place(KEYS[0], tmp_path) as two:
        assert two.folder == tmp_path / "book"
    os.close(heir)
    with shelf.place(KEYS[0], tmp_path) as three:
        assert three.folder == one.folder


def folders():
    """What is on the shelf."""
    return {path.name for path in shelf.SHELF.iterdir() if path.is_dir()}


def test_the_newest_two_are_kept_and_those_in_use(tmp_path):
    first = made(KEYS[0], tmp_path)
    with shelf.place(KEYS[0], tmp_path):
        second, third = made(KEYS[1], tmp_path), made(KEYS[2], tmp_path)
        assert folders() == {first, second, third}
    made(KEYS[2], tmp_path)
    assert len(folders()) == 2 and third in folders()
