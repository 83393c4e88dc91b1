"""What decides for how many of the challengers, in numbers and in words."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

from training_moat.contest import counterfactual, deciding
from training_moat.contest.chip_factors import GROUPS
from training_moat.inquiry.wording import digits


def test_a_decision_counts_every_challenger_once():
    found = counterfactual.splits(["groq-lpu-v1", "bow-ipu", "mi250x"])
    for one in deciding.decisions(found):
        assert len(one.yes) + len(one.no) + len(one.without) == 3
        assert one.low <= one.value <= one.high
    memory = deciding.decision("memory", found)
    assert any("Groq" in name for name in memory.yes)


def test_what_decides_in_words_covers_every_startup_that_is_behind():
    young = deciding.of_startups(counterfactual.splits())
    behind, words = [one for one in young if one.behind], deciding.in_full(young)
    assert behind and all(one.chip.vendor not in ("NVIDIA", "AMD") for one in young)
    decided = {
        one.name: [name for name in deciding.CAUSES if one.decides(name)]
        for one in behind
        if any(one.decides(name) for name in deciding.CAUSES)
    }
    assert words.startswith("for ") and "by memory" in words and "by number formats" in words
    assert all(name in words for name, causes in decided.items() if len(causes) > 1), "told twice"
    causes, _, rest = words.partition(". ")
    told = [int(count) for count in re.findall(r"for (\d+)", causes)]
    assert sum(told) == len(decided), "every chip counts once"
    assert len(deciding.makers(behind)) < len(behind), "some makers are there with several chips"
    others = [
        int(count)
        for count in re.findall(r"for (\d+)|; (\d+) needed", rest)
        for count in count
        if count
    ]
    assert rest.startswith(f"Of the other {len(behind) - len(decided)}, "), (
        "and each other one once"
    )
    assert sum(others) == len(behind) - len(decided)


def test_what_most_often_closes_half_of_a_gap_is_counted_over_all_qualities():
    """The first page named the article's causes with their counts and hid that software alone decides for more chips."""
    behind = [one for one in deciding.of_startups(counterfactual.splits()) if one.behind]
    words, count = deciding.most_often(behind)
    assert set(deciding.QUALITIES) == set(GROUPS)
    yes = {group: sum(one.decides(group) for one in behind) for group in GROUPS}
    assert count == max(yes.values()) and yes[max(yes, key=yes.get)] == count
    assert words == deciding.QUALITIES[max(yes, key=yes.get)]


def test_a_makers_own_chip_counts_as_a_startups_and_one_chip_is_no_one_chips():
    """A founder's chip was left out of the startups, and "the 1 chip of startups" is no English."""
    found = {one.chip.id: one for one in counterfactual.splits()}
    own = replace(found["sn40l"], chip=replace(found["sn40l"].chip, vendor="Founder"))
    assert deciding.of_startups([own, found["mi250x"]]) == [own]
    assert "one chip of a startup among them, SN40L" in deciding.in_full_of([own])
    by_memory, both = found["groq-lpu-v1"], [own, found["groq-lpu-v1"]]
    assert deciding.in_full_of([by_memory]).endswith("half of the gap closes by memory alone.")
    assert "Of the 2 chips of startups" in deciding.in_full_of(both)
    assert "The other one needed" in deciding.in_full_of(both)


def test_the_articles_causes_are_mended_where_that_helps_and_close_no_less_than_any_of_them():
    young = [one for one in deciding.of_startups(counterfactual.splits()) if one.behind]
    for one in young:
        together = one.closed(counterfactual.ARTICLE)
        assert together >= max(one.closed(name) for name in deciding.CAUSES)
        assert together >= one.closed(*deciding.CAUSES)
        drawn = one.drawn_closed[counterfactual.ARTICLE]
        assert (drawn >= one.drawn_closed["memory"] - 1e-12).all()
    told = deciding.decision(counterfactual.ARTICLE, young)
    assert told.low <= told.value <= told.high
    table = deciding.needs(young).set_index("chip")
    assert list(table.index) == [one.name for one in young]
    for one in young:
        left = table.loc[one.name, "left"]
        closed = one.closed(counterfactual.ARTICLE)
        assert left == (
            "cannot" if not one.possible and closed <= 0 else digits(one.gap ** (1 - closed))
        )


def test_a_cause_that_decides_beside_another_is_told_so():
    alone = SimpleNamespace(name="alone", closed=lambda group: float(group == "memory"))
    both = SimpleNamespace(
        name="both", closed=lambda group: {"memory": 0.6, "software": 0.9}.get(group, 0.0)
    )
    known = {"needed": 0.5, "value": 1.0, "low": 0.5, "high": 1.0, "no": (), "without": ()}
    memory = deciding.Decision("memory", yes=("alone", "both"), **known)
    assert "for both another quality" in deciding.shared([memory], [alone, both])
    assert (
        deciding.shared([memory], [alone, SimpleNamespace(name="both", closed=alone.closed)]) == ""
    )


def test_links_that_nobody_published_are_tried_at_the_slow_end_of_their_range():
    found = counterfactual.splits(["sn40l", "bow-ipu"])
    assumed, decided = deciding.slow_links(found)
    assert assumed == (found[0].name,), "Graphcore publishes the rates of its links"
    assert not decided and found[0].closed_with_slow_links() > found[0].closed("network")
    slower = [replace(one, swing={**one.swing, "network": (1.0, 30.0)}) for one in found]
    assert deciding.slow_links(slower)[1] == assumed
