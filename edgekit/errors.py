"""The error tree: each class names who must act; each error carries a stable reason word.

The reason word is the same in logs, metrics, on the wire and in tests. The message is one sentence for a person:
what went wrong, why, and what to do. The exit codes are public surface (see README).
"""

from __future__ import annotations


class EdgekitError(Exception):
    """Base of everything that edgekit raises on purpose.

    `message` is one clear sentence; `reason` a stable snake_case word; `exit_code` what the command line returns.
    """

    exit_code = 1
    default_reason = "error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason


class UsageFault(EdgekitError):
    """The caller asked for something that makes no sense: the caller must ask differently."""

    exit_code = 2
    default_reason = "usage"


class ConfigError(UsageFault):
    """A configuration file is wrong: whoever wrote it must mend it. `faults` lists everything found."""

    default_reason = "config"

    def __init__(self, message: str, *, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class MissingExtra(EdgekitError):
    """A library of an optional part is not installed: whoever installed edgekit must add the extra."""

    default_reason = "missing_extra"


class ModelFault(EdgekitError):
    """The source model or its rows cannot be used: the ML engineer must act."""

    default_reason = "model"


class BundleError(EdgekitError):
    """A bundle (or a part of it) is malformed, altered, truncated or too large: whoever made it must make it anew."""

    default_reason = "bundle_malformed"


class TrustError(EdgekitError):
    """A signature, a signed document or release metadata is not acceptable: the release engineer must act."""

    default_reason = "untrusted"


class MessageError(EdgekitError):
    """A message on the wire does not follow its schema: its sender must act."""

    default_reason = "message_malformed"


class DeviceFault(EdgekitError):
    """The device cannot do it (disk full, memory short, runtime broken): the device engineer must act."""

    default_reason = "device_fault"


class NotFound(EdgekitError):
    """What was named does not exist."""

    default_reason = "not_found"


class Conflict(EdgekitError):
    """What was asked contradicts the present state."""

    default_reason = "conflict"


class JudgedBad(EdgekitError):
    """A judgement fell: parity over budget, rollout failed or aborted."""

    exit_code = 3
    default_reason = "judged_bad"


class TimedOut(EdgekitError):
    """The deadline of the caller passed; the work itself may go on."""

    exit_code = 4
    default_reason = "timed_out"


class Inconclusive(EdgekitError):
    """Paused, or not enough evidence to decide."""

    exit_code = 5
    default_reason = "inconclusive"


class NotAllowed(EdgekitError):
    """The credential is missing, wrong, or of too low a role."""

    exit_code = 6
    default_reason = "not_allowed"


class Unreachable(EdgekitError):
    """A server, a broker or an agent does not answer: link or address must be mended."""

    exit_code = 7
    default_reason = "unreachable"
