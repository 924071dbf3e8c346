"""The device: local prediction that needs nobody, and updates that can be cut anywhere.

`from edge_agent import LocalModel` uses a bundle in one's own process. It is imported on first use, so that the
command line and the agent's children start without numpy and onnxruntime.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.serve.local import LocalModel as LocalModel

# onnxruntime's wheels (1.32 at least) tell their maker what is loaded, over the network, unless this is set before the
# import; its `disable_telemetry_events()` comes too late. Nothing leaves the device but what its owner asked for.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = ["LocalModel"]


def __getattr__(name: str) -> object:
    if name != "LocalModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge_agent.serve.local import LocalModel

    return LocalModel
