"""Steps that prepare, reduce or cluster rows."""

from __future__ import annotations

from convert.export.writer import Exporters

EXPORTERS: Exporters = {}
