"""The HTTP client of every command that talks to a fleet server or to a local agent.

One request, one answer, bounded; faults become errors with the right exit code. Tokens go in a header and never into
a message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import Conflict, EdgekitError, NotAllowed, NotFound, Unreachable, UsageFault
from edgekit.files import read_bounded

MAX_ANSWER_BYTES = 64 << 20
_MAX_TOKEN_BYTES = 4096
_TIMEOUT_S = 30.0
_KINDS: dict[int, type[EdgekitError]] = {
    400: UsageFault,
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: UsageFault,
    502: Unreachable,
    503: Unreachable,
    504: Unreachable,
}
# An agent's word for rows that do not fit. Any other 422 is a fault of what was sent (a bundle, a signature), which
# the words of the command cannot mend.
_BAD_ROWS = "bad_rows"
# What a person understands, by what urllib3 says somewhere in its message.
_CAUSES = {
    "Connection refused": "connection refused",
    "Name or service not known": "name or service not known",
    "timed out": "timed out",
    "certificate verify failed": "certificate verify failed",
    "SSLError": "it does not speak TLS as https:// asks for",
    "Connection aborted": "it closed the connection: perhaps it does not speak HTTP",
}


def connect(server: str | None, token: str, token_file: Path | None) -> Api:
    """The API of a fleet server, for a command. Raises UsageFault without an address, NotAllowed without a token."""
    if not server:
        raise UsageFault("no server is named: set EDGEKIT_SERVER or give --server http://HOST:PORT")
    if token_file is not None:
        try:
            token = read_bounded(token_file, _MAX_TOKEN_BYTES).decode().strip()
        except (OSError, ValueError) as error:
            raise UsageFault(f"token file {token_file} cannot be read: check the path and its permissions") from error
    if not token:
        raise NotAllowed("no token: set EDGEKIT_TOKEN or give --token-file FILE", reason="token_missing")
    if not (token.isascii() and token.isprintable()):
        raise NotAllowed("the token has characters that no token has: copy it again", reason="token_unknown")
    return Api(server, token)


@dataclass
class Api:
    """A server's API at `url` (such as `http://127.0.0.1:8800`), with a bearer token if there is one."""

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        import urllib3

        if not self.url.startswith(("http://", "https://")):
            raise UsageFault(f"server address {self.url!r} must start with http:// or https://")
        try:
            urllib3.util.parse_url(self.url)
        except urllib3.exceptions.LocationParseError as error:
            raise UsageFault(f"server address {self.url!r} is none: it looks like http://HOST:PORT") from error
        self.url = self.url.rstrip("/")
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S)

    def get(self, path: str) -> Any:
        """GET `path`; the decoded JSON answer. Raises Unreachable, NotAllowed, NotFound, Conflict, UsageFault."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """POST JSON."""
        return self.call("POST", path, json.dumps(body if body is not None else {}).encode())

    def put_bytes(self, path: str, content: bytes) -> Any:
        """PUT bytes."""
        return self.call("PUT", path, content, content_type="application/octet-stream")

    def exists(self, path: str) -> bool:
        """HEAD `path`: is it there?"""
        try:
            self.call("HEAD", path)
        except NotFound:
            return False
        return True

    def call(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
        """One request. The answer's JSON, or None when it has no body."""
        import urllib3

        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = self._pool.request(method, self.url + path, body=body, headers=headers, preload_content=False)
            content = answer.read(MAX_ANSWER_BYTES + 1)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(
                f"nothing answers at {self.url} ({_cause(error)}): check the address and that the server runs"
            ) from error
        if len(content) > MAX_ANSWER_BYTES:
            raise EdgekitError(f"{self.url}{path} answered more than {MAX_ANSWER_BYTES >> 20} MiB", reason="too_large")
        return _judge(answer.status, content, f"{method} {self.url}{path}")


def _cause(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}"
    return next((words for known, words in _CAUSES.items() if known in text), type(error).__name__)


def _judge(status: int, content: bytes, what: str) -> Any:
    try:
        value = json.loads(content) if content else None
    except ValueError:
        value = None
    if status < 400:
        return value
    # The fleet server says why in `detail`; an agent in `error`, where `detail` lists what is wrong with which feature.
    told = [value.get("detail"), value.get("error")] if isinstance(value, dict) else []
    message = next((text for text in told if isinstance(text, str)), _untold(status, what))
    reason = value.get("reason") if isinstance(value, dict) else None
    kind = UsageFault if reason == _BAD_ROWS else _KINDS.get(status, EdgekitError)
    raise kind(message, reason=reason if isinstance(reason, str) else None)


def _untold(status: int, what: str) -> str:
    """For answers without a reason, as to HEAD."""
    if status in (401, 403):
        return f"{what} was refused with {status}: the token is not known there, or its role is too low"
    return f"{what} answered {status}"
