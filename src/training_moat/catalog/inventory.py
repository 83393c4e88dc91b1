"""What the tables hold: counts, units, how much is confirmed, and how old and how strong the sources are."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import descriptor, files, models, tables
from training_moat.core.units import BILLION
from training_moat.core.workload import derived_params

STRENGTHS = ("paper, benchmark or data set", "maker's own word", "press", "estimate or compilation")
"""How kinds of source are weighed (column strength of table source_kinds), strongest first: who could have checked them."""

CONFIRMED_WORDS = {
    "yes": "read in the source",
    "partly": "partly",
    "secondary": "second-hand only",
    "no": "not confirmed",
}
"""Values of the column `confirmed` in words."""

CHIP_FIGURES = {
    "16-bit peak": ("bf16_tflops", "fp16_tflops"),
    "8-bit peak": ("fp8_tflops", "int8_tops"),
    "on-chip memory": ("sram_mb",),
    "HBM capacity (or none)": ("hbm_gb",),
    "HBM bandwidth": ("hbm_tb_per_s",),
    "links inside the scale-up domain": ("scaleup_gb_per_s_per_direction",),
    "network beyond it": ("scaleout_gbit_per_s_per_chip",),
    "power": ("tdp_w",),
    "price": ("price_usd",),
    "rent": ("cloud_usd_per_h",),
}
"""Figures a buyer would ask for, and the columns any of which answers."""

WORKED_OUT = ("calibration_collectives", "calibration_serving", "peer_errors")
"""Tables whose rows the book worked out from its others: the sources that they name print no such number."""

RENT = "cloud_chip_hour"
"""Category of the rents in the table of prices."""

EPOCH = "epoch"
"""What keys of sources by Epoch AI start with."""


def overview() -> pd.DataFrame:
    """One row per table: table, title, rows, columns, sources (cited), confirmed (share of rows), epoch
    (whether rows come from Epoch AI), file (address relative to a chapter)."""
    return pd.DataFrame([_overview_row(name) for name in tables.names()])


def _overview_row(name: str) -> dict[str, object]:
    frame = files.read(name)
    about = descriptor.resource(name)
    cited = _cited(frame)
    told = frame["confirmed"] == "yes" if _says(name, frame) else pd.Series(dtype=float)
    return {
        "table": name,
        "title": about["title"],
        "rows": len(frame),
        "columns": len(frame.columns),
        "sources": cited.nunique(),
        "confirmed": float(told.mean()),
        "epoch": bool(cited.str.startswith(EPOCH).any()),
        "file": f"../data/{about['path']}",
    }


def _says(name: str, frame: pd.DataFrame) -> bool:
    """Whether a table's rows say how far their sources confirm them."""
    return "confirmed" in frame and name not in WORKED_OUT


def _cited(frame: pd.DataFrame) -> pd.Series:
    """Every citation of a table's main source column, one a row."""
    if "source" not in frame:
        return pd.Series(dtype="str")
    return frame["source"].dropna().str.split(descriptor.SEPARATOR).explode()


def columns() -> pd.DataFrame:
    """Every column of every table: table, column, unit, meaning."""
    rows = [
        (name, field["name"], field.get("unit", "1"), field["description"])
        for name in tables.names()
        for field in descriptor.fields(name)
    ]
    frame = pd.DataFrame(rows, columns=["table", "column", "unit", "meaning"])
    return frame.assign(unit=frame["unit"].replace("1", ""))  # blank for a pure number


def confirmation() -> pd.DataFrame:
    """Rows per table and value of `confirmed`, in words: table, confirmed, rows. Tables of `WORKED_OUT` are left out."""
    parts = []
    for name in tables.names():
        frame = files.read(name)
        if _says(name, frame):
            counts = frame["confirmed"].map(CONFIRMED_WORDS).value_counts()
            counted = counts.rename_axis("confirmed").reset_index(name="rows")
            parts.append(counted.assign(table=name))
    return pd.concat(parts, ignore_index=True)[["table", "confirmed", "rows"]]


def read_in(*standings: str) -> int:
    """Rows that were read in the sources they name, all of which stand so far from the fact (table source_kinds): press
    and compilations tell what others said, own ones are this book's runs and estimates."""
    standing = files.read("source_kinds").set_index("kind")["standing"]
    kinds = files.read("sources").set_index("key")["kind"].map(standing)
    count = 0
    for name in tables.names():
        frame = files.read(name)
        if _says(name, frame) and "source" in frame:
            rows = _cited(frame[frame["confirmed"] == "yes"]).map(kinds).isin(standings)
            count += int(rows.groupby(level=0).all().sum())
    return count


def dated_sources() -> pd.DataFrame:
    """Every published source with the columns `year` ("no date" where none is known) and `strength`."""
    frame, kinds = files.read("sources"), files.read("source_kinds").set_index("kind")["strength"]
    year = frame["published"].str.slice(0, 4).fillna("no date")
    return frame.assign(year=year, strength=frame["kind"].map(kinds)).dropna(subset="strength")


def sources_by_year() -> pd.DataFrame:
    """Sources per year of publication and strength: year, strength, sources."""
    return dated_sources().groupby(["year", "strength"]).size().rename("sources").reset_index()


def rows_by_source() -> pd.DataFrame:
    """Rows resting on each source, most first: source, title, publisher, rows."""
    cited = pd.concat([_cited(files.read(name)) for name in tables.names()])
    counted = cited.value_counts().rename_axis("source").reset_index(name="rows")
    titles = files.read("sources")[["key", "title", "publisher"]].rename(columns={"key": "source"})
    return counted.merge(titles, on="source", how="left")


def published_figures() -> pd.DataFrame:
    """Share of chips for which any source gives each figure: figure, share, chips. A chip without HBM needs
    no HBM bandwidth; rents stand in the table of prices too."""
    frame, prices = files.read("chips").copy(), files.read("prices")
    rents = prices[prices["category"] == RENT].groupby("chip_id")["value"].median()
    frame["cloud_usd_per_h"] = frame["cloud_usd_per_h"].fillna(frame["id"].map(rents))
    frame["hbm_tb_per_s"] = frame["hbm_tb_per_s"].where(frame["hbm_gb"] != 0, 0.0)
    shares = [
        float(frame[list(names)].notna().any(axis=1).mean()) for names in CHIP_FIGURES.values()
    ]
    return pd.DataFrame({"figure": list(CHIP_FIGURES), "share": shares, "chips": len(frame)})


def counted_weights() -> pd.DataFrame:
    """Models whose published count should follow from their shape: name, published_b, counted_b, error."""
    frame = files.read("models")
    sure = (frame["confirmed"] == "yes") & frame["params_b"].notna()
    frame = frame[sure & (frame["params_basis"] == "shape")].reset_index(drop=True)
    counted = [derived_params(models.model(row_id)) / BILLION for row_id in frame["id"]]
    told = {"name": frame["name"], "published_b": frame["params_b"], "counted_b": counted}
    return pd.DataFrame(told).assign(error=counted / frame["params_b"] - 1)


def corrections() -> pd.DataFrame:
    """What circulates and is not used here: place, circulates, used here, why, source."""
    frame = files.read("corrections")
    place = frame["table"] + ", " + frame["row"] + ", " + frame["column"]
    used = frame["now"].fillna("nothing")
    shown = {"place": place, "circulates": frame["was"], "used here": used, "why": frame["reason"]}
    return pd.DataFrame(shown | {"source": frame["source"]})


def disagreements() -> pd.DataFrame:
    """Chips whose sources give different memory figures: chip, quantity, low, used, high, source; widest first."""
    frame = files.read("chips")
    parts = []
    figures = {"HBM capacity (GB)": "hbm_gb", "HBM bandwidth (TB/s)": "hbm_tb_per_s"}
    for quantity, column in figures.items():
        ends = frame[["name", f"{column}_low", column, f"{column}_high", "source_memory"]]
        ends = ends.dropna(subset=[column, f"{column}_high"])
        ends.columns = ["chip", "low", "used", "high", "source"]
        parts.append(ends.assign(quantity=quantity))
    found = pd.concat(parts, ignore_index=True)
    found = found.assign(spread=found["high"] / found["low"])
    return found.sort_values("spread", ascending=False, ignore_index=True, kind="stable")
