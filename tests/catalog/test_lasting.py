"""Results that outlast a process come back as they were, and only where nothing they rest on is another."""

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import files, lasting, scenario, tables

CALLS = []


@tables.kept(lasting=True)
def counted(maker):
    """How many chips of a maker, and which; noted in `CALLS` when it is worked out."""
    CALLS.append(maker)
    own = tables.load("chips").query("vendor == @maker")
    return len(own), own[["id"]].assign(number=np.arange(len(own)) / 3)


@pytest.fixture(autouse=True)
def process():
    """A function that begins anew, as another process would."""
    counted.forget()
    CALLS.clear()
    yield counted.forget
    counted.forget()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What is left lies at once where it is looked for."""
    monkeypatch.setenv(lasting.FOUND, str(tmp_path))
    monkeypatch.setenv(lasting.LEFT, str(tmp_path))
    return tmp_path


def test_another_process_finds_the_same_and_knows_what_it_rests_on(folder, process):
    number, frame = counted("NVIDIA")
    process()
    files.TOUCHED.clear()
    again, same = counted("NVIDIA")
    assert CALLS == ["NVIDIA"] and again == number > 0
    pd.testing.assert_frame_equal(frame, same, check_exact=True)
    assert {"chips.csv"} <= files.TOUCHED


def test_a_file_that_is_not_whole_is_worked_out_again(folder, process):
    before = counted("NVIDIA")[0]
    (file,) = folder.iterdir()
    content = file.read_bytes()
    for broken in (content[:-1], b"", content[:40] + b"x" + content[41:]):
        file.write_bytes(broken)
        process()
        assert counted("NVIDIA")[0] == before
    assert CALLS == ["NVIDIA"] * 4


def test_other_arguments_tables_and_scenarios_find_others(folder, process):
    ours = counted("NVIDIA")[0]
    process()
    assert counted("Cerebras")[0] != counted("NVIDIA")[0] == ours
    mine = folder / "mine.yaml"
    mine.write_text("chips: {mine: {base: h100-sxm}}")
    with scenario.laid_over(mine):
        assert counted("NVIDIA")[0] == ours + 1
        process()
        assert counted("NVIDIA")[0] == ours + 1
    chips = tables.load("chips")
    with tables.replaced(chips=chips.assign(vendor="NVIDIA")):
        assert counted("NVIDIA")[0] == len(chips)
    process()
    assert counted("NVIDIA")[0] == ours
    assert CALLS == ["NVIDIA", "Cerebras", "NVIDIA", "NVIDIA"], "each was worked out once"


def test_nothing_is_kept_where_nobody_named_a_folder(monkeypatch, process):
    for name in (lasting.FOUND, lasting.LEFT):
        monkeypatch.delenv(name, raising=False)
    counted("NVIDIA")
    process()
    counted("NVIDIA")
    assert CALLS == ["NVIDIA"] * 2


def test_a_folder_that_cannot_be_written_or_read_costs_nothing_but_time(monkeypatch, process):
    monkeypatch.setenv(lasting.FOUND, "/dev/null/found")
    monkeypatch.setenv(lasting.LEFT, "/dev/null/left")
    assert counted("NVIDIA")[0] > 0
