"""Linear models and networks as matrix products."""

from __future__ import annotations

from convert.export.writer import Exporters

EXPORTERS: Exporters = {}
