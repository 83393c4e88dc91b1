"""Lets the wheel carry the book: data, chapters and what builds the site, as training_moat/book."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "src"))

from training_moat.catalog.paths import PARTS  # noqa: E402 (found only by the line above)


class WithBook(build_py):
    """The package's files, and the book beside them (training_moat.catalog.paths looks for it there)."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        book = Path(self.build_lib) / "training_moat" / "book"
        shutil.rmtree(book, ignore_errors=True)
        book.mkdir(parents=True)
        for source in (HERE / name for name in PARTS):
            if source.is_dir():
                hidden = shutil.ignore_patterns(".*", "__pycache__")
                shutil.copytree(source, book / source.name, ignore=hidden)
            else:
                shutil.copyfile(source, book / source.name)


setup(cmdclass={"build_py": WithBook})
