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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from training_moat.core.errors import InputError
from training_moat.press import caching, sweep_points, sweep_spec
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import beside
from training_moat.press.sweep_points import ERROR, LOST, POINT
from training_moat.press.sweep_spec import Sweep

BLOCK = {"training": 5_000, "serving": 5_000}
"""Points that a worker computes at a time; of a chapter, few."""
CHAPTER_BLOCK = 4
IN_FLIGHT = 3
"""Blocks per worker that are handed out ahead."""
MANIFEST = b"moat_sweep"


@dataclass(frozen=True)
class Done:
    """A finished sweep: its table, how many points it holds, computed now, and failed."""

    path: Path
    points: int
    computed: int
    failed: int


def run(
    spec: str, out: str, workers: int | None = None, scheduler: str | None = None,
    keep: str | None = None,
) -> Done:  # fmt: skip
    """Compute a sweep's points and write its table. Raises InputError before anything runs."""
    sweep, target = sweep_spec.load(spec), Path(out)
    _check_target(target)
    environment = sweep_points.environment()
    known = _known(target, environment)
    order = _order(sweep) if len(known) else None
    missing = _missing(sweep, order, known)
    if missing:
        with _client(workers, scheduler, environment) as client:
            _compute(sweep, missing, target, environment, client, keep)
        known = _known(target, environment, lost=True)
    frame = _ordered(sweep, order, known)
    _write(frame, target, _manifest(sweep, environment, frame))
    shutil.rmtree(_parts(target), ignore_errors=True)
    return Done(target, len(frame), len(missing), int((frame[ERROR] != "").sum()))


def _order(sweep: Sweep) -> list[str]:
    """The digest of every point, in the order of the file."""
    return sweep_spec.digests(sweep.point(index) for index in range(len(sweep)))


def _parts(target: Path) -> Path:
    return target.with_name(target.name + ".parts")


def _check_target(target: Path) -> None:
    if target.suffix != ".parquet":
        raise InputError(f"--out {target}: expected a file that ends in .parquet")
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise InputError(f"--out {target}: expected a file in a folder that exists")
    if target.exists() and _environment_of(target) is None:
        raise InputError(f"--out {target}: this file is no sweep's table; it is left as it is")


def _environment_of(path: Path) -> str | None:
    """The environment that a table of ours was computed in; None where the file is none of ours."""
    try:
        stored = pq.read_schema(path).metadata or {}
        return json.loads(stored[MANIFEST])["environment"]
    except (OSError, pa.ArrowInvalid, KeyError, ValueError):
        return None


def _known(target: Path, environment: str, lost: bool = False) -> pd.DataFrame:
    """Rows that stand already, in the table and in finished parts, of this environment, once each.

    lost: also points whose process died, where no other run has computed them since.
    """
    files = [target, *sorted(_parts(target).glob("*.parquet"))]
    frames = [pq.read_table(f).to_pandas() for f in files if _environment_of(f) == environment]
    if not frames:
        return pd.DataFrame(columns=[POINT])
    found = pd.concat(frames, ignore_index=True)
    died = found[ERROR].fillna("").str.startswith(LOST)
    found = pd.concat([found[~died], found[died]] if lost else [found[~died]])
    return found.drop_duplicates(POINT, ignore_index=True)


def _missing(sweep: Sweep, order: list[str] | None, known: pd.DataFrame) -> list[int]:
    """Points to compute; one whose fields equal an earlier one's is computed once."""
    if order is None:
        return list(range(len(sweep)))
    have, found = set(known[POINT]), []
    for index, point in enumerate(order):
        if point not in have:
            have.add(point)
            found.append(index)
    return found


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
        silence_logs=logging.CRITICAL,
    ) as cluster, Client(cluster) as client:  # fmt: skip
        yield client


def _same_everywhere(client: Any, environment: str) -> None:
    """Refuse workers that would compute with other source or data."""
    found = client.run(sweep_points.environment, on_error="return")
    if not found:
        raise InputError("--scheduler: the cluster has no workers")
    for worker, there in found.items():
        if there != environment:
            said = there if isinstance(there, Exception) else "its source or data differ"
            raise InputError(
                f"--scheduler: worker {worker} cannot compute this sweep ({str(said)[:120]})"
            )


def _blocks(sweep: Sweep, missing: list[int]) -> list[list[int]]:
    size = BLOCK.get(sweep.level, CHAPTER_BLOCK)
    return [missing[start : start + size] for start in range(0, len(missing), size)]


def _block_results(sweep: Sweep, indices: list[int], keep: str | None) -> pd.DataFrame:
    points = [sweep.point(index) for index in indices]
    return sweep_points.results(sweep.level, points, keep)


def _compute(
    sweep: Sweep, missing: list[int], target: Path, environment: str, client: Any, keep: str | None
) -> None:
    """Hand blocks to the workers, a few ahead of them, and store each as it comes back."""
    from distributed import as_completed
    from tqdm import tqdm

    folder, state = _parts(target), _state()
    folder.mkdir(exist_ok=True)
    taken = len(list(folder.glob("*.parquet")))
    waiting = iter(_blocks(sweep, missing))
    shared = client.scatter(sweep, broadcast=True)
    ahead = IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    futures = as_completed(loop=client.loop)
    asked: dict[Any, list[int]] = {}

    def hand_out() -> None:
        for block in waiting:
            future = client.submit(_block_results, shared, block, keep, pure=False, retries=2)
            asked[future.key] = block
            futures.add(future)
            return

    for _ in range(ahead):
        hand_out()
    with tqdm(total=len(missing), desc=sweep.title, unit="point", file=sys.stderr) as bar:
        for future in futures:
            block = asked.pop(future.key)
            frame = _collected(future, sweep, block)
            if (
                _state() != state
            ):  # nobody knows which edition of a file this block was computed with
                raise WorkFailed("sweep: source or tables were written meanwhile; run it again.")
            _write(frame, folder / f"{taken:08d}.parquet", {"environment": environment})
            taken += 1
            future.release()
            hand_out()
            bar.update(len(block))


def _state() -> object:
    return caching.file_states(caching.run_files())


def _collected(future: Any, sweep: Sweep, block: list[int]) -> pd.DataFrame:
    """A block's results; where the worker failed, its points with that sentence."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise WorkFailed(f"sweep: {error}")
    said = f"{LOST}{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
    points = [sweep.point(index) for index in block]
    return pd.DataFrame(
        [{POINT: sweep_spec.digest(point), **point, ERROR: said} for point in points]
    )


def _ordered(sweep: Sweep, order: list[str] | None, known: pd.DataFrame) -> pd.DataFrame:
    """The sweep's rows in the order of its points, the points' fields first."""
    order = order or _order(sweep)
    frame = known.set_index(POINT).loc[order].reset_index()
    first = [POINT, *sweep.fields, ERROR]
    frame[ERROR] = frame[ERROR].fillna("") if ERROR in frame else ""
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _manifest(sweep: Sweep, environment: str, frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "environment": environment,
        "title": sweep.title,
        "level": sweep.level,
        "points": len(frame),
        "failed": int((frame[ERROR] != "").sum()),
        "fields": sweep.fields,
    }


def _write(frame: pd.DataFrame, target: Path, manifest: dict[str, Any]) -> None:
    table = pa.Table.from_pandas(_storable(frame), preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), MANIFEST: json.dumps(manifest).encode()}
    )
    with beside(target) as fresh:
        pq.write_table(table, fresh, compression="zstd")


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed kinds as text, so that Parquet takes them."""
    mixed = [
        name
        for name in frame.columns
        if frame[name].dtype == object and frame[name].map(type).nunique() > 1
    ]
    return frame.assign(
        **{n: frame[n].map(lambda v: None if v is None or v != v else str(v)) for n in mixed}
    )
