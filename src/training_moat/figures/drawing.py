"""Drawing pictures of figures, here or in a process beside this one.

The library that draws starts a JavaScript engine. That takes half a second in every process, and a process that
has threads of such an engine may not fork. Whoever forks many runs has a `Painter` draw for all of them: this
file as a process of its own, a page's specification in, a picture out.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe

import vl_convert
from PIL import Image

VEGALITE = "6.4"
COLOURS = 64
"""Colours that a picture keeps, chosen so that those of few dots are among them."""
SOON = "soon"


def draw(page: str) -> bytes:
    """A specification, with its theme, as a small PNG."""
    raw = vl_convert.vegalite_to_png(page, scale=1, vl_version=VEGALITE)
    small = io.BytesIO()
    full = Image.open(io.BytesIO(raw)).convert("RGB")
    full.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


class Coming:
    """A picture that was ordered; `picture` waits for it."""

    def __init__(self, painter: Painter, page: str) -> None:
        self.painter, self.page, self.made = painter, page, b""

    def picture(self) -> bytes:
        """The picture as bytes, drawn here where the other process is gone or could not."""
        if not self.made:
            self.painter.settle()
        return self.made


class Painter:
    """A process that draws, as those see it for which it does: this process and its forks, one at a time."""

    def __init__(self, soon: bool = True) -> None:
        """soon: whether there will be something to draw, so that it should get ready."""
        self.line, its = Pipe()
        # Read as a plain file: the package around it would load what only makes specifications.
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(its.fileno()), *([SOON] if soon else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
        )
        its.close()
        self._open: Coming | None = None

    def order(self, page: str) -> Coming:
        """Have a page's picture drawn while the caller goes on. One at a time is on its way: whoever sends an order while a
        picture waits to be taken might wait for one who waits for him."""
        self.settle()
        coming = Coming(self, page)
        try:
            self.line.send_bytes(page.encode())
            self._open = coming
        except OSError:
            coming.made = draw(page)
        return coming

    def settle(self) -> None:
        """Take the picture that is on its way."""
        coming, self._open = self._open, None
        if coming is not None:
            try:
                coming.made = self.line.recv_bytes() or draw(coming.page)
            except (OSError, EOFError):
                coming.made = draw(coming.page)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.line.close()


def serve() -> None:
    """Draw what is asked for until nobody can ask."""
    if SOON in sys.argv:  # a picture for nobody starts the library
        draw(json.dumps({"mark": "point", "data": {"values": []}}))
    line = Connection(int(sys.argv[1]))
    while page := line.recv_bytes():
        picture = b""  # who asked draws it again, and says what is wrong
        with suppress(Exception):
            picture = draw(page.decode())
        line.send_bytes(picture)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, EOFError, OSError):
        serve()
