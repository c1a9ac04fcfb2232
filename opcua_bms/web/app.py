"""The ASGI application: routes to documents, stream, login and operators' commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from opcua_bms.clock import Clock
from opcua_bms.ports import AlarmOperations, History, Journal
from opcua_bms.web import metrics, openapi
from opcua_bms.web.answers import data, json, problem
from opcua_bms.web.documents import Documents
from opcua_bms.web.history_api import HistoryApi
from opcua_bms.web.hub import Hub
from opcua_bms.web.needs import Logins, Surroundings, Trail
from opcua_bms.web.operator_api import OperatorApi
from opcua_bms.web.past_api import PastApi
from opcua_bms.web.shield import Shield
from opcua_bms.web.site import Site
from opcua_bms.web.stream import EventStream

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the application is made of. `history`, `journal` None: there is none; `names`: Host names that are ours."""

    site: Site
    hub: Hub
    clock: Clock
    alarms: AlarmOperations
    logins: Logins
    around: Surroundings
    history: History | None
    names: Collection[str]
    viewers: int = 100
    encrypted: bool = False
    journal: Journal | None = None
    trail: Trail | None = None


class _Files(StaticFiles):
    """Revalidated at every use: a page never mixes modules of two versions."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """With Cache-Control."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]  # passed through as they come
        response.headers["cache-control"] = "no-cache"
        return response

    async def get_response(self, path: str, scope: Scope) -> Response:
        """`/` is the page."""
        return await super().get_response("index.html" if path in ("", ".") else path, scope)


class _Views:
    """What anybody may read."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._documents = Documents(parts.site)
        self._registry = metrics.registry(parts.site, parts.hub, parts.around, parts.history)
        self._plant: Response | None = None

    async def plant(self, request: Request) -> Response:
        del request
        if self._plant is None:
            has = {"history": self._parts.history is not None, "journal": self._parts.journal is not None}
            self._plant = json(self._parts.site.document() | has)
        return self._plant

    async def snapshot(self, request: Request) -> Response:
        whole = request.query_params.get("cells", "true").lower() not in ("false", "0", "no")
        return self._document("snapshot" if whole else "summary")

    async def flat(self, request: Request) -> Response:
        del request
        return self._document("flat")

    async def devices(self, request: Request) -> Response:
        del request
        return self._document("devices")

    def _document(self, kind: str) -> Response:
        snapshot = self._parts.hub.snapshot
        if snapshot is None:
            return problem(503, "no scan is done yet", {"retry-after": "1"})
        return data(self._documents.get(kind, snapshot))

    async def openapi(self, request: Request) -> Response:
        del request
        return json(openapi.document(self._parts.site.version))

    async def healthz(self, request: Request) -> Response:
        del request
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        del request
        snapshot = self._parts.hub.snapshot
        if snapshot is None:
            return PlainTextResponse("no scan is done yet\n", 503)
        if reason := self._parts.around.stale():
            return PlainTextResponse(f"{reason}\n", 503)
        if snapshot.journal.failing_since_ns:
            return PlainTextResponse("ok, but alarms are not on disk\n")
        return PlainTextResponse("ok\n")

    async def metrics(self, request: Request) -> Response:
        del request
        return Response(metrics.text(self._registry), media_type=metrics.CONTENT_TYPE)


def build(parts: Parts) -> ASGIApp:
    """The application, ready to be served."""
    views = _Views(parts)
    operators = OperatorApi(
        parts.site,
        parts.hub,
        parts.clock,
        parts.alarms,
        parts.logins,
        parts.around,
        encrypted=parts.encrypted,
        trail=parts.trail,
    )
    history = HistoryApi(parts.site, parts.history, parts.clock)
    past = PastApi(parts.site, parts.journal, parts.clock)
    routes = [
        Route("/api/plant", views.plant),
        Route("/api/snapshot", views.snapshot),
        Route("/api/flat", views.flat),
        Route("/api/history", history.get),
        Route("/api/events", EventStream(parts.hub, parts.viewers)),
        Route("/api/openapi.json", views.openapi),
        Route("/api/devices", views.devices),
        Route("/api/status", operators.status),
        Route("/api/session", operators.session, methods=["GET", "POST", "DELETE"]),
        Route("/api/alarms", operators.alarms, methods=["GET", "POST"]),
        Route("/api/alarms/past", past.get),
        Route("/api/alarms/past.csv", past.file),
        Route("/healthz", views.healthz),
        Route("/readyz", views.readyz),
        Route("/metrics", views.metrics),
        Mount("/", _Files(directory=STATIC)),
    ]
    return Shield(Starlette(routes=routes), parts.names)
