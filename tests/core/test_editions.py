"""What was written since a process began may be newer than what the process knows of it."""

import time

import training_moat
from training_moat.core import editions


def test_a_file_written_or_removed_since_the_process_began_is_told(tmp_path, monkeypatch):
    file = tmp_path / "a.py"
    file.write_text("1")
    assert editions.written_since_begun([file]), "by this test, which began earlier"
    monkeypatch.setattr(training_moat, "BEGUN_S", time.time() + 1)
    assert not editions.written_since_begun([file])
    assert editions.written_since_begun([file, tmp_path / "gone.py"])
