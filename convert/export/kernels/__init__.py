"""Kernel machines, neighbours and Gaussian processes as matrix products."""

from __future__ import annotations

from convert.export.writer import Exporters

EXPORTERS: Exporters = {}
