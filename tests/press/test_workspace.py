"""Folders of one process alone: swept when it is gone, left alone while it lives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training_moat.press import workspace

HOLD = """
import sys, time
from pathlib import Path
from training_moat.press import workspace
with workspace.own_folder(Path(sys.argv[1]), ".a[b].") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""
FOLLOWED = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import sys, time; from training_moat.core import processes;"
    "processes.follow(int(sys.argv[1])); print('ready', flush=True); time.sleep(60)", str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def started(code, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_a_folder_is_gone_when_its_block_ends(tmp_path):
    with workspace.own_folder(tmp_path, ".a[b].") as folder:
        (folder / "file").write_text("x")
        workspace.sweep(tmp_path, ".a[b].")
        assert folder.is_dir(), "a folder in use is not swept, by its own process neither"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_what_the_next_one_sweeps(tmp_path):
    process, folder = started(HOLD, tmp_path)
    (tmp_path / ".a[b].of-somebody").mkdir()
    for name in ("..a[b].0123456789ab.new", "..a[b].somebody.new"):  # a lock that had no name yet
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    workspace.sweep(tmp_path, ".a[b].")
    assert os.path.isfile(f"{folder}/file"), "in use"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.path.isfile(f"{folder}/file")
    with workspace.own_folder(tmp_path, ".a[b]."):
        assert not os.path.exists(folder)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".a[b].of-somebody",
        "..a[b].somebody.new",
    }


def test_a_helper_ends_with_the_process_that_started_it():
    parent, helper = started(FOLLOWED)
    os.kill(int(helper), 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{helper}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":  # ended; whoever adopted it has not noticed yet
            return
        time.sleep(0.1)
    pytest.fail("the helper lives on")


@pytest.mark.skipif(sys.platform != "linux", reason="others are not asked")
def test_a_fork_whose_parent_was_killed_before_it_could_ask_ends():
    """Else it would wait for work that nobody can send."""
    ask = "import sys; from training_moat.core import processes; processes.end_with_parent(int(sys.argv[1])); print(1)"
    for parent, said in ((os.getpid(), "1\n"), (2**22, "")):
        done = subprocess.run(
            [sys.executable, "-c", ask, str(parent)], stdout=subprocess.PIPE, text=True, check=False
        )
        assert done.stdout == said
