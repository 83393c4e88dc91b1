"""Which software sent each measured run's tokens to their experts, and how evenly: as the row says, else as the recipe that
was published for it does (table training_dispatchers), else as its stack usually does."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.predict import usual_dispatchers
from training_moat.predict.software import DISPATCHERS, SENDS, Software
from training_moat.predict.training_settings import TokenExchange

TABLE = "training_dispatchers"

SAID = {
    "DeepEP": "deepep",
    "HybridEP": "hybridep",
    "(?:NCCL|own|ragged) all-to-all|all-to-all dispatcher": "all-to-all",
}
"""How a row's notes name a dispatcher."""
OVERLAPPED = "dispatch overlapped|exchange between experts overlapped|1F1B (?:expert )?(?:all-to-all )?overlap(?: on|;|$)"
"""How a row's notes say that one micro-batch's exchange runs beside another's computing."""
SEPARATE = "dispatch not overlapped|1F1B overlap off|no all-to-all overlap"
"""How they say that none does."""
BALANCED = (
    "forced balance|force-balanced|forced to balance|balanced by force|balanced routing|spread evenly"
    "|random routing|capacity factor|fixed capacity|expert's capacity"
)
"""How they say that experts get equal shares of the tokens."""
UNEVEN = "natural routing"
"""How they say that the router decides, as it does where nothing is said."""

CAPACITY = r"capacity factor (\d+(?:\.\d+)?)"
"""How they say to which multiple of its share of the tokens an expert is padded, or beyond which it drops them."""

FIELDS = TokenExchange._fields
"""What a plan says of its dispatcher, in the order of `told`'s columns."""


def told(frame: pd.DataFrame, stacks: dict[str, Software]) -> pd.DataFrame:
    """The columns `FIELDS` of measured runs, which have a `label` of software and when it was `released`, a `source`, their
    `table_ref`, a `model_id`, a `chip_id` and `notes`."""
    capacity, chips = _capacity(frame, stacks), chip_catalog.all_chips()
    sends, nobody = list(SENDS), (0.0,) * len(SENDS)
    ran = zip(frame["label"], frame["chip_id"], frame["released"], capacity > 0, strict=True)
    usual = [
        usual_dispatchers.sends(stacks[label], chips.get(chip), *rest)
        if label in stacks
        else nobody
        for label, chip, *rest in ran
    ]
    found = pd.DataFrame(usual, frame.index, sends).assign(overlapped_exchange=0.0)
    found = found.assign(uneven_routing=1.0, expert_capacity=capacity)[list(FIELDS)]
    for line in tables.load(TABLE).itertuples():
        own = covered(frame, line)
        if pd.notna(line.dispatcher):
            found.loc[own, sends] = DISPATCHERS[line.dispatcher]
        if pd.notna(line.overlapped):
            found.loc[own, "overlapped_exchange"] = float(line.overlapped)
        if pd.notna(line.balanced):
            found.loc[own, "uneven_routing"] = 1 - float(line.balanced)
    notes = frame["notes"].fillna("").str
    for words, kind in SAID.items():
        found.loc[notes.contains(words), sends] = DISPATCHERS[kind]
    found.loc[notes.contains(OVERLAPPED), "overlapped_exchange"] = 1.0
    found.loc[notes.contains(SEPARATE), "overlapped_exchange"] = 0.0
    found.loc[notes.contains(BALANCED), "uneven_routing"] = 0.0
    found.loc[notes.contains(UNEVEN), "uneven_routing"] = 1.0
    return found


def _capacity(frame: pd.DataFrame, stacks: dict[str, Software]) -> pd.Series:
    """What experts are padded to: where notes tell of a factor, and that they are padded or software that does no other way.
    Megatron-Core drops tokens without padding what is left (`moe_pad_expert_input_to_capacity`, off unless it is asked for)."""
    notes = frame["notes"].fillna("").str
    own = {name for name, one in stacks.items() if one.pads_by_masks}
    factor = notes.extract(CAPACITY, expand=False).astype(float)
    return factor.where(notes.contains("padding|padded") | frame["label"].isin(own)).fillna(0.0)


def covered(frame: pd.DataFrame, line: Any) -> pd.Series:
    """The runs that a line of this table, or of one with such columns, speaks of; a blank or missing column: any."""
    own = frame["source"] == line.training_source
    for asked, column in (("models", "model_id"), ("chips", "chip_id"), ("formats", "format")):
        names = getattr(line, asked, None)
        if isinstance(names, str):
            own &= frame[column].isin(names.split(";"))
    if isinstance(line.releases, str):
        # As sources write a container's release: "26.04 NeMo Container", beside "26.04.01 NeMo Container".
        words = "|".join(rf"\b{re.escape(one)} NeMo" for one in line.releases.split(";"))
        own &= frame["table_ref"].fillna("").str.contains(words)
    return own
