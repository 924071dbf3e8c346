"""`KBinsDiscretizer`: the bin of each number, by scikit-learn's own rule at the edges."""

from __future__ import annotations

import numpy as np

from convert.export.steps.elementwise import joined, marked
from convert.export.steps.intervals import count_below
from convert.export.writer import Writer


def discretize(writer: Writer) -> None:
    """The bin's number, or one column for each bin."""
    model = writer.model
    edges = [np.asarray(column[1:-1]) for column in model.bin_edges_]
    bins = count_below(writer, writer.rows, edges, equal=True)
    if model.encode == "ordinal":
        writer.finish(0, writer.cast(bins, writer.output_type(0)))
        return
    # Its encoder was fitted with all bins of every feature.
    parts = [marked(writer, writer.columns(bins, [place]), int(width)) for place, width in enumerate(model.n_bins_)]
    writer.finish(0, writer.cast(joined(writer, parts), writer.output_type(0)))
