"""What a name that is none may mean."""

from __future__ import annotations

import pytest

from training_moat.core.errors import guesses, unknown

FIELDS = ("global_batch", "micro_batch", "price_usd_per_chip_hour", "seq_len", "software", "tp")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("batch", ["global_batch", "micro_batch"]),  # a whole part of both
        ("price", ["price_usd_per_chip_hour"]),  # begins it
        ("seqlen", ["seq_len"]),
        ("SEQ", ["seq_len"]),
        ("s", []),  # one letter begins anything
        ("colour", []),
    ],
)
def test_a_name_may_mean_what_it_begins_or_is_a_part_of_or_is_near_to(name, meant) -> None:
    assert guesses(name, FIELDS) == meant


def test_more_names_than_a_sentence_holds_are_no_guess() -> None:
    assert guesses("run", [f"run_{letter}" for letter in "abcd"]) != [
        f"run_{letter}" for letter in "abcd"
    ]


def test_several_guesses_make_one_sentence() -> None:
    assert str(unknown("field", "batch", FIELDS)) == (
        "unknown field 'batch'; did you mean 'global_batch' or 'micro_batch'?"
    )
