"""What the server's rooms share: handed to the API when it is built. Whoever changes something calls `wake`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edgekit.join import BrokerAccess
from fleet.config import FleetConfig
from fleet.release.catalogue import Catalogue
from fleet.store.database import Database


@dataclass(frozen=True)
class Server:
    """One running fleet server.

    `wake`: something changed, so controller, dispatcher and publisher look at once instead of at their next tick.
    `broker_access`: where a joining device finds the broker, and its credential.
    """

    config: FleetConfig
    database: Database
    clock: Callable[[], datetime]
    wake: Callable[[], None]
    catalogue: Catalogue
    broker_access: Callable[[], BrokerAccess]
