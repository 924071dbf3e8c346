"""One running fleet server: joins the rooms, keeps them going, and ends them in order.

Broker, link, ingest, controller, dispatcher, artifacts, API: each has its own duty and thread, all are woken when
something changed. What they tell one another lies in the database.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgekit.errors import Conflict, Unreachable
from edgekit.files import make_folder
from edgekit.times import utc_now
from edgekit.topics import Topics
from fleet import broker, web
from fleet.broker import Accesses
from fleet.config import FleetConfig
from fleet.housekeeping import Housekeeping
from fleet.loop import Loops
from fleet.receive.ingest import Ingest, Outlets
from fleet.receive.link import Hooks, Link
from fleet.release import signers
from fleet.release.catalogue import Catalogue
from fleet.release.signers import Signers
from fleet.retained.artifacts import ArtifactCopy
from fleet.retained.desired import Dispatcher
from fleet.rollout.controller import Controller
from fleet.server import Server
from fleet.store.database import Database

log = logging.getLogger(__name__)

_TICK_S = 0.5
_SLOW_TICK_S = 30.0
_WATCH_S = 1.0
_STOP_S = 2.0
_LOCK_NAME = "server.lock"


@dataclass(frozen=True)
class Ready:
    """The server is up. `api`: URL of the REST API and the dashboard; `broker`: where devices connect."""

    api: str
    broker: str


class Service:
    """A server made from its configuration."""

    def __init__(self, config: FleetConfig, clock: Callable[[], datetime] = utc_now) -> None:
        self._config = config
        self._clock = clock
        self._stopping = threading.Event()

    def run(self, announce: Callable[[Ready], None]) -> None:
        """Serve until SIGTERM, SIGINT or `stop`. `announce` is called once, when everything stands.

        Raises ConfigError, Conflict (a port or the database is in use), TrustError (no keys), Unreachable.
        """
        with ExitStack() as stack:
            _prepare_process(stack, self.stop)
            # What can be refused is refused before anything is made.
            keys = signers.load(self._config.keys_dir)
            broker.check(self._config.broker)
            listener = web.listen(self._config.server.host, self._config.server.port)
            stack.callback(listener.close)
            make_folder(self._config.data_dir, mode=0o700)
            database = self._open_database(stack)
            mqtt = broker.of(self._config)
            stack.callback(mqtt.stop)
            accesses, loops = mqtt.start(), Loops()
            server = self._server(database, loops, accesses)
            self._start_rooms(stack, server, loops, accesses, keys)
            api = web.Web(server, listener)
            stack.callback(api.stop)
            api.start()
            announce(Ready(api.url, accesses.device.url))
            while not self._stopping.wait(_WATCH_S):
                mqtt.keep_running()
                if not api.is_running:
                    raise Unreachable("the API ended by itself: see the messages above", reason="api_down")
            log.info("stopping")

    def stop(self) -> None:
        """Have `run` return. Any thread may call it."""
        self._stopping.set()

    def _open_database(self, stack: ExitStack) -> Database:
        database = Database(self._config.database_url)
        stack.callback(database.close)
        if database.is_sqlite:
            stack.enter_context(_sole_server(database.folder))
            if database.is_empty():
                database.migrate()
        database.check_schema()
        return database

    def _server(self, database: Database, loops: Loops, accesses: Accesses) -> Server:
        catalogue = Catalogue(self._config.data_dir / "artifacts")
        catalogue.open()
        return Server(self._config, database, self._clock, loops.wake, catalogue, lambda: accesses.device)

    def _start_rooms(self, stack: ExitStack, server: Server, loops: Loops, accesses: Accesses, keys: Signers) -> None:
        """Start what lies between broker and database; everything ends in the reverse order."""
        topics = Topics(self._config.server.tenant)
        link = Link(accesses.server, topics, self._clock)
        artifacts = ArtifactCopy(server, link, topics)
        ingest = Ingest(server.database, topics, self._clock, Outlets(link.post, server.wake, artifacts.want))
        loops.add(
            "controller", Controller(server.database, self._clock, lambda: link.standing_since).step, tick_s=_TICK_S
        )
        loops.add(
            "dispatcher", Dispatcher(server.database, link, topics, keys.desired, self._clock).step, tick_s=_TICK_S
        )
        loops.add("artifacts", artifacts.step, tick_s=_TICK_S)
        loops.add("housekeeping", Housekeeping(server, keys).step, tick_s=_SLOW_TICK_S)
        worker = threading.Thread(target=ingest.run, name="ingest", daemon=True)
        worker.start()
        stack.callback(worker.join, _STOP_S)
        stack.callback(ingest.stop)
        link.start(Hooks(fresh=ingest.fresh, arrived=ingest.arrived, stands=server.wake))
        stack.callback(link.stop)
        loops.start()
        stack.callback(loops.stop, _STOP_S)


def _prepare_process(stack: ExitStack, stop: Callable[[], None]) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("fleet").setLevel(logging.INFO)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        stack.callback(signal.signal, number, signal.signal(number, lambda *_: stop()))


@contextmanager
def _sole_server(folder: Path) -> Iterator[None]:
    """SQLite has one server. The lock ends with the process, however it ends. Raises Conflict."""
    with (folder / _LOCK_NAME).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"another fleet server runs on the SQLite database in {folder}: stop it first, or use PostgreSQL, "
                "which takes any number of servers",
                reason="database_in_use",
            ) from error
        yield
