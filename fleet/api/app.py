"""The web application: the REST API, the dashboard and `/metrics`, around one `Server`."""

from __future__ import annotations

from fastapi import FastAPI

from edgekit import __version__
from fleet.api import answers, devices, faults, overview, releases, rollouts
from fleet.api.guards import BodyLimit, SafeHeaders
from fleet.dashboard import pages
from fleet.server import Server


def create_app(server: Server) -> FastAPI:
    """The application; it holds nothing but `server`, so any number of them may run on one database."""
    app = FastAPI(
        title="edgekit fleet",
        summary="Devices, signed releases and health-judged rollouts.",
        version=__version__,
        # Their pages load scripts from elsewhere, which the Content-Security-Policy forbids.
        docs_url=None,
        redoc_url=None,
    )
    app.state.server = server
    for room in (overview, devices, releases, rollouts, pages):
        app.include_router(room.router)
    app.mount("/static", pages.static_files())
    faults.install(app)
    answers.describe(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(SafeHeaders)
    return app
