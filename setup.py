"""Lets the wheel carry the book: data, chapters and what builds the site, as training_moat/book."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CARRIED = ("data", "chapters", "scenarios", "_static", "_config.yml", "_toc.yml", "LICENSE-DATA")


class WithBook(build_py):
    """The package's files, and the book beside them (training_moat.catalog.paths looks for it there)."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        book = Path(self.build_lib) / "training_moat" / "book"
        shutil.rmtree(book, ignore_errors=True)
        book.mkdir(parents=True)
        for name in CARRIED:
            source = HERE / name
            if source.is_dir():
                hidden = shutil.ignore_patterns(".*", "__pycache__")
                shutil.copytree(source, book / name, ignore=hidden)
            elif source.is_file():
                shutil.copyfile(source, book / name)


setup(cmdclass={"build_py": WithBook})
