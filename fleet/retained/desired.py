"""The dispatcher: signs the current desired document of each device in the outbox and publishes it.

One dispatcher at a time over all servers, and the next document of a device only after the broker acknowledged the
last, so an older one never overtakes a newer one. A document leaves the outbox only when it was acknowledged and is
still the current one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from securesystemslib.signer import Signer

from edgekit.errors import Unreachable
from edgekit.messages import Desired, MetadataVersions
from edgekit.times import rfc3339
from edgekit.topics import Topics
from edgekit.trust.desired import sign
from fleet.receive.link import Link, Message
from fleet.release import metadata
from fleet.retained.metadata import MetadataCopy
from fleet.store import desired
from fleet.store.database import Database
from fleet.store.desired import Current, Sent
from fleet.store.moments import stored

log = logging.getLogger(__name__)

LIFETIME = timedelta(days=7)
RENEWED_BEFORE = timedelta(days=2)
_RENEW_EVERY = timedelta(minutes=1)
_BATCH = 200


class Dispatcher:
    """One thread calls `step`."""

    def __init__(
        self, database: Database, link: Link, topics: Topics, signer: Signer, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._link = link
        self._topics = topics
        self._signer = signer
        self._clock = clock
        self._metadata = MetadataCopy(database, link, topics)
        self._generation = 0
        self._renewed: datetime | None = None
        self._root_version = 0

    def step(self) -> bool:
        """Publish a batch. True when there may be more at once."""
        if self._link.standing_since is None:
            return False
        with self._database.sole("dispatch") as ours:
            if not ours:
                return False
            try:
                self._publish_anew_if_fresh()
                self._metadata.sync()
                return self._dispatch()
            except Unreachable as error:
                log.info("dispatch waits: %s", error.message)
                return False

    def _publish_anew_if_fresh(self) -> None:
        generation = self._link.generation
        if generation == self._generation:
            return
        self._metadata.forget()
        with self._database.begin() as connection:
            desired.queue_all(connection, now_ms=stored(self._clock()))
        self._generation = generation

    def _dispatch(self) -> bool:
        now = self._clock()
        with self._database.read() as connection:
            versions = metadata.versions(connection)
        if versions is None:
            return False  # no release was ever pushed: a document could not name the metadata
        self._renew(versions.root, now)
        with self._database.read() as connection:
            waiting = desired.undispatched(connection, _BATCH)
        if not waiting:
            return False
        sent = [self._document(row, versions, now) for row in waiting]
        self._link.publish_all(Message(self._topics.device(item.device, "desired"), item.document) for item in sent)
        with self._database.begin() as connection:
            desired.dispatched(connection, sent)
        return True

    def _renew(self, root_version: int, now: datetime) -> None:
        """Queue documents that expire soon or lead to an older root than the newest."""
        is_due = self._renewed is None or now - self._renewed >= _RENEW_EVERY
        if not is_due and root_version == self._root_version:
            return
        before_ms, now_ms = stored(now + RENEWED_BEFORE), stored(now)
        with self._database.begin() as connection:
            while desired.renew(connection, before_ms=before_ms, root_version=root_version, now_ms=now_ms):
                pass
        self._renewed, self._root_version = now, root_version

    def _document(self, row: Current, versions: MetadataVersions, now: datetime) -> Sent:
        if row.retired:
            return Sent(row.device, row.seq, b"", stored(now), versions.root)
        if row.document and row.dispatched_seq == row.seq and row.expires_ms > stored(now):
            # Signed before and only to be published again: two documents must never share a seq.
            return Sent(row.device, row.seq, row.document, row.expires_ms, row.root_version)
        expires = now + LIFETIME
        document = Desired(
            tenant=self._topics.tenant,
            device=row.device,
            seq=row.seq,
            issued=rfc3339(now),
            expires=rfc3339(expires),
            meta=versions,
            models=row.models,
        )
        return Sent(row.device, row.seq, sign(document, self._signer), stored(expires), versions.root)
