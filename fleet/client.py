"""The fleet server as its command line sees it: the address and token of the environment, pages, and waiting.

Any program may use it: `FleetClient(Api(url, token))`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from edgekit import http
from edgekit.errors import Inconclusive, JudgedBad, NotFound, TimedOut
from edgekit.http import Api

_PAGE = 200
_POLL_S = 0.5
_ENDED = ("completed", "aborted", "rolled_back", "superseded", "failed")

Json = dict[str, Any]


def connect(server: str | None, token: str, token_file: Path | None) -> FleetClient:
    """A client of `server`. Raises UsageFault without an address, NotAllowed without a token."""
    return FleetClient(http.connect(server, token, token_file))


@dataclass(frozen=True)
class FleetClient:
    """The API by name. Every method raises what `edgekit.http.Api` raises."""

    api: Api

    def get(self, *path: str) -> Any:
        """GET `/api/v1/…`."""
        return self.api.get(_path(path))

    def post(self, *path: str, body: Any = None, query: dict[str, str] | None = None) -> Any:
        """POST JSON to `/api/v1/…`."""
        return self.api.post(_path(path) + (f"?{urlencode(query)}" if query else ""), body)

    def devices(self, *, retired: bool = False) -> Iterator[Json]:
        """Every device, page by page."""
        after = ""
        while True:
            query = urlencode({"after": after, "limit": _PAGE, "retired": str(retired).lower()})
            page = self.api.get(f"/api/v1/devices?{query}")
            yield from page["devices"]
            if page["next"] is None:
                return
            after = page["next"]

    def newest_rollout(self) -> str:
        """The id of the rollout that was created last. Raises NotFound when there is none."""
        found = self.get("rollouts")["rollouts"]
        if not found:
            raise NotFound("there are no rollouts yet: edgekit fleet rollout create MODEL VERSION")
        return str(max(found, key=lambda rollout: rollout["created"])["id"])

    def watch(self, rollout: str, timeout_s: float | None) -> Iterator[Json]:
        """The rollout's views, one whenever something changed, until it ends or pauses. Raises TimedOut."""
        deadline = None if not timeout_s else time.monotonic() + timeout_s
        last: Json | None = None
        while True:
            view = self.get("rollouts", rollout)
            if view != last:
                yield view
                last = view
            if view["state"] in (*_ENDED, "paused"):
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimedOut(f"rollout {rollout} is still {view['state']} after {timeout_s:g} s; it goes on")
            time.sleep(_POLL_S)

    def follow(self, rollout: str, timeout_s: float | None, show: Callable[[Json], None]) -> None:
        """Show each view until the end. Raises JudgedBad, Inconclusive (paused), TimedOut; returns when completed."""
        view: Json = {}
        for view in self.watch(rollout, timeout_s):
            show(view)
        because = f" ({view['reason']})" if view.get("reason") else ""
        if view["state"] == "paused":
            raise Inconclusive(
                f"rollout {rollout} is paused{because}: look at edgekit fleet rollout history {rollout}, "
                "then resume, promote, abort or roll it back",
                reason="paused",
            )
        if view["state"] != "completed":
            raise JudgedBad(
                f"rollout {rollout} ended {view['state']}{because}: see edgekit fleet rollout history {rollout}",
                reason=view["state"],
            )


def _path(parts: tuple[str, ...]) -> str:
    for part in parts:
        # Such a word would lead to another address, however it is quoted.
        if part in ("", ".", "..") or "/" in part:
            raise NotFound(f"{part[:80]!r} is not known here: it is neither an id nor a version")
    return "/".join(("/api/v1", *(quote(part, safe="") for part in parts)))
