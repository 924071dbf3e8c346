"""ASGI layers around everything: request bodies are bounded, and answers carry the headers that protect a browser."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgekit.bundle import MAX_BUNDLE_BYTES

MAX_BODY_BYTES = 1 << 20
MAX_METADATA_BODY_BYTES = 64 << 20
_LIMITS = (("/api/v1/artifacts/", MAX_BUNDLE_BYTES), ("/api/v1/metadata", MAX_METADATA_BODY_BYTES))

# No inline script or style, nothing from elsewhere, no frames.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BodyLimit:
    """Refuses a body over its route's limit with 413, as soon as that many bytes have come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((size for start, size in _LIMITS if scope["path"].startswith(start)), MAX_BODY_BYTES)
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413, f"the request is over its limit of {limit} bytes")
            return message

        await self._app(scope, bounded, send)


class SafeHeaders:
    """Adds the protective headers; answers other than static files are not to be cached."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)
