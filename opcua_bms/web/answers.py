"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response


def data(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that is made already."""
    return Response(body, status, headers, "application/json")


def json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Anything as JSON."""
    return data(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), status, headers)


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """What is wrong, in words."""
    return json({"error": text}, status, headers)


async def body_of(request: Request) -> dict[str, object]:
    """The JSON object of a request. ValueError: it is none, or the client left before its end."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise ValueError("send application/json")
    try:
        body = await request.body()
    except ClientDisconnect:  # else each would be a traceback in the log
        raise ValueError("the body is not whole") from None
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError("send a JSON object")  # noqa: TRY004 - the caller answers one error
    return found
