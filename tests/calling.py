"""Calling `moat` as a person does: another process, in another folder."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from types import SimpleNamespace

# Starting Python and reading the libraries is most of a short call: one process has read them, none of the package, and
# a fork of it makes each call as a new interpreter would.
_READY = """
import gc, os, runpy, socket, sys
import altair, docutils.nodes, IPython.core.completerlib, IPython.core.interactiveshell, IPython.core.magics, markdown_it
import narwhals._pandas_like.dataframe, nbclient, nbformat, pyarrow, requests, scipy.stats.qmc, tenacity, tqdm.auto, yaml
gc.freeze()
assert not [name for name in sys.modules if name.startswith(("papermill", "training_moat"))]
door = socket.socket(fileno=int(sys.argv[1]))
while True:
    asked, files, _, _ = socket.recv_fds(door, 1 << 20, 3)
    if not asked:
        os._exit(0)
    if (child := os.fork()) == 0:
        break
    for file in files:
        os.close(file)
    door.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]).to_bytes(2, "big", signed=True))
door.close()
for number, file in enumerate(files):
    os.dup2(file, number, inheritable=True)
    os.close(file)
import json
kind, asked, folder, given, sys.argv = json.loads(asked)
os.chdir(folder)
os.environ.clear()
os.environ.update(given)
if kind == "-m":
    sys.path[0] = folder
    runpy.run_module(asked, run_name="__main__", alter_sys=True)
else:
    sys.path[0] = ""
    exec(asked, {"__name__": "__main__"})
"""
# Runs many calls in one interpreter, each in a folder of its own.
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


@cache
def _door():
    """The line to the process that is ready; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, "-c", _READY, str(theirs.fileno())], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    ours.settimeout(600)
    return ours


def environment(root):
    given = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MOAT_ROOT", "MOAT_SCENARIO")
    }
    return given | ({"MOAT_ROOT": str(root)} if root is not None else {})


def python(kind, asked, *arguments, root=None, cwd=None, stdin=""):
    """Run a module ("-m") or code ("-c") in a process of its own; returns its status and its texts."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # fmt: skip
        given.write(stdin.encode())
        given.seek(0)
        order = [kind, asked, str(cwd or os.getcwd()), environment(root), [asked, *map(str, arguments)]]  # fmt: skip
        socket.send_fds(_door(), [json.dumps(order).encode()], [f.fileno() for f in (given, out, err)])  # fmt: skip
        status = int.from_bytes(_door().recv(2), "big", signed=True)
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    return SimpleNamespace(returncode=status, stdout=texts[0], stderr=texts[1])


def moat(*arguments, **settings):
    """Run the command; returns its status and its texts."""
    return python("-m", "training_moat.cli", *arguments, **settings)


def moat_each(calls, root):
    """Run several calls, each in its own folder; returns what each printed, its status and the files in its folder."""
    asked = json.dumps([[str(folder), arguments] for folder, arguments in calls])
    done = python("-c", _MANY, root=root, stdin=asked)
    assert done.returncode == 0, done.stderr
    return [SimpleNamespace(**answer) for answer in json.loads(done.stdout)]


def one_sentence(done, status=2):
    """The single sentence on stderr of a call that was refused; nothing on stdout, no traceback."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("moat"), done.stderr
    return lines[0]
