"""Numbers of a query."""

from __future__ import annotations

import math

from starlette.requests import Request

_MOST = 9e9
"""s since 1970 that int64 holds as ns"""


def number(request: Request, name: str, default: float) -> float:
    """A parameter, or its default. ValueError: it is no number that can be meant."""
    told = request.query_params.get(name)
    if told is None or told == "":
        return default
    try:
        value = float(told)
    except ValueError:
        value = math.nan
    if not 0 <= value < _MOST:
        raise ValueError(f"{name} must be a number (got {told[:40]!r})")
    return value
