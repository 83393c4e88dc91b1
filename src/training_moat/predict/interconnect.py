"""The fabric of a chip, with the constants that measured collectives gave it or its nearest relative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core.fabrics import Fabric, from_link
from training_moat.core.machine import Chip, Link

TABLE = "calibration_collectives"

CONSTANTS = (
    "efficiency",
    "step_latency_s",
    "launch_s",
    "eager_efficiency",
    "bulk_step_latency_s",
    "bulk_launch_s",
    "in_network_efficiency",
)
"""Fields of `Fabric` that measurements set."""

FABRICS = "measured_fabrics"
BETWEEN = "fat_tree"
"""Topology of a network between servers."""
BUS = "host"
"""Topology of the bus of a server: the measured one stands for it, whatever its generation."""
OPTICALLY_SWITCHED = "google"
"""Families, by how their names begin, whose cubes of chips optical switches join: TPU v4 and those after it with three axes."""


@tables.kept()
def measured() -> pd.DataFrame:
    """The measured fabrics by their keys."""
    return tables.load(FABRICS).set_index("fabric")


@tables.kept()
def stored() -> dict[str, dict[str, float]]:
    """The fitted constants of the table, by fabric and name."""
    frame = tables.load(TABLE)
    frame = frame[frame["constant"].isin(CONSTANTS)]
    return {
        name: dict(zip(group["constant"], group["value"]))
        for name, group in frame.groupby("fabric")
    }


@tables.kept()
def _of_family() -> dict[str, dict[str, float]]:
    """The constants that stand for a chip family's scale-up network: its own, or the maker's nearest generation's."""
    return {
        family: stored()[fabric] for family, fabric in tables.listed(FABRICS, "families").items()
    }


def scaleup_fabric(chip: Chip) -> Fabric | None:
    """The chip's scale-up network with the constants of its family, else the generic ones."""
    if chip.scaleup is None:
        return None
    if chip.scaleup.topology == "host":
        return host_fabric(chip.scaleup)
    found = from_link(chip.scaleup, **(_of_family().get(chip.family) or _stored_generic(False)))
    cubes = found.topology == "torus3d" and chip.family.startswith(OPTICALLY_SWITCHED)
    return replace(found, sliced=1) if cubes else found


def host_fabric(link: Link) -> Fabric:
    """The bus of a server with the constants of the measured one."""
    return from_link(link, **_of_bus())


@tables.kept()
def _of_bus() -> dict[str, float]:
    known = measured()
    return stored()[known.index[known["topology"] == BUS][0]]


def scaleout_fabric(chip: Chip) -> Fabric | None:
    """The chip's scale-out network with the median constants of the measured ones."""
    return None if chip.scaleout is None else scaleout_link(chip.scaleout)


def scaleout_link(link: Link) -> Fabric:
    """A scale-out link with the median constants of the measured scale-out networks."""
    return from_link(link, **_stored_generic(True))


def by_kernels(fabric: Fabric, kernels: str) -> Fabric:
    """A network as kernels use it that were timed on one like it: its own links with their constants."""
    constants: dict[str, Any] = dict(stored()[kernels])
    return replace(fabric, **constants)


@tables.kept()
def _stored_generic(scaleout_only: bool) -> dict[str, float]:
    between = measured()["topology"] == BETWEEN
    return generic({n: one for n, one in stored().items() if between[n] or not scaleout_only})


def generic(constants: dict[str, dict[str, float]]) -> dict[str, float]:
    """Constants for a fabric nobody measured: the median over the measured ones but the bus of a server and kernels of
    engines, no reduction in the switch."""
    known = measured()
    apart = (known["topology"] == BUS) | (known["kernels"] == 1)
    networks = [one for name, one in constants.items() if not apart[name]]
    values = {key: float(np.median([one[key] for one in networks])) for key in CONSTANTS}
    return {**values, "in_network_efficiency": 0.0}
