"""How an exporter says that it has no form for a model."""

from __future__ import annotations


class NotExportable(Exception):
    """There is no ONNX form of this estimator under this plan; the text says why, `instead` what to do about it."""

    def __init__(self, reason: str, *, instead: str = "") -> None:
        super().__init__(reason)
        self.instead = instead
