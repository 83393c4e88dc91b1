"""Pictures that another process draws: each comes to its order, and is drawn here where that process is gone."""

import json

from training_moat.figures import drawing, offline


def page(title):
    rows = {"values": [{"x": 1, "y": 2}]}
    return json.dumps({"mark": "bar", "data": rows, "title": title})


def test_a_picture_comes_to_its_order_and_where_the_process_is_gone():
    alone = [drawing.draw(page(word)) for word in ("one", "other")]
    assert alone[0] != alone[1]
    painter = drawing.Painter()
    ordered = [painter.order(page(word)) for word in ("one", "other")]
    assert [coming.picture() for coming in reversed(ordered)] == alone[::-1]
    lost = painter.order(page("one"))
    painter.process.kill()
    assert lost.picture() == painter.order(page("one")).picture() == alone[0]
    painter.close()


def test_a_damaged_bundle_is_made_again(tmp_path, monkeypatch):
    """It is kept from build to build: an empty one would leave every chart of every later site undrawn."""
    monkeypatch.setattr(offline.vl_convert, "javascript_bundle", lambda **_: "const vega = 1 // 2")
    bundle = offline.write_assets(tmp_path)[0]
    good = bundle.read_bytes()
    for damaged in (b"", good[:20], good.replace(b"vega", b"vegx"), b"\xff\xfe"):
        bundle.write_bytes(damaged)
        offline.write_assets(tmp_path)
        assert bundle.read_bytes() == good
    monkeypatch.setattr(offline.vl_convert, "javascript_bundle", None)
    offline.write_assets(tmp_path)
    assert bundle.read_bytes() == good, "a whole one is kept"
