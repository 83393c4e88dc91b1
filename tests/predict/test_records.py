"""Many records as one of arrays, one behind another, and one with every part changed."""

from dataclasses import replace

import numpy as np

from training_moat.core.fabrics import Fabric
from training_moat.core.node import Node
from training_moat.predict.records import joined, mapped, stacked, stacked_once

FABRIC = Fabric(bytes_per_s=2.0, step_latency_s=0.0, topology="switched")
ONE = Node(1.0, 1.0, 2.0, 3.0, scaleup=FABRIC, scaleout=FABRIC)
TWO = replace(ONE, peak_flops=5.0, scaleup=replace(FABRIC, bytes_per_s=7.0))


def test_numbers_become_arrays_at_every_depth_and_words_stay():
    both = stacked([ONE, TWO], np.array([1, 0, 1]))
    assert both.peak_flops.tolist() == [5.0, 1.0, 5.0]
    assert both.scaleup.bytes_per_s.tolist() == [7.0, 2.0, 7.0]
    assert both.scaleup.topology == "switched"
    assert joined([both, both]).scaleup.bytes_per_s.tolist() == [7.0, 2.0, 7.0] * 2


def test_a_record_that_is_there_many_times_is_read_once():
    many = stacked_once([TWO, ONE, TWO, TWO])
    assert many.peak_flops.tolist() == [5.0, 1.0, 5.0, 5.0]
    assert mapped(many, lambda column: column[:1]).scaleup.bytes_per_s.tolist() == [7.0]
