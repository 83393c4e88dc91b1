"""How serving engines send tokens to experts on many chips (table serving_engines), and over which network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training_moat.catalog import tables
from training_moat.core.fabrics import Fabric
from training_moat.core.machine import Chip
from training_moat.core.serving_exchange import Exchange
from training_moat.core.serving_memory import ServingPlan
from training_moat.predict import interconnect
from training_moat.predict.records import stacked_once
from training_moat.predict.serving_constants import maker

TABLE = "serving_engines"


@dataclass(frozen=True)
class ExpertExchange:
    """One engine's exchange among more than `beyond_chips` chips of a maker; fields are those of the table.

    `sent_bytes`, `returned_bytes`: bytes of one value on its way to the experts and back; `micro_batches`: parts in which a
    batch may be worked off in turns; `kernels`: the measured constants of the engine's own kernels between servers
    (`interconnect.by_kernels`), empty where none are known.
    """

    engine: str
    chip_maker: str
    beyond_chips: float
    sent_bytes: float
    returned_bytes: float
    micro_batches: float
    kernels: str

    def takes(self, plan: ServingPlan) -> bool:
        """Whether the experts of a plan are spread that widely over chips with attention copies of their own."""
        return bool(plan.expert_chips > max(self.beyond_chips, plan.tp))


def of_engine(asked: Any, calibrated: str, chip: Chip) -> ExpertExchange | None:
    """The exchange of an engine on a chip: by its `calibrated` name, or as a caller `asked` where it has no constants of its
    own; None where nothing is known of it on chips of that maker."""
    known = _all()
    spoken = asked.strip().lower() if isinstance(asked, str) else ""
    found = known.get(calibrated) or known.get(spoken)
    return found if found and found.chip_maker == maker(chip.family) else None


@tables.kept()
def _all() -> dict[str, ExpertExchange]:
    frame = tables.load(TABLE).fillna({"kernels": ""})
    columns = list(ExpertExchange.__dataclass_fields__)
    return {row["engine"]: ExpertExchange(**row) for row in frame[columns].to_dict("records")}


def stacked(exchanges: list[ExpertExchange | None], own: list[Fabric]) -> Exchange | None:
    """The exchanges of many questions, each beside its `own` network between servers, as one of arrays; None where no
    question has one."""
    if not any(exchanges):
        return None
    usual = Exchange()
    columns = {
        name: np.array([float(getattr(one or usual, name)) for one in exchanges])
        for name in ("sent_bytes", "returned_bytes", "micro_batches")
    }
    used: dict[tuple[int, str], Fabric] = {}
    between = []
    for one, fabric in zip(exchanges, own, strict=True):
        key = (id(fabric), one.kernels if one else "")
        if key not in used:
            used[key] = interconnect.by_kernels(fabric, key[1]) if key[1] else fabric
        between.append(used[key])
    return Exchange(**columns, between=stacked_once(between))
