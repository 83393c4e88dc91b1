"""Pictures of the book: Altair builders that take tidy frames and know no model, published offline."""

from training_moat.figures.bars import bars, stacked_bars
from training_moat.figures.cards import cards
from training_moat.figures.findings import expect
from training_moat.figures.grids import heatmap, timeline, tornado
from training_moat.figures.lines import lines
from training_moat.figures.number_line import number_line
from training_moat.figures.points import points, ranges
from training_moat.figures.publishing import plain, publish, sentence, table
from training_moat.figures.shares import scaled_shares
