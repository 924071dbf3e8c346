"""The dashboard: one page, rendered here, whose live part is fetched again every two seconds. It only shows.

The session is the API token itself in a cookie that scripts cannot read and other sites cannot send, so a revoked
token ends its sessions at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from edgekit import __version__
from edgekit.errors import NotAllowed
from edgekit.times import rfc3339
from fleet.api.access import TheServer
from fleet.auth import authenticate
from fleet.dashboard import shapes
from fleet.rollout import views
from fleet.server import Server
from fleet.store import devices, overview

COOKIE = "edgekit_session"
PAGE_ROWS = 25
_SESSION_S = 30 * 86_400
_HERE = Path(__file__).parent

router = APIRouter(include_in_schema=False)
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"age": shapes.age, "size": shapes.size, "count": shapes.count, "words": shapes.words}


def static_files() -> StaticFiles:
    """Style sheet and htmx."""
    return StaticFiles(directory=_HERE / "static")


@router.get("/")
def home(request: Request, server: TheServer, after: str = "", *, live: bool = True) -> Response:
    """The whole page; without a session, the way to the login."""
    if not _may_look(server, request):
        return RedirectResponse("/login", status_code=303)
    return _page("home.html", _content(server, after, live=live))


@router.get("/fragment")
def fragment(request: Request, server: TheServer, after: str = "") -> Response:
    """The live part alone. A session that ended sends the browser to the login."""
    if not _may_look(server, request):
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    return _page("live.html", _content(server, after, live=True))


@router.get("/login")
def login_form() -> Response:
    """Ask for a token."""
    return _page("login.html", {"fault": None})


@router.post("/login")
async def login(request: Request, server: TheServer) -> Response:
    """Turn a token into a session."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    secret = fields.get("token", [""])[0].strip()
    fault = await run_in_threadpool(_fault, server, secret)
    if fault is not None:
        return _page("login.html", {"fault": fault}, status=401)
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=_SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
def logout() -> Response:
    """Forget the session."""
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _may_look(server: Server, request: Request) -> bool:
    return _fault(server, request.cookies.get(COOKIE, "")) is None


def _fault(server: Server, secret: str) -> str | None:
    try:
        with server.database.read() as connection:
            authenticate(connection, secret)
    except NotAllowed as error:
        return error.message
    return None


def _content(server: Server, after: str, *, live: bool) -> dict[str, object]:
    now = server.clock()
    with server.database.read() as connection:
        totals = overview.totals(connection)
        page = devices.page(connection, after=after, limit=PAGE_ROWS)
        rollouts = views.list_rollouts(connection)
    return {
        "tenant": server.config.server.tenant,
        "live": live,
        "after": after,
        "now": now,
        "now_text": rfc3339(now),
        "totals": totals,
        "tiles": shapes.tiles(totals),
        "devices": page.devices,
        "next": page.next,
        "rollouts": [shapes.rollout(item) for item in rollouts[: shapes.SHOWN_ROLLOUTS]],
        "rollouts_hidden": max(0, len(rollouts) - shapes.SHOWN_ROLLOUTS),
    }


def _page(template: str, content: Mapping[str, object], *, status: int = 200) -> HTMLResponse:
    text = _templates.get_template(template).render({"version": __version__, **content})
    return HTMLResponse(text, status_code=status)
