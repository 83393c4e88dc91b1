import numpy as np
import pytest

from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.inquiry import move_bill, switching


def test_the_bill_by_hand():
    """Every input fixed at its median: port, delay and failure in dollars of 2022, from the two tables."""
    found = switching.assumptions()["median"]
    fixed = switching.assumptions().reset_index(drop=True)
    fixed = fixed.assign(p05=fixed["median"], p95=fixed["median"])
    with tables.replaced(switching_assumptions=fixed):
        bill = move_bill.of_the_run(draws=64)
    late, worth = found["delay_months"] / 12, found["delay_value"]
    failed = worth * found["failure_delay_months"] / 12 + found["failure_waste_years"]
    spent = 570e6
    usd = found["port_cost_musd"] * 1e6 + spent * (
        worth * late + found["failure_probability"] * failed
    )
    assert bill.spent_usd == pytest.approx(spent)
    assert bill.usd == pytest.approx(np.full(64, usd))
    assert bill.run_usd == (37334305.0, 100e6)
    assert (bill.times >= usd / 100e6).all() and (bill.times <= usd / 37334305.0).all()


def test_bill_and_run_are_of_one_laboratory_and_one_year():
    """A delay priced by the spending of a later year against an earlier run had made the bill a hundred times the run."""
    ledger = tables.load("lab_ledgers")
    later = ledger.assign(year=np.where(ledger["item"] == "all_expense", 2025, ledger["year"]))
    with tables.replaced(lab_ledgers=later):
        assert not move_bill.known()
        with pytest.raises(InputError, match="nothing on OpenAI in 2022"):
            move_bill.of_the_run()
