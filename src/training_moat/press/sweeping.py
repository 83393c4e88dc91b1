"""`moat sweep`: many points on Dask, each computed once, whatever interrupts the work.

Finished blocks lie in `FILE.parts/` until the table is whole; points that a former run of the same
source and data computed are taken from there and from FILE itself, by the digest of their fields.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training_moat.core import file_locks
from training_moat.core.errors import InputError
from training_moat.core.whole_files import beside
from training_moat.press import caching, output, sweep_points, sweep_spec
from training_moat.press.failures import WorkFailed
from training_moat.press.sweep_points import ERROR, LOST, POINT, as_text
from training_moat.press.sweep_spec import Sweep

BLOCK = {"training": 10_000, "serving": 5_000}
"""Points that a worker computes at a time; of a chapter, few."""
CHAPTER_BLOCK = 4
IN_FLIGHT = 3
"""Blocks per worker that are handed out ahead."""
MANIFEST = b"moat_sweep"
WRITTEN = "sweep: source or tables were written meanwhile; run it again."


@dataclass(frozen=True)
class Done:
    """A finished sweep: its table, how many points it holds, computed now, and failed, and why the first of them did."""

    path: Path
    points: int
    computed: int
    failed: int
    why: str


def run(spec: str, out: str, workers: int | None = None, scheduler: str | None = None) -> Done:
    """Compute a sweep's points and write its table. Raises InputError before anything runs, also where another sweep is at
    work on that table: its blocks would have the same places."""
    sweep, target = sweep_spec.load(spec), Path(out)
    _check_target(target)
    with file_locks.alone(target.with_name(f".{target.name}.lock")) as free:
        if not free:
            said = "another sweep is writing this table; wait for its end or give another file."
            raise InputError(f"--out {target}: {said}")
        return _made(sweep, target, workers, scheduler)


def _made(sweep: Sweep, target: Path, workers: int | None, scheduler: str | None) -> Done:
    """Compute what is missing of a sweep's points and write the table."""
    stood = caching.run_state()
    environment = sweep_points.environment()
    order = sweep_points.texts(sweep.digests())
    known = _known(target, environment)
    missing = _missing(order, known)
    if len(missing):
        with _client(workers, scheduler, environment) as client:
            if caching.run_state() != stood:
                raise WorkFailed(WRITTEN)
            _compute(sweep, missing, target, environment, client)
        known = _known(target, environment, lost=True)
    table = _ordered(sweep, order, known)
    told = known.column_names
    said = table[ERROR].filter(pc.not_equal(table[ERROR], ""))
    failed = len(said)
    _write(table, target, _manifest(sweep, environment, told, failed))
    shutil.rmtree(_parts(target), ignore_errors=True)
    why = said[0].as_py() if failed else ""
    return Done(target, len(table), len(missing), failed, why)


def _parts(target: Path) -> Path:
    return target.with_name(target.name + ".parts")


def _check_target(target: Path) -> None:
    if target.suffix != ".parquet":
        raise InputError(f"--out {target}: expected a file that ends in .parquet")
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise InputError(f"--out {target}: expected a file in a folder that exists")
    if target.exists() and not _manifest_of(target):
        raise InputError(f"--out {target}: this file is no sweep's table; it is left as it is")
    output.refuse_read_only(target.resolve().parent, f"--out {target}")


def _manifest_of(path: Path) -> dict[str, Any]:
    """What a table of ours says of itself; nothing where the file is none of ours."""
    try:
        stored = json.loads((pq.read_schema(path).metadata or {})[MANIFEST])
        return stored if "environment" in stored else {}
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return {}


def _known(target: Path, environment: str, lost: bool = False) -> pa.Table:
    """Results that stand already, in the table and in finished parts, of this environment, once each.

    lost: also points whose process died, where no other run has computed them since.
    """
    tables = []
    for file in [target, *sorted(_parts(target).glob("*.parquet"))]:
        manifest = _manifest_of(file)
        if manifest.get("environment") == environment:
            tables.append(pq.read_table(file, columns=manifest.get("results")))
    found = _joined(tables)
    died = pc.starts_with(pc.fill_null(found[ERROR], ""), LOST)
    alive = found.filter(pc.invert(died))
    found = pa.concat_tables([alive, found.filter(died)]) if lost else alive
    first = _first_of_each(found[POINT])
    return found if len(first) == len(found) else found.take(first)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables below one another; a column of which they hold different kinds as text."""
    empty = pa.table({name: pa.array([], pa.string()) for name in (POINT, ERROR)})
    tables = [table.replace_schema_metadata() for table in tables] or [empty]
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    mixed = [name for name, found in kinds.items() if not _one_kind(found)]
    for number, table in enumerate(tables):
        for name in mixed:
            if name in table.column_names:
                place = table.column_names.index(name)
                text = pa.array(as_text(table[name].to_pylist()), pa.string())
                tables[number] = table = table.set_column(place, name, text)
    return pa.concat_tables(tables, promote_options="permissive")


def _one_kind(found: set[pa.DataType]) -> bool:
    """Whether a column can hold values of all these types."""
    found = {kind for kind in found if not pa.types.is_null(kind)}
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in found)
    text = all(pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in found)
    return len(found) <= 1 or numbers or text


def _first_of_each(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Where each different value stands first, in order."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    codes = whole.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.sort(np.unique(codes, return_index=True)[1])


def _missing(order: pa.Array, known: pa.Table) -> np.ndarray:
    """Points to compute; one whose fields equal an earlier one's is computed once."""
    first = _first_of_each(order)
    have = pc.is_in(order, value_set=known[POINT].combine_chunks())
    return first[~have.to_numpy(zero_copy_only=False)[first]]


@contextmanager
def _client(workers: int | None, scheduler: str | None, environment: str) -> Iterator[Any]:
    """A Dask client: of the running cluster at `scheduler`, or of processes on this machine."""
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set({"distributed.comm.timeouts.connect": "10s"})
    if scheduler:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there") from error
        with client:
            _same_everywhere(client, environment)
            yield client
        return
    count = workers or os.cpu_count() or 1
    with LocalCluster(
        n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None,
        # Any free port: of the usual one a second sweep at once would be told that it is taken.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}, silence_logs=logging.CRITICAL,
    ) as cluster, Client(cluster) as client:  # fmt: skip
        yield client


def _same_everywhere(client: Any, environment: str) -> None:
    """Refuse workers that would compute with other source or data."""
    found = client.run(sweep_points.worker_environment, on_error="return")
    if not found:
        raise InputError("--scheduler: the cluster has no workers")
    for worker, there in found.items():
        if there != environment:
            said = there if isinstance(there, Exception) else "its source or data differ"
            raise InputError(
                f"--scheduler: worker {worker} cannot compute this sweep ({str(said)[:120]})"
            )


def _blocks(sweep: Sweep, missing: np.ndarray) -> list[np.ndarray]:
    size = BLOCK.get(sweep.level, CHAPTER_BLOCK)
    return [missing[start : start + size] for start in range(0, len(missing), size)]


def _compute(
    sweep: Sweep, missing: np.ndarray, target: Path, environment: str, client: Any
) -> None:
    """Hand blocks to the workers, a few ahead of them, and store each as it comes back."""
    from distributed import as_completed
    from tqdm import tqdm

    folder, state = _parts(target), caching.run_state()
    folder.mkdir(exist_ok=True)
    taken = 1 + max((int(part.stem) for part in folder.glob("[0-9]*.parquet")), default=-1)
    waiting = iter(enumerate(_blocks(sweep, missing), taken))
    shared = client.scatter(sweep, broadcast=True)
    ahead = IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    futures = as_completed(loop=client.loop)
    asked: dict[Any, tuple[int, np.ndarray]] = {}

    def hand_out(number: int, block: np.ndarray) -> None:
        future = client.submit(sweep_points.results, shared, block, pure=False, retries=2)
        asked[future.key] = number, block
        futures.add(future)

    for one in islice(waiting, ahead):
        hand_out(*one)
    with tqdm(total=len(missing), desc=sweep.title, unit="point", file=sys.stderr) as bar:
        for future in futures:
            number, block = asked.pop(future.key)
            table = _collected(future, sweep, block)
            if table is None:
                if shared.status != "finished":  # the sweep itself went with the worker
                    shared = client.scatter(sweep, broadcast=True)
                hand_out(number, block)
                continue
            # Else nobody knows which edition of a file this block was computed with.
            if caching.run_state() != state:
                raise WorkFailed(WRITTEN)
            # Numbered as they were handed out: the parts in turn are then the table in its order.
            _write(table, folder / f"{number:08d}.parquet", {"environment": environment}, "lz4")
            future.release()
            for one in islice(waiting, 1):
                hand_out(*one)
            bar.update(len(block))


def _collected(future: Any, sweep: Sweep, block: np.ndarray) -> pa.Table | None:
    """A block's results; where the worker failed, its points with that sentence. None where they were there and went with a
    worker that died before they were fetched."""
    try:
        error = future.exception()
        if error is None:
            return future.result()
    except CancelledError:
        return None
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise WorkFailed(f"sweep: {error}")
    said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return sweep_points.lost(sweep, block, said)


def _ordered(sweep: Sweep, order: pa.Array, known: pa.Table) -> pa.Table:
    """The sweep's rows in the order of its points: digest, fields, error, results. What a point was told stands in place of
    a field of the same name. Raises WorkFailed where somebody has removed finished blocks meanwhile."""
    places = pc.index_in(order, value_set=known[POINT].combine_chunks())
    if places.null_count:
        raise WorkFailed("sweep: some finished blocks were removed meanwhile; run it again.")
    if not np.array_equal(places.to_numpy(zero_copy_only=False), np.arange(len(known))):
        known = known.take(places)
    asked = sweep_points.fields(sweep)
    told = {name: known[name] for name in known.column_names if name != POINT}
    told[ERROR] = pc.fill_null(told[ERROR], "")
    first = {POINT: order} | {name: asked[name] for name in asked.column_names} | {ERROR: None}
    return pa.table(first | told)


def _manifest(sweep: Sweep, environment: str, told: Sequence[str], failed: int) -> dict[str, Any]:
    """What a table says of itself. told: its columns that hold results."""
    return {
        "environment": environment,
        "title": sweep.title,
        "level": sweep.level,
        "points": len(sweep),
        "failed": failed,
        "fields": sweep.fields,
        "results": list(told),
    }


def _write(
    table: pa.Table, target: Path, manifest: dict[str, Any], compression: str = "zstd"
) -> None:
    table = table.replace_schema_metadata({MANIFEST: json.dumps(manifest).encode()})
    # Looking for repeated values pays for words alone, of which every digest is another.
    words = [
        name
        for name, kind in zip(table.schema.names, table.schema.types, strict=True)
        if name != POINT and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
    ]
    with beside(target) as fresh:
        pq.write_table(table, fresh, compression=compression, use_dictionary=words)
