"""Chips of the table as core objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

from training_moat.catalog import descriptor, machine_names, scenario, spelling, tables
from training_moat.core.errors import InputError, unknown
from training_moat.core.machine import Chip, Link, Tier
from training_moat.core.units import BITS_PER_BYTE, GB, GIB, MIB, TB, TERA

PEAK_COLUMNS = {
    "fp32": "fp32_tflops",
    "tf32": "tf32_tflops",
    "fp16": "fp16_tflops",
    "bf16": "bf16_tflops",
    "fp8": "fp8_tflops",
    "fp6": "fp6_tflops",
    "fp4": "fp4_tflops",
    "int8": "int8_tops",
}
"""Number format and the column of its dense peak."""

LINK_KIND = {"scaleup": "nvlink", "scaleout": "network", "host": "pcie"}
"""Which published step latency stands for each kind of link until one is calibrated."""

TOPOLOGIES = {"scaleup": "switched", "scaleout": "fat_tree"}
"""Kinds of links, and the topology of one of which nothing is published."""

TRAINS = {"yes": True, "withdrawn": True, "no": False}
"""Whether the silicon was offered for training, from the column `supports_training`."""

Row: TypeAlias = "pd.Series | Mapping[str, Any]"
"""A row of the table, typed, by its columns."""

GBIT = 1e9 / BITS_PER_BYTE
"""Bytes in a gigabit."""

_SIZED = re.compile(r"(?P<chip>.+?)[\s_(-]+(?P<gb>\d+)\s*G(?:i?B)?\)?", re.IGNORECASE)
"""A chip's name with the size of its memory behind it: "A100-80G", "H200 141GB", "A100 (40G)"."""

_SOCKET = re.compile(r"^sxm\d?$")
_UNSAID = frozenset({"nvidia", "tesla", "amd", "intel", "gpu", "gpus"})
"""Words of a chip's name that tell nothing of which it is."""

MEMORIES = ("hbm_gb", "ddr_gb")
SAME_MEMORY = 0.1
"""By how much of it a size behind a chip's name may differ from its row's: a B200 is said to have 180 GB where
8 stand in a box and 192 GB on the chip; no chip of the table is sold with two sizes as near as that."""

_GENERATION = re.compile(r"\d+X?$")
"""The end of the name of a kind of memory: GDDR6X is GDDR."""


def frame() -> pd.DataFrame:
    """The chips table, the active scenario's chips included."""
    return tables.load("chips")


def not_as_new(price_note: object) -> bool:
    """Whether a price of the table is not that of a new chip, by its note: nobody can buy the chip, so that the figure is its
    owner's cost, or it is what used ones cost later."""
    return any(word in str(price_note) for word in ("not sold", "used"))


@tables.kept()
def _of_systems() -> dict[str, frozenset[str]]:
    """Chips whose price, and whose power, in the table are those of a whole system."""
    frame = tables.load("cost_scopes")
    told = {what: frame[f"{what}_covers"] == "system" for what in ("price", "power")}
    return {what: frozenset(frame.loc[whole, "chip_id"]) for what, whole in told.items()}


def covers_system(one: Chip, what: str) -> bool:
    """Whether a chip's "price" or "power" is its part of a whole system, not that of the chip alone: as the table says of it,
    or of the chip that a scenario's was made from."""
    return one.measured_as in _of_systems()[what]


def resolve(name: str, where: str = "") -> str:
    """The id that a name or any other spelling means; InputError with the nearest id otherwise."""
    return _resolve(str(name), where)


def chip(name: str) -> Chip:
    """One chip by id, name or a spelling used by a measurement. Raises InputError for an unknown one."""
    return all_chips()[resolve(name)]


def of_rows(ids: pd.Series) -> pd.Series:
    """The chip of every row of a column that names one; each is looked up once."""
    return ids.map({name: chip(name) for name in ids.unique()})


def families(ids: pd.Series) -> pd.Series:
    """The architecture family of the chip of every row of a column that names one."""
    return of_rows(ids).map(lambda one: one.family)


@tables.kept()
def all_chips() -> dict[str, Chip]:
    """All chips by id, the active scenario's included, in table order."""
    bases = scenario.bases("chips")
    origin = {name: scenario.line_of(name, bases)[-1] for name in bases}
    return {name: build(row, origin.get(name, "")) for name, row in _records().items()}


def row(chip_id: str) -> Mapping[str, Any]:
    """The row of the table by its columns, NaN where it is blank; empty where there is no such chip."""
    return _records().get(chip_id, {})


def multiplies_floats(chip: Chip) -> bool:
    """Whether any published peak is of a floating-point format; a four-bit one of a chip that lacks FP8 is of integers that
    share an exponent."""
    if any(chip.peak_flops.get(name) for name in ("bf16", "fp16", "fp8")):
        return True
    lacks = str(row(chip.measured_as).get("formats_not_supported"))
    return bool(chip.peak_flops.get("fp4")) and "fp8" not in lacks


def integers_alone(chip: Chip) -> str:
    """In words that a chip multiplies no floating-point numbers, with its formats; blank where it does, or where no peak is
    published. A four-bit rate of such a chip is one of integers that share an exponent (MXINT4)."""
    if multiplies_floats(chip) or not any(chip.peak_flops.values()):
        return ""
    names = [
        name.upper().replace("FP4", "MXINT4") for name, peak in chip.peak_flops.items() if peak
    ]
    return f"it multiplies integers alone ({' and '.join(names)})"


def from_record(record: Mapping[str, Any]) -> Chip:
    """A chip from a mapping with the table's columns, `base` naming a chip whose values it keeps elsewhere.

    Raises InputError for unknown columns, unknown bases and values outside the table's schema.
    """
    row, base = scenario.entry("chips", record, "chip"), scenario.base_of("chips", record, "chip")
    return build(row, all_chips()[base].measured_as if base and base != row["id"] else "")


def build(row: Row, variant_of: str = "") -> Chip:
    """A core chip from one typed row of the table, of a user's chip with the id of the one that it was made from."""
    known = {name: row[column] for name, column in PEAK_COLUMNS.items()}
    peaks = {name: float(value) * TERA for name, value in known.items() if pd.notna(value)}
    return Chip(
        id=row["id"],
        name=row["name"],
        vendor=row["vendor"],
        peak_flops=peaks,
        tiers=_tiers(row),
        scaleup=_link(row, "scaleup", _rate(row["scaleup_gb_per_s_per_direction"], GB)),
        scaleout=_link(row, "scaleout", _rate(row["scaleout_gbit_per_s_per_chip"], GBIT)),
        tdp_w=_optional(row["tdp_w"]),
        price_usd=_optional(row["price_usd"]),
        cloud_usd_per_h=_optional(row["cloud_usd_per_h"]),
        available=_optional(row["available"]),
        supports_training=TRAINS[row["supports_training"]],
        family=row["family"],
        matrix_unit=_optional(row["matrix_unit_width"]),
        notes=tuple(filter(None, [_optional(row["notes"])])),
        variant_of=variant_of,
        **_use(row, variant_of or row["id"]),
    )


def _use(row: Row, known_as: str) -> dict[str, Any]:
    """How the maker uses the chip's tiers, and how many chips one system joins."""
    homes, streamed = _homes()
    family = row["family"]
    flows = frozenset(streamed.get(family, ()))
    own = homes.get(family, {})
    if _optional(row["hbm_gb"]) and _optional(row["hbm_tb_per_s"]):
        # A scenario may put HBM beside a chip whose family has none: it is used where weights are not streamed.
        own = {
            job: names if job in flows or "hbm" in names else (*names, "hbm")
            for job, names in own.items()
        }
    return {
        "homes": dict(own),
        "streamed": flows,
        "largest_system": _systems().get(known_as),
        "domain_chips": _optional(row["scaleup_domain_chips"]),
        "host": _hosts().get(known_as),
    }


@tables.kept()
def _hosts() -> dict[str, Link]:
    """The bus of the server of each chip whose scale-up link joins fewer."""
    latency = step_latency_s("host")
    return {
        row.chip_id: Link(row.gb_per_s_per_direction * GB, latency, float(row.chips), "host")
        for row in tables.load("host_links").itertuples()
    }


@tables.kept()
def _homes() -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, list[str]]]:
    """By family: the tiers that hold each job, and the jobs whose weights are streamed."""
    homes: dict[str, dict[str, tuple[str, ...]]] = {}
    streamed: dict[str, list[str]] = {}
    use = tables.load("memory_use")
    for row in use.itertuples():
        homes.setdefault(row.family, {})[row.job] = tuple(row.home.split(descriptor.SEPARATOR))
        if row.streamed == "yes":
            streamed.setdefault(row.family, []).append(row.job)
    return homes, streamed


@tables.kept()
def _systems() -> dict[str, float]:
    """Chips of the largest system that is known of each chip."""
    known = tables.load("largest_systems").dropna(subset="chips")
    return dict(zip(known["chip_id"], known["chips"].astype(float), strict=True))


def _optional(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value if isinstance(value, str) else float(value)


def _rate(value: float, unit: float) -> float | None:
    return None if pd.isna(value) else float(value) * unit


def _tiers(row: Row) -> tuple[Tier, ...]:
    """The memory tiers with a published capacity above zero, fastest first.

    Data sheets say GB and MB for capacities in powers of two: an "80 GB" H100 reports 79.6 GiB, an MI300X of
    "192 GB" 192.0 GiB. Bandwidths are decimal.
    """
    beside = _GENERATION.sub("", _optional(row["ddr_type"]) or "")
    sizes = (
        ("sram", _rate(row["sram_mb"], MIB), _rate(row["sram_tb_per_s"], TB), ""),
        ("hbm", _rate(row["hbm_gb"], GIB), _rate(row["hbm_tb_per_s"], TB), ""),
        ("ddr", _rate(row["ddr_gb"], GIB), _rate(row["ddr_gb_per_s"], GB), beside),
    )
    return tuple(Tier(name, size, rate, kind) for name, size, rate, kind in sizes if size)


def _link(row: Row, kind: str, bytes_per_s: float | None) -> Link | None:
    """The link of a kind, of which a chip's row says the shape; None where no rate is published."""
    if bytes_per_s is None:
        return None
    topology = _optional(row[f"{kind}_topology"]) or TOPOLOGIES[kind]
    latency = step_latency_s("host" if topology == "host" else kind)
    domain = _optional(row["scaleup_domain_chips"]) if kind == "scaleup" else None
    return Link(bytes_per_s, latency, domain, topology)


def step_latency_s(link: str) -> float:
    """Seconds one step of a small message takes on a kind of link (`scaleup`, `scaleout`, `host`), as NCCL's
    cost model has it for its low-latency protocol (table link_latencies)."""
    return _latencies()[LINK_KIND[link]]


@tables.kept()
def _latencies() -> dict[str, float]:
    """Seconds of a low-latency step, by kind of link; of several rows the first counts."""
    rows = tables.load("link_latencies")
    rows = rows[rows["protocol"] == "ll"].drop_duplicates("link")
    return dict(zip(rows["link"], rows["latency_us"].astype(float) * 1e-6, strict=True))


@tables.kept()
def _records() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in frame().to_dict("records")}


@tables.kept(size=4096)
def _resolve(name: str, where: str) -> str:
    found = _named(name) or (of_machine(name) or (None, 0))[0]
    if found is None:
        raise (
            _of_maker(name, where)
            or _of_other_memory(name, where)
            or spelling.unlisted("chip", name, _spellings(), where)
        )
    return found


def _named(name: str) -> str | None:
    """The id of the chip that a spelling means, with its memory behind it or its words in another order; None for none."""
    found = _spellings().get(spelling.normal(name)) or _with_its_memory(name)
    return found or _in_any_order().get(_parts(name))


@tables.kept(size=1024)
def of_machine(name: str) -> tuple[str, int] | None:
    """(id of the chip, how many of it) of a machine, of a slice or of so many chips ("trn2.48xlarge", "v6e-8", "8x H100");
    None for the name of a chip, and for one that is unknown."""
    if _named(name):
        return None
    if found := machine_names.chips_in(name) or _behind_its_maker(name):
        return found if found[0] in _records() else None
    many = machine_names.several(name)
    one = many and _named(many[0])
    return (one, many[1]) if many and one else None


def _behind_its_maker(name: str) -> tuple[str, int] | None:
    """What stands behind the name of its chip's maker ("NVIDIA DGX B200")."""
    maker, _, rest = name.strip().partition(" ")
    found = machine_names.chips_in(rest)
    made = found and _records().get(found[0], {}).get("vendor")
    return found if made and spelling.normal(str(made)) == spelling.normal(maker) else None


def _with_its_memory(name: str) -> str | None:
    """The chip of a name with the size of its own memory behind it, however the unit is written."""
    said = _SIZED.fullmatch(name.strip())
    if said is None:
        return None
    for plain in (f"{said['chip']} {said['gb']}GB", said["chip"]):
        chip_id = _spellings().get(spelling.normal(plain))
        if chip_id is None:
            continue
        if _has(chip_id, float(said["gb"])):
            return chip_id
    return None


def _of_other_memory(name: str, where: str) -> InputError | None:
    """The error for a known chip's name with a size behind it that is not its memory's: it names the chips that the name begins
    and that have as much, or else the object that is such a chip."""
    said = _SIZED.fullmatch(name.strip())
    chip_id = said and int(said["gb"]) and _named(said["chip"])
    if not said or not chip_id:
        return None
    size = int(said["gb"])
    alike = sorted(
        {row for row in spelling.begun_by(said["chip"], _spellings()) if _has(row, size)}
    )
    if alike:
        return unknown("chip", name, (), where, alike)
    column = next((each for each in MEMORIES if _records()[chip_id][each] > 0), None)
    own = f'{{"base": "{chip_id}", "{column}": {size}}}'
    return unknown("chip", name, (), where, (own,)) if column else None


def _has(chip_id: str, size: float) -> bool:
    """Whether a chip has a memory of so many GB."""
    own = [_records()[chip_id][column] for column in MEMORIES]
    return any(abs(size - each) <= SAME_MEMORY * each for each in own)


def _parts(name: str) -> frozenset[str]:
    """The words of a chip's name, whatever their order, the maker's and the socket's generation left out: those of "NVIDIA A100
    80GB SXM" are those of "A100 SXM4 80 GB"."""
    joined = re.sub(r"(\d)\s*GB\b", r"\1gb", name, flags=re.IGNORECASE).lower()
    words = (_SOCKET.sub("sxm", word) for word in re.findall(r"[a-z0-9.]+", joined))
    return frozenset(word for word in words if word not in _UNSAID)


@tables.kept()
def _in_any_order() -> dict[frozenset[str], str]:
    """The chip that the words of a spelling mean in any order, where they mean one."""
    found: dict[frozenset[str], set[str]] = {}
    for row in frame()[["id", "name", "aliases"]].itertuples(index=False):
        for cell in row:
            for said in cell.split(spelling.ALIAS_SEPARATOR) if isinstance(cell, str) else ():
                found.setdefault(_parts(said), set()).add(row.id)
    return {words: min(ids) for words, ids in found.items() if len(ids) == 1 and len(words) > 1}


def _of_maker(name: str, where: str) -> InputError | None:
    """The error for the name of a maker or of a family ("Blackwell") where a chip's is expected: it names the chips."""
    rows, asked = frame(), spelling.normal(name)
    family = rows["family"].astype(str)
    told = {
        "a maker": rows["vendor"].astype(str).map(spelling.normal) == asked,
        "a family": family.str.partition("-")[2].map(spelling.normal) == asked,
    }
    place = f"{where}: " if where else ""
    for kind, own in told.items():
        if asked and own.any():
            ids = ", ".join(rows.loc[own, "id"])
            return InputError(f"{place}'{name}' is {kind} of chips; expected one of its own: {ids}")
    return None


@tables.kept()
def _spellings() -> dict[str, str]:
    return spelling.ids_by_spelling(frame())
