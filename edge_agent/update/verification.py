"""The parent's half of trust: keeps the verified metadata durably, and serves the child that judges.

This process never parses a signature. `trust.json` holds the metadata files that the child verified last; a damaged
one is dropped, and trust begins again at the pinned root.
"""

from __future__ import annotations

import asyncio
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_agent.config import UpdateSection
from edge_agent.link import Link
from edge_agent.update import dialog
from edge_agent.update.child import Child, ChildFailed, running
from edge_agent.update.dialog import Metadata, Refusal, TrustRequest, Verdict, WantMetadata
from edge_agent.update.state import State
from edge_agent.update.threads import run_apart
from edgekit.files import read_bounded, write_atomic
from edgekit.join import Join
from edgekit.times import rfc3339, utc_now
from edgekit.topics import Topics

SCHEMA = "edgekit.trust/1"
FILE_NAME = "trust.json"
_MODULE = "edge_agent.update.trust"
_MAX_STORE_BYTES = 32 << 20
_MAX_QUESTIONS = 512
_METADATA_NAME = re.compile(r"(?:[0-9]{1,9}\.)?[a-z0-9][a-z0-9-]{0,62}\.json")


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    files: dict[str, str] = {}


class TrustStore:
    """`trust.json` in the agent's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def read(self) -> dict[str, str]:
        """Verified metadata by name; empty when there is none that can be read."""
        try:
            stored = msgspec.json.decode(read_bounded(self._path, _MAX_STORE_BYTES), type=_Stored)
        except (OSError, ValueError):
            return {}
        return stored.files if stored.schema == SCHEMA else {}

    def write(self, files: dict[str, str]) -> None:
        """Keep them durably."""
        write_atomic(self._path, msgspec.json.encode(_Stored(files=files)))


@dataclass(frozen=True)
class Verification:
    """Judges desired documents in a child."""

    join: Join
    link: Link
    store: TrustStore
    section: UpdateSection

    async def judge(self, envelope: bytes, state: State) -> Verdict | Refusal:
        """The child's verdict; a Refusal that waits when the child broke down or took too long."""
        request = TrustRequest(
            root=self.join.trust.root,
            files=await run_apart(self.store.read),
            envelope=envelope,
            tenant=self.join.tenant,
            device=self.join.device,
            applied_seq=state.applied_seq,
            floors=state.floors,
            clock=rfc3339(utc_now()),
            trusted_time=state.trusted_time,
            arch=platform.machine(),
        )
        try:
            async with asyncio.timeout(self.section.trust_timeout_s), running(_MODULE) as child:
                return await self._converse(child, request)
        except TimeoutError:
            return _broke_down("trust_timeout", f"took over {self.section.trust_timeout_s:.0f} s")
        except (ChildFailed, ValueError, OSError) as error:
            return _broke_down("trust_failed", str(error))

    async def _converse(self, child: Child, request: TrustRequest) -> Verdict | Refusal:
        await child.say(dialog.encode(request))
        for _ in range(_MAX_QUESTIONS):
            line = dialog.decode_from_trust(await child.hear())
            if not isinstance(line, WantMetadata):
                return line
            await child.say(dialog.encode(Metadata(content=await self._fetch(line.name))))
        raise ValueError("the trust child asks without end")

    async def _fetch(self, name: str) -> bytes | None:
        if _METADATA_NAME.fullmatch(name) is None:
            return None
        topic = Topics(self.join.tenant).metadata(name)
        return await self.link.fetch(topic, self.section.metadata_timeout_s)


def _broke_down(reason: str, why: str) -> Refusal:
    return Refusal(reason=reason, message=f"the desired document could not be judged: {why}", wait=True)
