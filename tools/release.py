"""`make release`: wheel, sdist, site, data package and their checksums, the same bytes on every run of a commit.

    python tools/release.py [FOLDER]      (default: dist)

Everything is made from the commit that is checked out, with the commit's own time in place of
the clock's (SOURCE_DATE_EPOCH), in the order of names, and with the same owner and rights for
each file.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
SUMS = "SHA256SUMS"
NAME = "training-moat"
# A standard hook of the build backend, in a process whose folder is the source and whose rights are fixed.
_HOOK = "import os, sys; os.umask(0o022); from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def git(*words: str, cwd: Path = ROOT) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True).stdout


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file below a folder, in the order of names."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name in sorted(found):
        if found[name].is_file():
            yield name, found[name].read_bytes()


def tar(target: Path, top: str, members: Iterator[tuple[str, bytes]], epoch: int) -> None:
    """A compressed archive that holds nothing of this machine: no clock, no owner, no order of a disk."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), epoch, 0o644
            archive.addfile(entry, io.BytesIO(content))
    target.write_bytes(gzip.compress(plain.getvalue(), mtime=epoch))


def pack_data(source: Path, target: Path, epoch: int) -> None:
    """The tables, their descriptor and their licence as one zip, as data catalogues take them."""
    moment = time.gmtime(epoch)[:6]
    licence = ("LICENSE-DATA", (source / "LICENSE-DATA").read_bytes())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files(source / "data"), licence]:
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def pack_python(source: Path, folder: Path, epoch: int) -> None:
    """The wheel and the source distribution of a clean source tree."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    for hook in ("build_sdist", "build_wheel"):
        command = [sys.executable, "-c", _HOOK, hook, str(folder)]
        done = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"release: {hook} failed: {done.stderr.strip()[-300:]}")
    (made,) = folder.glob("*.tar.gz")
    top = made.name.removesuffix(".tar.gz")
    with TemporaryDirectory() as scratch:
        with tarfile.open(made) as archive:
            unpack(archive, Path(scratch))
        tar(made, top, files(Path(scratch) / top), epoch)


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive of ours into a folder. Python 3.11 knows no filters before 3.11.4, and later ones ask
    for one."""
    archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
    archive.extractall(folder)


def pack(source: Path, site: Path, folder: Path, version: str, epoch: int) -> list[Path]:
    """Put every file of a release into an empty folder, the checksums last; returns them."""
    folder.mkdir(parents=True)
    pack_python(source, folder, epoch)
    pack_data(source, folder / f"{NAME}-{version}-data.zip", epoch)
    tar(folder / f"{NAME}-{version}-site.tar.gz", f"{NAME}-{version}", files(site), epoch)
    made = sorted(folder.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (folder / SUMS).write_text("".join(sums))
    return [*made, folder / SUMS]


def main() -> None:
    """Make the release of the commit that is checked out."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "dist").absolute()
    if target.exists() and any(target.iterdir()):
        raise SystemExit(f"release: {target} is not empty; give a new folder")
    if git("status", "--porcelain").strip():
        raise SystemExit("release: something is not committed; a release is made from a commit")
    from training_moat import __version__
    from training_moat.press import building

    if f"(version {__version__})" not in (ROOT / "chapters" / "changelog.md").read_text("utf-8"):
        raise SystemExit(f"release: chapters/changelog.md says nothing of version {__version__}")
    site = building.build().parent
    with TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "source", Path(scratch) / "made"
        with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
            unpack(archive, source)
        pack(source, site, made, __version__, int(git("log", "-1", "--format=%ct")))
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(made.iterdir()):
            (target / path.name).write_bytes(path.read_bytes())
    print((target / SUMS).read_text(), end="")


if __name__ == "__main__":
    main()
