"""Buttons for Binder and Colab on every chapter of a site that knows its public repository, and on none else."""

import subprocess
import sys

import pytest
from calling import environment

pytestmark = pytest.mark.slow
PUBLIC = "https://github.com/someone/moat"
COMMAND = "from jupyter_book.cli.main import main; main()"


def test_each_chapter_opens_on_binder_and_colab(small_book):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "build", ".", "-W", "--keep-going"],
        cwd=small_book, env=environment(small_book) | {"MOAT_REPOSITORY": PUBLIC + "/"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = small_book / "_build" / "html" / "chapters"
    for chapter in ("bars", "verdict"):
        text = (pages / f"{chapter}.html").read_text(encoding="utf-8")
        file = f"chapters/{chapter}.ipynb"
        assert f"https://mybinder.org/v2/gh/someone/moat/main?urlpath=lab/tree/{file}" in text
        assert f"https://colab.research.google.com/github/someone/moat/blob/main/{file}" in text
        assert f'href="{PUBLIC}"' in text
    assert "mybinder" not in (pages / "references.html").read_text(encoding="utf-8")
