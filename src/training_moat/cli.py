"""The command `moat`: reads the call, and says in one sentence what is wrong with it."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import re
import sys
from collections.abc import Sequence
from errno import ENAMETOOLONG, ENOENT
from typing import NoReturn

from training_moat import __version__
from training_moat.core.errors import InputError, nearest, one_line
from training_moat.press.commands import VERBS
from training_moat.press.failures import WorkFailed

PLAIN = (
    (r"argument ([^:]*): invalid int value: (.*)", "{0} {1}: expected a whole number."),
    (r"argument ([^:]*): expected one argument", "{0}: a value is missing; see `{prog} --help`."),
    (r"argument ([^:]*): ignored explicit argument (.*)", "{0} takes no value, got {1}."),
    (r"the following arguments are required: (.*)", "missing: {0}; see `{prog} --help`."),
    (
        r"argument ([^:]*): not allowed with argument (.*)",
        "{0} and {1} exclude each other; give one.",
    ),
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


def _parser() -> Parser:
    """Parser of the whole command."""
    parser = Parser(
        prog="moat",
        description="The Training Moat: who can train AI models, and why.",
        epilog="example: moat run memory --out mine",
    )
    parser.add_argument("--version", action="version", version=f"moat {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name, verb in VERBS.items():
        said = f"{verb.help[0].upper()}{verb.help[1:]}."
        verb.declare(verbs.add_parser(name, help=verb.help, description=said, allow_abbrev=False))
    return parser


def _options(parser: Parser, given: Sequence[str]) -> argparse.Namespace:
    """What the arguments ask for, with a verb; what is wrong with them ends the process as `argparse` does."""
    options, stray = parser.parse_known_args(given)
    children = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    child = children.choices[options.verb] if options.verb else parser
    if stray:
        child.error(f"unrecognized arguments: {stray[0]}")
    if not options.verb:
        parser.error("the following arguments are required: VERB")
    for action in child._actions:
        if action.option_strings and getattr(options, action.dest, None) == "":
            # What an unset variable of a shell leaves behind an option.
            child.error(f"{action.option_strings[-1]} is empty; expected a value.")
    return options


def _doubt(path: str) -> None:
    """Say on standard error which numbers of a scenario may be of another unit than their column's."""
    from training_moat.catalog import unlikely

    for doubt in unlikely.of_file(path):
        print(f"moat: {one_line(doubt)}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 the work failed, 2 the call or its input is wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller (`moat run memory >&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        # Chapters run side by side, and their products are small: threads would wait for each other.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        gc.set_threshold(50_000)  # imports make a million objects and hardly any garbage
        atexit.register(gc.freeze)  # nor is there any worth a fifth of a second at the end
        parser = _parser()
        if not given:
            parser.print_help()
            return 0
        options = _options(parser, given)
        for name in ("scenario", "first", "second"):  # of two that are compared a file may be one
            path = getattr(options, name, None)
            if path and (name == "scenario" or os.path.isfile(path)):
                _doubt(path)
        return VERBS[options.verb].run(options) or 0
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
