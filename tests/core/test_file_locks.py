"""Locks on files: one block at a time, and none is left."""

import fcntl

from training_moat.core import file_locks


def test_one_block_at_a_time_works_under_a_lock_file_and_it_is_gone_after_it(tmp_path):
    path = tmp_path / ".lock"
    with file_locks.alone(path) as first:
        with file_locks.alone(path) as second:
            assert first and not second
        assert path.exists(), "who does not hold it does not remove it"
    assert not path.exists()
    with file_locks.alone(path) as again:
        assert again


def test_a_lock_file_that_its_holder_has_just_removed_is_none(tmp_path, monkeypatch):
    path, plain = tmp_path / ".lock", fcntl.flock

    def removed_first(handle, how):
        monkeypatch.setattr(fcntl, "flock", plain)
        path.unlink()
        plain(handle, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with file_locks.alone(path) as free, file_locks.alone(path) as other:
        assert free and not other
