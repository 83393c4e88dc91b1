"""Sweeps computed in this process, block by block: what Dask does is another test's matter."""

import contextlib

from training_moat.press import sweep_points, sweeping


def compute(sweep, missing, target, environment, client=None, keep=None):
    """As `sweeping._compute`, without a client."""
    folder = sweeping._parts(target)
    folder.mkdir(exist_ok=True)
    for block in sweeping._blocks(sweep, missing):
        table = sweep_points.results(sweep, block, keep)
        number = len(list(folder.glob("*.parquet")))
        sweeping._write(table, folder / f"{number:08d}.parquet", {"environment": environment})


def put_in_place(patch):
    """Have every sweep computed here, while a `MonkeyPatch` lasts."""
    patch.setattr(sweeping, "_client", lambda *_: contextlib.nullcontext())
    patch.setattr(sweeping, "_compute", compute)
