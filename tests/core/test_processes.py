"""Helper processes end with what waits for them."""

import os
import signal
import subprocess
import sys
import time

import pytest

WORK = """
import os, sys, time
from concurrent.futures import as_completed
from training_moat.core import processes

def nap(number):
    os.write(1, b"at work" + b"\\n")  # in one piece, whoever writes beside it
    time.sleep(1)

if __name__ == "__main__":
    with processes.pool(2, fork=sys.argv[1] == "fork") as pool:
        for done in as_completed([pool.submit(nap, number) for number in range(200)]):
            done.result()
"""


def gone(group):
    """Whether all processes of a group end in a moment (the one that keeps Python's shared memory sees to it last)."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_an_interruption_ends_a_pool_with_all_that_waits(kind, tmp_path):
    """Ctrl-C reaches every process of a terminal; a worker whose piece it stopped had begun with the next one."""
    (tmp_path / "work.py").write_text(WORK)
    process = subprocess.Popen(
        [sys.executable, "work.py", kind], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True,
        stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert process.stdout.readline() == b"at work\n"
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        assert time.monotonic() - begun < 20 and process.stdout.read().count(b"at work") < 10
        assert gone(process.pid)
    finally:
        process.stdout.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
