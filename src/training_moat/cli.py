"""The command `moat`: its verbs, thin. Each imports what it needs only when it runs."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import sys
from collections.abc import Sequence
from errno import ENAMETOOLONG, ENOENT
from importlib.util import find_spec
from typing import NoReturn

from training_moat import __version__
from training_moat.core.errors import InputError, nearest, one_line
from training_moat.press.failures import WorkFailed

VERBS = {
    "new": "unpack the book into a folder, to change it and run it again",
    "build": "build the book: every chapter, then the site",
    "run": "run one chapter to an executed notebook and a standalone page",
    "params": "list a chapter's parameters",
    "refresh": "re-execute chapters and store the outputs that tests compare",
    "check": "validate every data table, source and scenario",
    "chips": "list the chips that the tables hold",
    "models": "list the models that the tables hold",
    "predict": "predict training steps or serving, JSON lines in and out",
    "compare": "set two scenarios of the book side by side",
    "gallery": "run the book under the ready-made scenarios and keep what differs",
    "sweep": "compute many points of the model or of a chapter on Dask, into one table",
    "search": "find the fastest plans that fit",
    "validate": "compare predictions with published measurements",
    "experiment": "run the low-precision training experiment",
    "calibrate": "fit the model's constants on the measurements",
}
"""Verb and what it does. A verb lives in press/verbs/<verb>.py, with `add` and `run`."""


NEEDS = {"predict": "training_moat.predict.answers"}
"""Modules without which a verb is not offered."""


PLAIN = (
    (r"argument ([^:]*): invalid int value: (.*)", "{0} {1}: expected a whole number."),
    (r"argument ([^:]*): expected one argument", "{0}: a value is missing; see `{prog} --help`."),
    (r"argument ([^:]*): ignored explicit argument (.*)", "{0} takes no value, got {1}."),
    (r"the following arguments are required: (.*)", "missing: {0}; see `{prog} --help`."),
    (r"unrecognized arguments: (.*)", "'{0}' is one word too many; see `{prog} --help`."),
)
"""Messages of `argparse`, and what is said in their place."""


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one sentence with the nearest valid name, exit status 2."""

    def error(self, message: str) -> NoReturn:
        choice = re.match(
            r"argument [^:]*: invalid choice: '([^']*)' \(choose from (.*)\)", message
        )
        stray = re.match(r"unrecognized arguments: (-\S*)", message)
        if choice:
            known = re.findall(r"[\w-]+", choice[2])
            guess = nearest(choice[1], known)
            message = f"unknown verb '{choice[1]}'; " + (
                f"did you mean '{guess}'?" if guess else f"expected one of: {', '.join(known)}."
            )
        elif stray:
            known = [name for action in self._actions for name in action.option_strings]
            guess = nearest(stray[1], known)
            message = f"unknown option '{stray[1]}'; " + (
                f"did you mean '{guess}'?" if guess else f"see `{self.prog} --help`."
            )
        else:
            message = self._in_plain_words(message)
        sys.stderr.write(f"{self.prog}: {one_line(message)}\n")
        raise SystemExit(2)

    def _in_plain_words(self, message: str) -> str:
        """What `argparse` says of an argument, for someone who does not write programs."""
        for pattern, words in PLAIN:
            if found := re.fullmatch(pattern, message, re.S):
                return words.format(*found.groups(), prog=self.prog)
        return message


def available() -> list[str]:
    """Verbs whose module is part of this installation."""
    return [
        verb
        for verb in VERBS
        if find_spec(f"training_moat.press.verbs.{verb}") is not None
        and (verb not in NEEDS or find_spec(NEEDS[verb]) is not None)
    ]


def _parser(verb: str | None) -> Parser:
    """Parser of the whole command; only the verb that is called imports its module."""
    parser = Parser(
        prog="moat",
        description="The Training Moat: who can train AI models, and why.",
        epilog="example: moat run memory --out mine",
    )
    parser.add_argument("--version", action="version", version=f"moat {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser, required=True)
    for name in available():
        child = verbs.add_parser(
            name, help=VERBS[name], description=VERBS[name].capitalize() + ".", allow_abbrev=False
        )
        if name == verb:
            importlib.import_module(f"training_moat.press.verbs.{name}").add(child)
    return parser


def _called(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 the work failed, 2 the call or its input is wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        gc.disable()  # what is imported stays: looking through it for garbage takes a seventh of a start
        verb = _called(given)
        parser = _parser(verb)
        gc.freeze()
        gc.enable()
        if not given:
            parser.print_help()
            return 0
        options, stray = parser.parse_known_args(given)
        children = next(
            action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        )
        child = children.choices[options.verb]
        if stray:
            child.error(f"unrecognized arguments: {stray[0]}")
        for action in child._actions:
            if action.option_strings and getattr(options, action.dest, None) == "":
                # What an unset variable of a shell leaves behind an option.
                child.error(f"{action.option_strings[-1]} is empty; expected a value.")
        return (
            importlib.import_module(f"training_moat.press.verbs.{options.verb}").run(options) or 0
        )
    except InputError as error:
        print(f"moat: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe has had enough (`moat chips | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("moat: interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except OSError as error:
        said = f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
        if error.errno == ENOENT and error.filename is None:
            said = "the folder in which this was called is gone"
        print(f"moat: {one_line(said)}", file=sys.stderr)
        return 2 if error.errno == ENAMETOOLONG else 1
    except WorkFailed as error:
        print(f"moat: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
