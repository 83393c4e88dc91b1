"""The fabric of a chip, with the constants that measured collectives gave it or its nearest relative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

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

TOPOLOGY = {
    "nvlink3": "switched",
    "nvlink4": "switched",
    "nvlink5": "switched",
    "xgmi": "mesh",
    "pcie5": "host",
}
"""Topology of the fabrics inside a server; the others are fat trees."""

KERNELS = ("deepep-ib",)
"""Measured constants of an engine's own kernels on a network, which speak for no other exchange."""

HOST = "pcie5"
"""Measured fabric that stands for the bus of a server, whatever its generation."""


@tables.kept(TABLE)
def stored() -> dict[str, dict[str, float]]:
    """The fitted constants of the table, by fabric and name."""
    frame = tables.load(TABLE)
    frame = frame[frame["constant"].isin(CONSTANTS)]
    return {
        name: dict(zip(group["constant"], group["value"]))
        for name, group in frame.groupby("fabric")
    }


FABRIC_OF_FAMILY = {
    "nvidia-volta": "nvlink3",
    "nvidia-ampere": "nvlink3",
    "nvidia-hopper": "nvlink4",
    "nvidia-blackwell": "nvlink5",
    "nvidia-rubin": "nvlink5",
    "amd-cdna2": "xgmi",
    "amd-cdna3": "xgmi",
    "amd-cdna4": "xgmi",
}
"""Measured scale-up fabric that stands for a chip family: its own, or the vendor's nearest generation."""


def scaleup_fabric(chip: Chip) -> Fabric | None:
    """The chip's scale-up network with the constants of its family, else the generic ones."""
    if chip.scaleup is None:
        return None
    if chip.scaleup.topology == "host":
        return host_fabric(chip.scaleup)
    own = stored().get(FABRIC_OF_FAMILY.get(chip.family, ""))
    return from_link(chip.scaleup, **(own or _stored_generic(False)))


def host_fabric(link: Link) -> Fabric:
    """The bus of a server with the constants of the measured one."""
    return from_link(link, **stored()[HOST])


def scaleout_fabric(chip: Chip) -> Fabric | None:
    """The chip's scale-out network with the median constants of the measured ones."""
    return None if chip.scaleout is None else scaleout_link(chip.scaleout)


def scaleout_link(link: Link) -> Fabric:
    """A scale-out link with the median constants of the measured scale-out networks."""
    return from_link(link, **_stored_generic(True))


def by_kernels(fabric: Fabric, kernels: str) -> Fabric:
    """A network as kernels use it that were timed on one like it (`KERNELS`): its own links with their constants."""
    constants: dict[str, Any] = dict(stored()[kernels])
    return replace(fabric, **constants)


@tables.kept(TABLE)
def _stored_generic(scaleout_only: bool) -> dict[str, float]:
    known = stored().items()
    return generic({name: one for name, one in known if not (scaleout_only and name in TOPOLOGY)})


def generic(constants: dict[str, dict[str, float]]) -> dict[str, float]:
    """Constants for a fabric nobody measured: the median over the measured ones but the bus of a server and kernels of
    engines, no reduction in the switch."""
    networks = [one for name, one in constants.items() if name not in (HOST, *KERNELS)]
    values = {key: float(np.median([one[key] for one in networks])) for key in CONSTANTS}
    return {**values, "in_network_efficiency": 0.0}
