"""`python -m benchmarks`: measure everything, print the tables; with `--store`, keep them."""

from __future__ import annotations

import argparse
import datetime
import os
import sys

from .peers.environment import NAMES, ONE_THREAD, PeerFailed

if __name__ == "__main__":  # before NumPy is loaded: rates are those of one thread
    os.environ.update(ONE_THREAD)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns 1 when a peer could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--tiny", action="store_true", help="a few evaluations each, to see that it runs"
    )
    parser.add_argument("--no-peers", action="store_true", help="our own model only")
    parser.add_argument(
        "--store", action="store_true", help="write benchmarks/README.md and data/peer_errors.csv"
    )
    options = parser.parse_args(arguments)
    if options.store and (options.tiny or options.no_peers):
        parser.error("only a full run with the peers is stored")
    try:
        return measure(options)
    except PeerFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def measure(options: argparse.Namespace) -> int:
    """Measure, print, and store where asked and complete."""
    from . import accuracy, report, speed
    from .peers import opened

    size = speed.TINY if options.tiny else speed.Size()
    date = datetime.date.today().isoformat()
    with opened([] if options.no_peers else list(NAMES)) as (peers, failed):
        frame = accuracy.errors(peers, date, with_left_out=not options.tiny)
        timed = speed.evaluations(peers, size)
        found = speed.searches(peers, size) + speed.published()
    head = f"Measured {date} on {report.machine()}; {size.repeats} repeats."
    parts = [head, report.speed(timed), report.search(found), report.errors(frame)]
    parts += [f"{name} could not be measured: {why}" for name, why in failed.items()]
    text = "\n\n".join(parts)
    print(text)
    if options.store and not failed:
        report.store(text, frame)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
