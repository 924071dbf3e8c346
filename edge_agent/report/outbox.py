"""The queue of reports that the server has not committed yet: SQLite, so that no power cut loses or doubles one.

A report is known for ever by (epoch, seq): the epoch is made with the database, seq only rises and is never used again.
The server deduplicates by both, so a report that was published may be published again but never changed. What gives
way when the queue is full is the resolution of old health reports: those that were never published are added up.
Events are kept whatever happens. A damaged database is moved aside, and a new epoch begins.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from edge_agent.report import health
from edgekit.errors import DeviceFault, MessageError
from edgekit.messages import OutboxHealth

Kind = Literal["event", "health"]
Build = Callable[[str, int], bytes]
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_SCHEMA_VERSION = 1
_SCHEMA = (
    "CREATE TABLE report (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, content BLOB NOT NULL,"
    " published INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE outbox (epoch TEXT NOT NULL, last_seq INTEGER NOT NULL, merged INTEGER NOT NULL)",
)
_TABLES = {"report", "outbox"}
_MERGED_AT_ONCE = 8
_WAL_BYTES = 1 << 20
_ASIDE_SUFFIX = ".damaged"


@dataclass(frozen=True)
class OutboxLimits:
    """How much may wait. 5000 reports are three and a half days of one a minute, before any are merged."""

    rows: int = 5_000
    bytes: int = 8 << 20


@dataclass(frozen=True)
class Report:
    """One waiting report. `kind` is the leaf of its topic; `published`: the server may have it already."""

    seq: int
    kind: Kind
    content: bytes
    published: bool


class Outbox:
    """The queue in the file at `path`. Safe to use from several threads; writes wait for the disk, so keep them off
    the event loop. Every method raises DeviceFault (`outbox_unusable`) when the disk is full or broken.
    """

    def __init__(self, path: Path, limits: OutboxLimits | None = None) -> None:
        self._path = path
        self._limits = limits or OutboxLimits()
        self._lock = threading.Lock()
        self.resets = 0
        with self._lock:
            try:
                self._db = _open(path)
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
            self._epoch = self._read_epoch()
            self._state = _count(self._db)

    @property
    def epoch(self) -> str:
        """The identity of this database."""
        return self._epoch

    def append(self, kind: Kind, build: Build) -> int:
        """Queue the document that `build(epoch, seq)` makes, and return its seq. When this returns, the report survives
        a power cut.
        """
        return self.append_all(kind, [build])[0]

    def append_all(self, kind: Kind, builds: Sequence[Build]) -> list[int]:
        """Queue several documents, all of them or none, with one wait for the disk."""
        return self._change(lambda db: [self._append(db, kind, build) for build in builds])

    def pending(self, limit: int, *, after: int = 0) -> list[Report]:
        """The oldest waiting reports with a seq above `after`, published or not, oldest first."""
        rows = self._write(
            lambda db: db.execute(
                "SELECT seq, kind, content, published FROM report WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            ).fetchall()
        )
        return [Report(seq, kind, content, bool(published)) for seq, kind, content, published in rows]

    def mark_published(self, seqs: Iterable[int]) -> None:
        """The reports are about to be handed to the link. Call it *before*: what may have left must not change."""
        numbers = [(seq,) for seq in seqs]
        self._write(lambda db: db.executemany("UPDATE report SET published = 1 WHERE seq = ?", numbers))

    def acknowledge(self, epoch: str, seqs: Iterable[int]) -> int:
        """The server has committed these reports: forget them. Returns how many there were; none of another epoch."""
        numbers = [(seq,) for seq in seqs]
        if epoch != self._epoch:
            return 0
        return self._change(lambda db: db.executemany("DELETE FROM report WHERE seq = ?", numbers).rowcount)

    def state(self) -> OutboxHealth:
        """How many reports wait, and how many were merged away since the database was made. Counted with every write:
        this waits for nobody, whatever the disk does, and may be asked on the event loop.
        """
        return self._state

    def close(self) -> None:
        """Close the file. The outbox is of no use afterwards."""
        with self._lock:
            self._db.close()

    def _append(self, db: sqlite3.Connection, kind: Kind, build: Build) -> int:
        db.execute("UPDATE outbox SET last_seq = last_seq + 1")
        seq = int(db.execute("SELECT last_seq FROM outbox").fetchone()[0])
        content = build(self._epoch, seq)
        db.execute("INSERT INTO report (seq, kind, content) VALUES (?, ?, ?)", (seq, kind, content))
        if self._is_over(db):
            self._make_room(db)
        return seq

    def _is_over(self, db: sqlite3.Connection) -> bool:
        rows, size = db.execute("SELECT COUNT(*), TOTAL(LENGTH(content)) FROM report").fetchone()
        return bool(rows > self._limits.rows or size > self._limits.bytes)

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Merge the older half of the health reports that were never published, a few neighbours at a time so that
        they keep some resolution in time; all of them when that gains nothing.
        """
        rows = db.execute(
            "SELECT seq, content FROM report WHERE kind = 'health' AND NOT published ORDER BY seq"
        ).fetchall()
        older = rows[: max(2, len(rows) // 2)]
        groups = [older[start : start + _MERGED_AT_ONCE] for start in range(0, len(older), _MERGED_AT_ONCE)]
        if sum([self._merge(db, group) for group in groups]) == 0:
            self._merge(db, older)

    def _merge(self, db: sqlite3.Connection, rows: Sequence[tuple[int, bytes]]) -> int:
        """Replace the rows by fewer, which take the first of their numbers; how many rows that saved."""
        try:
            builds = health.merge([content for _, content in rows]) if len(rows) > 1 else []
        except MessageError:  # of an agent that is not this one's age: the server shall judge it
            return 0
        saved = len(rows) - len(builds)
        if not builds or saved <= 0:
            return 0
        seqs = [seq for seq, _ in rows]
        db.executemany("DELETE FROM report WHERE seq = ?", [(seq,) for seq in seqs])
        db.executemany(
            "INSERT INTO report (seq, kind, content) VALUES (?, 'health', ?)",
            [(seq, build(self._epoch, seq)) for seq, build in zip(seqs, builds, strict=False)],
        )
        db.execute("UPDATE outbox SET merged = merged + ?", (saved,))
        return saved

    def _change(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """`_write` of what changes how many reports there are."""
        result, self._state = self._write(lambda db: (work(db), _count(db)))
        return result

    def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction; in a new database when this one turns out to be damaged."""
        with self._lock:
            try:
                return _transact(self._db, work)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise _unusable(self._path, error) from error
                self._begin_anew(error)
                self._epoch = self._read_epoch()
            try:
                return _transact(self._db, work)
            except sqlite3.Error as error:
                raise _unusable(self._path, error) from error

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        if not _is_damage(error):
            raise _unusable(self._path, error) from error
        _LOG.warning("outbox %s is damaged (%s): moved aside, a new one begins", self._path, error)
        self.resets += 1
        if hasattr(self, "_db"):
            self._db.close()
        try:
            _move_aside(self._path)
            self._db = _open(self._path)
        except (OSError, sqlite3.Error) as again:
            raise _unusable(self._path, again) from again

    def _read_epoch(self) -> str:
        return str(self._db.execute("SELECT epoch FROM outbox").fetchone()[0])


class _NotOurs(sqlite3.DatabaseError):
    """A sound database of another schema: as good as damaged to this agent."""


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # With NORMAL the last commits may be gone after a power cut: https://sqlite.org/pragma.html#pragma_synchronous
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version == 0 and not tables:
            _transact(db, _create)
        elif version != _SCHEMA_VERSION or tables != _TABLES:
            raise _NotOurs("it has another schema")
        elif db.execute("PRAGMA quick_check").fetchone()[0] != "ok" or _epochs(db) != 1:
            raise _NotOurs("it fails its check")
    except BaseException:
        db.close()
        raise
    return db


def _epochs(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COUNT(*) FROM outbox").fetchone()[0])


def _count(db: sqlite3.Connection) -> OutboxHealth:
    queued, merged = db.execute("SELECT (SELECT COUNT(*) FROM report), merged FROM outbox").fetchone()
    return OutboxHealth(queued=queued, merged=merged)


def _create(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute("INSERT INTO outbox VALUES (?, 0, 0)", (secrets.token_hex(16),))
    db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _transact(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """True when the file itself is wrong, and not the disk, the permissions or a lock."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, _NotOurs) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def _move_aside(path: Path) -> None:
    """Keep the damaged database for whoever wants to look; only the last one, so that they cannot fill the disk."""
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.replace(path.with_name(path.name + _ASIDE_SUFFIX + suffix))


def _unusable(path: Path, error: Exception) -> DeviceFault:
    return DeviceFault(
        f"outbox {path} cannot be used ({error}): check the disk's free space and health, and who owns the file",
        reason="outbox_unusable",
    )
