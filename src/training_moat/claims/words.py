"""The claims chapter's computed sentences and titles."""

from __future__ import annotations

from training_moat.claims import base, closest_table, relative
from training_moat.claims.base import VERDICTS, Finding

NOUN = {
    "market": "the market",
    "memory": "memory",
    "networking": "networking",
    "precision": "low precision and moving",
    "history": "what happened",
}


def tally(findings: dict[str, Finding]) -> str:
    """The chapter's answer: how many claims got which verdict."""
    counts = {
        verdict: sum(one.verdict == verdict for one in findings.values()) for verdict in VERDICTS
    }
    tests = sum(len(one.tests) for one in findings.values())
    return (
        f"Of the article's {len(findings)} claims our evidence supports **{counts['supported']}**, supports in part "
        f"**{counts['partly']}**, contradicts **{counts['contradicted']}** and leaves **{counts['open']}** open. "
        f"They were judged by {tests} tests, each with a stated threshold and the reason for it."
    )


def counts_title(findings: dict[str, Finding]) -> str:
    """Title of the chart of verdicts by argument."""
    partly = sum(one.verdict == "partly" for one in findings.values())
    return f"{partly} of {len(findings)} claims are right only in part"


def argument(findings: dict[str, Finding], name: str) -> str:
    """One argument in a sentence: verdicts of its claims and its tests passed and failed."""
    own = [one for one in findings.values() if one.argument == name]
    tests = [test for one in own for test in one.tests]
    passed = sum(test.outcome in (base.YES, base.PROBABLY) for test in tests)
    failed = sum(test.outcome in (base.NO, base.PROBABLY_NOT) for test in tests)
    wrong = [one.claim_id for one in own if one.verdict == "contradicted"]
    tail = f" Contradicted: {', '.join(wrong)}." if wrong else " None is contradicted outright."
    supported = sum(one.verdict == "supported" for one in own)
    return (
        f"On {NOUN[name]} the article makes {len(own)} claims; **{supported}** stand in full. Of their {len(tests)} tests "
        f"{passed} pass, {failed} fail and {len(tests) - passed - failed} could not be decided.{tail}"
    )


def argument_title(findings: dict[str, Finding], name: str) -> str:
    """Title of the chart of one argument's tests."""
    frame = relative(findings)
    frame = frame[frame["argument"] == name]
    return (
        f"{int((frame['value'] >= 1).sum())} of {len(frame)} quantities reach the claim's threshold"
    )


def nearest(findings: dict[str, Finding]) -> str:
    """Where a verdict could turn first, in a sentence."""
    first = closest_table(findings, 1).iloc[0]
    return (
        f"The result nearest to its threshold belongs to claim {first['claim']}: {first['quantity'][0].lower()}"
        f"{first['quantity'][1:]}, found {first['found']} against {first['the claim holds if it is']}."
    )
