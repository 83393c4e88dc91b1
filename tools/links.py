"""Addresses of sources that no longer answer: `python tools/links.py` goes through data/sources.csv.

A server that refuses programs (401, 403, 429) or is overloaded is there; 404, 410 and names that
are gone are dead. Prints each dead address with its key; exit status 1 when there is any.
"""

from __future__ import annotations

import csv
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "data" / "sources.csv"
SECONDS = 30
TRIES = 3
GONE = (404, 410)
HEADERS = {"User-Agent": "Mozilla/5.0 (link check of an open book)"}


def dead(url: str) -> str:
    """Why an address leads nowhere, or nothing."""
    for attempt in range(TRIES):
        last = attempt == TRIES - 1
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, headers=HEADERS), timeout=SECONDS
            ):
                return ""
        except urllib.error.HTTPError as error:
            return f"answers {error.code}" if error.code in GONE else ""
        except (OSError, ValueError) as error:
            if last:
                return f"does not answer ({getattr(error, 'reason', error)})"
    return ""


def main(table: Path = SOURCES) -> int:
    """Check every address of the table; returns how the process ends."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [(row["key"], row["url"]) for row in csv.DictReader(file) if row["url"]]
    with ThreadPoolExecutor(16) as pool:
        found = list(zip(rows, pool.map(lambda row: dead(row[1]), rows)))
    for (key, url), why in found:
        if why:
            print(f"{key}: {url} {why}")
    return int(any(why for _, why in found))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
