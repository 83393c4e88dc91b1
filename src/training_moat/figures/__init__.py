"""Pictures of the book: Altair builders that take tidy frames and know no model, published offline."""

from .bars import bars, stacked_bars
from .cards import cards
from .grids import heatmap, timeline, tornado
from .lines import lines
from .number_line import number_line
from .points import points, ranges
from .publishing import publish, sentence, table
from .theme import COMPANY_COLOURS, VERDICT_COLOURS

__all__ = [
    "COMPANY_COLOURS",
    "VERDICT_COLOURS",
    "bars",
    "cards",
    "heatmap",
    "lines",
    "number_line",
    "points",
    "publish",
    "ranges",
    "sentence",
    "stacked_bars",
    "table",
    "timeline",
    "tornado",
]
