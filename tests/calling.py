"""Calling `moat` as a person does: another process, in another folder."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

# Runs many calls in one interpreter, each in a folder of its own: starting Python is what takes the time.
_MANY = """
import contextlib, io, json, os, sys
from training_moat import cli
answers = []
for folder, arguments in json.load(sys.stdin):
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except SystemExit as stop:
            status = stop.code
    answers.append({"returncode": status, "stdout": out.getvalue(), "stderr": err.getvalue(), "files": sorted(os.listdir(folder))})
json.dump(answers, sys.stdout)
"""


def environment(root):
    given = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MOAT_ROOT", "MOAT_SCENARIO")
    }
    return given | ({"MOAT_ROOT": str(root)} if root is not None else {})


def moat(*arguments, root=None, cwd=None, stdin=""):
    """Run the command; returns the finished process with its texts."""
    return subprocess.run(
        [sys.executable, "-m", "training_moat.cli", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(root),
        check=False,
        timeout=600,
    )


def moat_each(calls, root):
    """Run several calls, each in its own folder; returns what each printed, its status and the files in its folder."""
    done = subprocess.run(
        [sys.executable, "-c", _MANY],
        input=json.dumps([[str(folder), arguments] for folder, arguments in calls]),
        capture_output=True,
        text=True,
        env=environment(root),
        check=True,
        timeout=600,
    )
    return [SimpleNamespace(**answer) for answer in json.loads(done.stdout)]


def one_sentence(done, status=2):
    """The single sentence on stderr of a call that was refused; nothing on stdout, no traceback."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("moat"), done.stderr
    return lines[0]
