"""What a reader's run does where a number that a cell needs was never published: it says which, and goes on."""

from __future__ import annotations

import ast
import os
import warnings
from typing import Any

from training_moat.core import errors
from training_moat.core.errors import Incomparable, Unpublished
from training_moat.figures.parts import STRICT


class LeftOut:
    """The cells of one run that could not be had for want of a number, by the names that they would have given, and what
    single cells went on without."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.without: set[str] = set()
        self.fresh: list[str] = []

    def listen(self) -> None:
        """From now on hear what the code leaves out of several; in the book's own runs that is an error."""
        warnings.simplefilter(
            "error" if os.environ.get(STRICT) else "always", errors.LeftOutWarning
        )
        plain = warnings.showwarning

        def hear(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, errors.LeftOutWarning):
                plain(message, category, *where, **more)
            elif (sentence := str(message)) not in self.without:
                self.without.add(sentence)
                self.fresh.append(sentence)

        warnings.showwarning = hear

    def beside(self) -> str:
        """What stands after the outputs of a cell that went on without some of what was asked; said once a run."""
        fresh, self.fresh = self.fresh, []
        return f"*Left out here and below: {'; '.join(fresh)}.*" if fresh else ""

    def instead(self, error: BaseException, source: str) -> str:
        """What stands in place of a cell that failed; empty where the run has to stop: at every other error, and in the
        book's own runs at this one too."""
        if os.environ.get(STRICT):
            return ""
        if isinstance(error, Unpublished | Incomparable):
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
