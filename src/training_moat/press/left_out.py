"""What a reader's run does where a number that a cell needs was never published: it says which, and goes on."""

from __future__ import annotations

import ast
import os

from training_moat.core.errors import Unpublished
from training_moat.figures.parts import STRICT


class LeftOut:
    """The cells of one run that could not be had for want of a number, by the names that they would have given."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def instead(self, error: BaseException, source: str) -> str:
        """What stands in place of a cell that failed; empty where the run has to stop: at every other error, and in the
        book's own runs at this one too."""
        if os.environ.get(STRICT):
            return ""
        if isinstance(error, Unpublished):
            words = f"*What stands here for other chips is left out: {error}.*"
        elif isinstance(error, NameError) and error.name in self.names:
            words = "*Left out for the same reason.*"
        else:
            return ""
        self.names |= _given(source)
        return words


def _given(source: str) -> set[str]:
    """The names that a cell's code sets."""
    nodes = ast.walk(ast.parse(source))
    return {one.id for one in nodes if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
