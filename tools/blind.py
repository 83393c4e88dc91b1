"""Lines of data/training_blind.csv for a new source of training steps: what the constants say of its runs before any fit.

python tools/blind.py SOURCE >> data/training_blind.csv
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from training_moat.calibrate import unseen_runs
from training_moat.core.errors import InputError


def main() -> int:
    """Print the lines; 2 where the source has none."""
    if len(sys.argv) != 2:
        sys.stderr.write("blind: expected one source, a key of data/sources.csv\n")
        return 2
    try:
        rows = unseen_runs.to_store(sys.argv[1], f"{datetime.now(UTC):%Y-%m-%d}")
    except InputError as error:
        sys.stderr.write(f"blind: {error}\n")
        return 2
    sys.stdout.write(rows.to_csv(index=False, header=False, float_format="%.6g"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
