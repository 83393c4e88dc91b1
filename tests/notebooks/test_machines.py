"""Another processor's BLAS, sorting network and order of ties give the outputs that are stored."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from benchmarks import machines

QUICKEST = {"arithmetic": "two_chips", "order": "history"}
"""The quickest chapter of those that add up much, and of those that sort much."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "what"), list(zip(machines.SHORT, QUICKEST, strict=True)))
def test_outputs_do_not_depend_on_the_machine(name, what):
    assert machines.differences(name, [QUICKEST[what]]) == []


def test_every_environment_is_tried_with_others():
    tried = {part for name in machines.TOGETHER for part in name.split(" + ")}
    assert set(machines.ENVIRONMENTS) - tried == {"as it is"}


def test_reversed_ties_are_reversed_and_stable_sorts_are_not():
    import subprocess
    import sys

    code = """
import pandas as pd, numpy as np
from benchmarks.machines import reverse_ties
reverse_ties()
frame = pd.DataFrame({"a": [1, 1, 0], "b": [1, 2, 3]})
assert list(frame.sort_values("a")["b"]) == [3, 2, 1]
assert list(frame.sort_values("a", kind="stable")["b"]) == [3, 1, 2]
assert list(np.argsort([1, 1, 0])) == [2, 1, 0]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_output_that_is_not_stored_is_shown():
    def page(*outputs):
        return new_notebook(cells=[new_code_cell("x", outputs=list(outputs))])

    told = new_output("display_data", data={"text/markdown": "A sentence."})
    (row,) = machines._compared("history", page(), page(told))
    assert row["what"] == "stored '', here 'A sentence.'"
    assert machines._compared("history", page(told), page(told)) == []
