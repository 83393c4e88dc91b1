"""The article, claim by claim: every quantity measured from the tables and the model, every grade by one rule."""

from training_moat.claims import (  # they register measures
    decided_strand,
    history_strand,
    market_strand,
    memory_strand,
    networking_strand,
    precision_strand,
)
from training_moat.claims.base import Measured, measure, measure_names
from training_moat.claims.grading import GRADES, RULE, SAYS
from training_moat.claims.judging import (
    Finding,
    evaluate,
    judge,
    problems,
    under_codings,
    under_sets,
)
from training_moat.claims.telling import (
    arguments_that_turn,
    as_of,
    counts,
    deciding_title,
    not_supported,
    predictions,
    relative,
    rows_behind,
    shown,
    sided,
    softened_words,
    sources,
    supported,
    table,
    tally,
    verdict_table,
)
