"""Sweeps computed in this process, block by block: what Dask does is another test's matter."""

import contextlib

from training_moat.press import sweep_points, sweeping


def compute(sweep, missing, target, environment, client=None):
    """As `sweeping._compute`, without a client."""
    folder = sweeping._parts(target)
    folder.mkdir(exist_ok=True)
    taken = 1 + max((int(part.stem) for part in folder.glob("[0-9]*.parquet")), default=-1)
    for number, block in enumerate(sweeping._blocks(sweep, missing), taken):
        table = sweep_points.results(sweep, block)
        sweeping._write(table, folder / f"{number:08d}.parquet", {"environment": environment})


def put_in_place(patch):
    """Have every sweep computed here, while a `MonkeyPatch` lasts."""
    patch.setattr(sweeping, "_client", lambda *_: contextlib.nullcontext())
    patch.setattr(sweeping, "_compute", compute)
