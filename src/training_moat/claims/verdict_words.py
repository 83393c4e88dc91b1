"""The first page in words: every sentence computed from the verdict table and the validation."""

from __future__ import annotations

import pandas as pd

from training_moat import claims
from training_moat.calibrate import training_errors
from training_moat.inquiry.uncertainty import Probability

ORDER = ("supported", "partly", "contradicted", "open")
HOLDS = {
    "supported": "holds",
    "partly": "holds in part",
    "contradicted": "is contradicted by the evidence",
    "open": "cannot be settled with what is published",
}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _plural(verb: str, count: int) -> str:
    if count == 1:
        return verb
    return verb.replace("holds", "hold", 1).replace("is contradicted", "are contradicted", 1)


def headline(table: pd.DataFrame) -> str:
    """One sentence: how the four arguments fare and what the market number is."""
    parts = []
    for verdict in ORDER:
        names = [
            title[0].lower() + title[1:] if not title.startswith("Nvidia") else title
            for title in table.loc[table["verdict"] == verdict, "title"]
        ]
        if names:
            parts.append(f"{_listed(names)} {_plural(HOLDS[verdict], len(names))}")
    market = table.set_index("argument").loc["market"]
    chance = Probability(float(market["probability"]), 0.0).percent()
    return (
        f"Of the article's four arguments, {'; '.join(parts)}. In 2025 inference took **{market['number']}** the AI "
        f"computing that training took, research included (90% range {market['range']}); the chance that it is "
        f"ten times is {chance}."
    )


def shown_table(table: pd.DataFrame) -> pd.DataFrame:
    """The four arguments as a reader sees them: what decides each, our number, the verdict."""
    columns = {
        "title": "argument",
        "quantity": "what decides it",
        "number": "our number",
        "range": "90% range",
        "threshold": "it would hold if",
        "verdict": "verdict",
    }
    return table[list(columns)].rename(columns=columns)


def flips_table(table: pd.DataFrame) -> pd.DataFrame:
    """What the article says of each argument, and what would turn our verdict."""
    columns = {
        "title": "argument",
        "article_says": "the article says",
        "flips": "what would flip our verdict",
    }
    return table[list(columns)].rename(columns=columns)


def claims_title(counts: pd.DataFrame) -> str:
    """Finding of the claims chart."""
    total = int(counts["claims"].sum())
    by_verdict = counts.groupby("verdict")["claims"].sum()
    return f"Of {total} claims in the article {by_verdict.get('supported', 0)} hold, {by_verdict.get('partly', 0)} hold in part"


def trust() -> str:
    """How far the training model is off on runs whose source it never saw, beside a constant."""
    rows = training_errors.dense_nvidia()
    unseen, plain = rows["unseen_source_error"].abs().mean(), rows["constant_error"].abs().mean()
    return (
        f"On {len(rows)} published training runs on Nvidia chips, each predicted by a model that never saw its source, the step time is off by "
        f"**{unseen:.1%}** on average; assuming a constant share of peak is off by {plain:.0%}."
    )


def sources(table: pd.DataFrame, most: int = 12) -> list[str]:
    """The first few sources behind each argument; the claims chapter names all."""
    found = [
        key
        for cell in table["sources"]
        for key in str(cell).split(";")[: max(1, most // len(table))]
    ]
    return list(dict.fromkeys(found))


def counts() -> pd.DataFrame:
    """Claims by argument and verdict."""
    return claims.counts()
