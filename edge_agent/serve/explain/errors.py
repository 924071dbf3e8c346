"""Why a prediction is not explained."""

from __future__ import annotations

from edgekit.errors import DeviceFault, UsageFault


class ExplanationRefused(UsageFault):
    """What was asked cannot be explained, or not within the limits: whoever asks must ask differently."""

    default_reason = "not_explainable"


class ExplainingBusy(DeviceFault):
    """Other explanations are being worked on: the client should try again in a moment."""

    default_reason = "explaining_busy"
