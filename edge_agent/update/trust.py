"""The child that judges a desired document: `python -m edge_agent.update.trust`.

It reads a TrustRequest, asks its parent for release metadata by name, and answers with a Verdict or a Refusal. It
keeps these rules:

- Trust begins at the pinned root; everything else is verified anew each time (TUF, by python-tuf).
- The server may choose only among releases that were signed offline, whose signed facts match what it says, at or
  above the highest `min_counter` this device has seen signed for the model, and made for this machine.
- Time is the latest of the device's clock, the time known to have passed, this agent's making and the document's
  `issued`: a clock in the past is harmless, one far in the future makes updates wait.

Nothing here is imported by the process that predicts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Signed, TargetFile, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge_agent.update import dialog
from edge_agent.update.dialog import Metadata, Refusal, TrustRequest, Verdict, WantMetadata
from edge_agent.update.leash import die_with_parent
from edge_agent.update.state import Target
from edgekit.errors import EdgekitError, MessageError, TrustError
from edgekit.messages import Desired, DesiredModel
from edgekit.times import parse_rfc3339, rfc3339
from edgekit.trust import DESIRED_KEY_TARGET, desired, keys, parse_custom, target_path

# No moment before this release of the agent was made is the present.
MADE = datetime(2026, 11, 1, tzinfo=UTC)
FAR = timedelta(days=400)
NICENESS = 10
_ROOT_HISTORY = "root_history"
_BASE_URL = "edgekit:///"

Ask = Callable[[str], bytes | None]


class MustWait(TrustError):
    """Not acceptable now; it may be later."""


def main() -> None:
    """One request from standard input, one answer to standard output."""
    die_with_parent()
    os.nice(NICENESS)
    request = dialog.decode(sys.stdin.buffer.readline(dialog.MAX_LINE_BYTES), TrustRequest)
    _say(answer(request, _ask_parent))


def answer(request: TrustRequest, ask: Ask) -> Verdict | Refusal:
    """Judge the request; `ask` gets a metadata file by name, or None."""
    try:
        claimed = desired.peek(request.envelope)
        _check_addressee(claimed, request)
        try:
            return _judge(request, claimed, ask)
        except ExpiredMetadataError as error:
            raise _expired(request, claimed, f"release metadata has expired ({error})") from error
        except DownloadError as error:
            raise MustWait(f"release metadata did not come ({error})", reason="metadata_unavailable") from error
        except RepositoryError as error:
            raise MustWait(f"release metadata is not acceptable ({error})", reason="metadata_untrusted") from error
    except MustWait as error:
        return Refusal(reason=error.reason, message=error.message, wait=True, models=_claims(claimed))
    except (EdgekitError, ValueError) as error:
        reason = error.reason if isinstance(error, EdgekitError) else MessageError.default_reason
        return Refusal(reason=reason, message=str(error))


def _judge(request: TrustRequest, claimed: Desired, ask: Ask) -> Verdict:
    reference = max(parse_rfc3339(request.clock), _known_past(request))
    with tempfile.TemporaryDirectory(prefix="edgekit-trust-") as name:
        folder = Path(name)
        _restore(folder, request.files)
        updater = Updater(
            str(folder),
            _BASE_URL,
            fetcher=_Fetcher(ask, claimed.meta.root),
            config=UpdaterConfig(targets_max_length=4 << 20),
            bootstrap=request.root.encode(),
        )
        # python-tuf takes the clock's time and offers no way to say otherwise.
        trusted = updater._trusted_set
        trusted.reference_time = reference
        updater.refresh()
        document = _verified(request, claimed, updater, reference)
        reference = max(reference, parse_rfc3339(document.issued))
        targets = [(model, updater.get_targetinfo(target_path(model.name, model.version))) for model in document.models]
        signed = list(trusted)  # python-tuf's set iterates over its documents
        _check_still_fresh(signed, reference)
        floors = {model.name: _floor(model.name, signed, request.floors) for model in document.models}
        return Verdict(
            seq=document.seq,
            expires=document.expires,
            models=[_target(model, info, floors[model.name], request.arch) for model, info in targets],
            floors=floors,
            files=dict(_verified_files(folder)),
            trusted_time=rfc3339(reference),
        )


# ---- the document -------------------------------------------------------------------------------------------------


def _check_addressee(claimed: Desired, request: TrustRequest) -> None:
    # Before anything is fetched: what is not for us, or old, costs the link nothing. `verify` checks it again.
    if (claimed.tenant, claimed.device) != (request.tenant, request.device):
        raise TrustError("the desired document is meant for another device", reason="desired_wrong_device")
    if claimed.seq <= request.applied_seq:
        raise TrustError(
            f"the desired document has seq {claimed.seq}, {request.applied_seq} was applied already",
            reason="desired_replayed",
        )


def _verified(request: TrustRequest, claimed: Desired, updater: Updater, reference: datetime) -> Desired:
    stale = _stale(claimed, updater)
    info = updater.get_targetinfo(DESIRED_KEY_TARGET)
    documents = (info.custom or {}).get("keys") if info is not None else None
    if not isinstance(documents, list):
        raise MustWait("the signed metadata names no key for desired documents", reason="metadata_untrusted")
    known = {key.keyid: key for key in map(keys.public_key, documents)}
    issued = parse_rfc3339(claimed.issued)
    try:
        document = desired.verify(
            request.envelope,
            known,
            tenant=request.tenant,
            device=request.device,
            above_seq=request.applied_seq,
            now=max(reference, issued),
        )
    except TrustError as error:
        if error.reason == "desired_unsigned" and stale:
            raise MustWait(stale, reason="metadata_stale") from error
        if error.reason == "desired_expired":
            raise _expired(request, claimed, error.message, "desired_expired") from error
        raise
    if stale:
        raise MustWait(stale, reason="metadata_stale")
    return document


def _stale(claimed: Desired, updater: Updater) -> str | None:
    named, trusted = claimed.meta, updater._trusted_set
    if trusted.timestamp.version >= named.timestamp and trusted.snapshot.version >= named.snapshot:
        return None
    return f"the document names timestamp {named.timestamp}, the broker still has {trusted.timestamp.version}"


def _claims(claimed: Desired) -> list[Target]:
    return [_plain(model) for model in claimed.models]


def _plain(model: DesiredModel, **facts: str | None) -> Target:
    return Target(
        name=model.name,
        version=model.version,
        sha256=model.sha256,
        bytes=model.bytes,
        counter=model.counter,
        rollout=model.rollout,
        soak_s=model.soak_s,
        index_sha256=facts.get("index") or "",
        expanded_sha256=facts.get("expanded") or "",
        refused=facts.get("refused"),
        refused_detail=facts.get("detail"),
    )


# ---- the releases -------------------------------------------------------------------------------------------------


def _target(model: DesiredModel, info: TargetFile | None, floor: int, arch: str) -> Target:
    if info is None:
        return _plain(model, refused="release_unknown", detail="no signed release has this name and version")
    custom = parse_custom(info.custom)
    signed = (info.length, info.hashes.get("sha256"), custom.model, custom.version, custom.counter)
    refused, detail = None, None
    if signed != (model.bytes, model.sha256, model.name, model.version, model.counter):
        refused, detail = "release_mismatch", "what the server asks for is not what was signed"
    elif custom.counter < floor:
        refused, detail = "below_floor", f"release counter {custom.counter} is below the signed minimum {floor}"
    elif arch not in custom.hardware:
        refused, detail = "hardware_mismatch", f"it runs on {', '.join(custom.hardware)}, this device is {arch}"
    return _plain(model, index=custom.index_sha256, expanded=custom.expanded_sha256, refused=refused, detail=detail)


def _floor(name: str, signed: Iterable[Signed], floors: dict[str, int]) -> int:
    listed = [
        parse_custom(target.custom).min_counter
        for role in signed
        if isinstance(role, Targets)
        for path, target in role.targets.items()
        if path.startswith(f"{name}/")
    ]
    return max([floors.get(name, 0), *listed])


# ---- time ---------------------------------------------------------------------------------------------------------


def _known_past(request: TrustRequest) -> datetime:
    return max(MADE, parse_rfc3339(request.trusted_time)) if request.trusted_time else MADE


def _check_still_fresh(signed: Iterable[Signed], reference: datetime) -> None:
    # `issued` may have moved the time on after the metadata was judged.
    for role in signed:
        if role.is_expired(reference):
            raise ExpiredMetadataError(f"{role.type} expired at {role.expires}")


def _expired(request: TrustRequest, claimed: Desired, message: str, reason: str = "metadata_expired") -> TrustError:
    clock, past = parse_rfc3339(request.clock), max(_known_past(request), parse_rfc3339(claimed.issued))
    if clock - past > FAR:
        return MustWait(
            f"this device's clock says {rfc3339(clock)}, far after {rfc3339(past)}: set it", reason="clock_untrusted"
        )
    return MustWait(message, reason=reason) if reason == "metadata_expired" else TrustError(message, reason=reason)


# ---- metadata -----------------------------------------------------------------------------------------------------


class _Fetcher(FetcherInterface):
    """Gets metadata through the parent. A root that the document does not name does not exist: asking for it would
    only wait, for on MQTT what does not exist is silence.
    """

    def __init__(self, ask: Ask, newest_root: int) -> None:
        self._ask, self._newest_root = ask, newest_root

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_BASE_URL)
        version, dot, role = name.partition(".")
        if dot and role == "root.json" and int(version) > self._newest_root:
            raise DownloadHTTPError("no newer root", 404)
        content = self._ask(name)
        if content is None:
            raise DownloadError(f"{name} is not at the broker")
        return iter((content,))


def _restore(folder: Path, files: dict[str, str]) -> None:
    (folder / _ROOT_HISTORY).mkdir()
    for name, content in files.items():
        parts = name.split("/")
        if parts[-1].endswith(".json") and parts[:-1] in ([], [_ROOT_HISTORY]) and not parts[-1].startswith("."):
            (folder / name).write_text(content)


def _verified_files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.json")):
        if not path.is_symlink():  # root.json: a link into the history, made anew each time
            yield path.relative_to(folder).as_posix(), path.read_text()


def _say(line: Verdict | Refusal | WantMetadata) -> None:
    sys.stdout.buffer.write(dialog.encode(line))
    sys.stdout.buffer.flush()


def _ask_parent(name: str) -> bytes | None:
    _say(WantMetadata(name=name))
    return dialog.decode(sys.stdin.buffer.readline(dialog.MAX_LINE_BYTES), Metadata).content


if __name__ == "__main__":
    main()
