"""Estimators that are made of other estimators."""

from __future__ import annotations

from convert.export.writer import Exporters

EXPORTERS: Exporters = {}
