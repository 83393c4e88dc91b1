"""Files appear whole or not at all."""

import os
import subprocess
import sys

import pytest

from training_moat.core import whole_files


def test_a_file_replaces_the_old_one_only_when_written_whole(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    whole_files.write_text(target, "old")
    with pytest.raises(RuntimeError), whole_files.beside(target) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(target.parent.iterdir()) == [target]
    whole_files.write_text(target, "new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o644


KILLED = """
import os, pathlib, signal, sys
from training_moat.core import whole_files
with whole_files.beside(pathlib.Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_goes_with_the_next_one_and_nothing_else(tmp_path):
    target, own = tmp_path / "a.txt", tmp_path / ".a.txt.original"
    own.write_text("somebody's")
    subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    (left,) = set(tmp_path.iterdir()) - {own}
    whole_files.write_text(target, "new")
    assert left.exists(), "it may be another writer's"
    for path in (left, own):
        os.utime(path, (1, 1))
    with whole_files.beside(target) as fresh:
        os.utime(fresh, (1, 1))  # a writer that takes its time
        fresh.write_text("slow")
        os.utime(fresh, (1, 1))
        whole_files.write_text(target, "new")
        assert not left.exists()
    assert target.read_text() == "slow"
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", own.name}
