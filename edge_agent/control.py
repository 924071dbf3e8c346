"""How the agent and the commands of its own device find each other, and what it tells them about itself.

A lock in the data folder makes sure that one agent runs there; a small file beside it says where it answers.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.serve.connection import Handler
from edge_agent.serve.message import Request, Response, answer
from edge_agent.serve.models import Models
from edge_agent.serve.selftest import run_golden
from edge_agent.update.slots import Slots
from edge_agent.update.threads import run_niced
from edgekit import golden
from edgekit.bundle import MAX_BUNDLE_BYTES
from edgekit.errors import Conflict, DeviceFault, Unreachable
from edgekit.files import make_folder, read_bounded, write_atomic
from edgekit.packing import EXPANDED_NAMES

_LOCK_NAME = "agent.lock"
_ADDRESS_NAME = "agent.address.json"
_MAX_ADDRESS_BYTES = 4_096


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running agent answers."""

    http: str
    device: str


@contextmanager
def sole_agent(data_dir: Path) -> Iterator[None]:
    """Be the only agent on `data_dir`. Raises Conflict when one runs there, DeviceFault when it cannot be used."""
    try:
        make_folder(data_dir, mode=0o700)
        descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DeviceFault(
            f"data folder {data_dir} cannot be used ({error.strerror}): mend it or set another [agent] data_dir",
            reason="data_dir_unusable",
        ) from error
    try:
        if not _lock(descriptor):
            raise Conflict(
                f"an agent runs on {data_dir} already: stop it, or give this one another [agent] data_dir",
                reason="already_running",
            )
        yield
    finally:
        os.close(descriptor)


def publish_address(data_dir: Path, address: Address) -> None:
    """Tell the commands of this device where the agent answers."""
    write_atomic(data_dir / _ADDRESS_NAME, msgspec.json.encode(address))


def find(data_dir: Path) -> Address:
    """The agent that runs on `data_dir`. Raises Unreachable when none does."""
    try:
        descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
        try:
            running = not _lock(descriptor)
        finally:
            os.close(descriptor)
        if running:
            content = read_bounded(data_dir / _ADDRESS_NAME, _MAX_ADDRESS_BYTES)
            return msgspec.json.decode(content, type=Address)
    except (OSError, ValueError):
        pass  # never started, or just starting: for the caller the same
    raise Unreachable(f"no agent answers for {data_dir}: start it with edgekit agent run --config FILE")


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def slots_status(slots: Slots) -> dict[str, Any]:
    """The slots of every model."""
    return {
        name: {
            which: None if slot is None else {"version": slot.version, "sha256": slot.sha256}
            for which, slot in (("current", model.current), ("previous", model.previous), ("trial", model.trial))
        }
        for name, model in sorted(slots.state.models.items())
    }


def admin_routes(models: Models, slots: Slots) -> Mapping[tuple[str, str], Handler]:
    """What the commands of this device ask beside `/status`."""

    def history(_: Request) -> Response:
        state = slots.state.models.items()
        return answer({name: [msgspec.structs.asdict(end) for end in model.outcomes] for name, model in sorted(state)})

    async def selftest(_: Request) -> Response:
        return answer(await run_niced(lambda: _selftest(models, slots)))

    return {("GET", "/admin/history"): history, ("POST", "/admin/selftest"): selftest}


def _selftest(models: Models, slots: Slots) -> dict[str, Any]:
    """The golden rows of every model that serves, run in the model that serves."""
    results = {}
    for predictor in models.all():
        name, version, sha256 = predictor.identity
        try:
            content = read_bounded(slots.blobs.path(sha256) / EXPANDED_NAMES["golden"], MAX_BUNDLE_BYTES)
        except (OSError, ValueError) as error:
            raise DeviceFault(f"the golden rows of {name} {version} cannot be read", reason="blob_damaged") from error
        result = run_golden(predictor, golden.decode_golden(content))
        results[name] = {
            "version": version,
            "passed": result.passed,
            "rows": result.rows,
            "max_abs": result.max_abs,
            "detail": result.detail,
        }
    return results
