"""What is stored of the fabrics is what a fit of the measurements gives, sources left out included."""

from training_moat.calibrate import fit_collectives, measured_collectives
from training_moat.predict import interconnect


def test_every_source_of_large_messages_is_left_out_once():
    rows = measured_collectives.usable_rows()
    rows = rows[rows["large"]]
    fabric = rows["scaleout"].where(rows["nodes"] > 1, rows["scaleup"])
    measured = set(zip(rows["source"], fabric, strict=True))
    stored = fit_collectives.held_out_errors()
    assert set(zip(stored["source"], stored["fabric"], strict=True)) == measured


def test_every_measured_fabric_has_its_constants():
    rows = measured_collectives.usable_rows()
    measured = {*rows["scaleup"].dropna(), *rows["scaleout"].dropna()}
    assert set(interconnect.stored()) <= measured


def test_exchanges_of_experts_are_met_by_constants_of_their_own_kernels():
    """DeepEP's latencies between servers; the medians of other networks made them half as long again to twice as long."""
    rows = measured_collectives.usable_rows()
    rows = rows[rows["scaleout"] == "deepep-ib"]
    assert len(rows) == 10 and rows["message_bytes"].between(7e6, 15e6).all()
    own = fit_collectives.predict_rows(rows, interconnect.stored())
    assert (own["predicted"] / own["seconds"]).between(0.9, 1.1).all()
