"""Files appear whole or not at all."""

import pytest

from training_moat.core import whole_files


def test_a_file_replaces_the_old_one_only_when_written_whole(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    whole_files.write_text(target, "old")
    with pytest.raises(RuntimeError), whole_files.beside(target) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(target.parent.iterdir()) == [target]
    whole_files.write_text(target, "new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o644
