"""Pictures that another process draws: each comes to its order, and is drawn here where that process is gone."""

import json

from training_moat.figures import drawing


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
