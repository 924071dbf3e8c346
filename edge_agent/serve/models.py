"""The models that are being served, by name. A swap is one assignment: a request sees the old model or the new one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from edge_agent.serve.inference import Predictor


class Models:
    """Name → loaded model. `configured`: the names the device is meant to serve, the first one being the default."""

    def __init__(self, configured: Sequence[str] = ()) -> None:
        self.configured = tuple(configured)
        self._serving: dict[str, Predictor] = {}
        self._lock = threading.Lock()

    def swap(self, name: str, predictor: Predictor | None) -> Predictor | None:
        """Serve `predictor` under `name` from now on (None: nothing); returns what was served before.

        Requests under way keep the old one alive until they are answered. Drop the returned reference off the event
        loop: freeing a large model takes tens of milliseconds.
        """
        with self._lock:
            serving = dict(self._serving)
            old = serving.pop(name, None)
            if predictor is not None:
                serving[name] = predictor
            self._serving = serving
            return old

    def get(self, name: str | None = None) -> Predictor | None:
        """The model of that name. Without a name: the only one there is, else the first configured one."""
        serving = self._serving
        if name is not None:
            return serving.get(name)
        if len(serving) == 1:
            return next(iter(serving.values()))
        return serving.get(self.configured[0]) if self.configured else None

    def all(self) -> list[Predictor]:
        """Every model being served, by name."""
        return [predictor for _, predictor in sorted(self._serving.items())]

    def known(self, name: str) -> bool:
        """True when the device serves, or is meant to serve, a model of that name."""
        return name in self._serving or name in self.configured
