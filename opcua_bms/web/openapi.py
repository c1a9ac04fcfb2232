"""`/api/openapi.json`: what the API answers."""

from __future__ import annotations

from typing import Any

from opcua_bms.model.alarm import What
from opcua_bms.web.needs import Level
from opcua_bms.web.operate import COMMANDS

_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_TEXT = {"type": "string"}
_INTEGER = {"type": "integer"}


def _each(names: str, schema: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(names.split(), schema)


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """All of these, and nothing else."""
    out = {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}
    return out | more


def _list(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": of, **more}


_ROW_FIELDS: dict[str, Any] = {
    **_each("id source label unit place message level comment user", _TEXT),
    **_each("active acked confirmed latched good suppressed first_out", {"type": "boolean"}),
    **_each("value limit", _NUMBER),
    "shelved": {"enum": ["unshelved", "timed", "one_shot"]},
    "event": {"type": "string", "description": "hex; Acknowledge, Confirm and AddComment must present it"},
    "branch": {"type": "string", "description": "hex; not empty: an earlier activation that nobody has answered"},
    "severity": {"type": "integer", "minimum": 1, "maximum": 1000},
    "repeats": {"type": "integer", "minimum": 0, "description": "how often this activation was told again"},
    **_each("time since unshelve_at", {"type": "integer", "description": "ms since 1970 UTC; 0: —"}),
}
_ROW = _object(_ROW_FIELDS)
_PAST = _object(
    {
        "rows": _list(
            _object(
                {
                    "sequence": {"type": "integer", "description": "rises with each change, never used again"},
                    "what": {"enum": [what.value for what in What]},
                    **_ROW_FIELDS,
                }
            )
        ),
        "next": {"type": ["integer", "null"], "description": "`before` of the next page"},
    }
)
_VALUE = _object({"value": _NUMBER, "quality": _INTEGER, "age_s": _NUMBER})
_DEVICE_FIELDS: dict[str, Any] = {
    **_each("name state error", _TEXT),
    "age_s": {**_NUMBER, "description": "of its last good answer; null: none yet"},
    "clusters": _list(_INTEGER, description="0-based; whose own values it gives; none: all"),
    **_each("p50_ms p95_ms late_ms", {"type": "number"}),
    **_each("requests timeouts exceptions overruns quarantined", _INTEGER),
    "frozen": {"type": "boolean", "description": "its heartbeat stands still"},
}
_DEVICE = _object(_DEVICE_FIELDS)
_DEVICE_WHOLE = _object(
    {
        **_DEVICE_FIELDS,
        "faults": {"type": "object", "additionalProperties": _INTEGER, "description": "kind → count since the start"},
        "refused": _list(_object({"table": _TEXT, "address": _INTEGER, "count": _INTEGER})),
        "blocks": _list(
            _object(
                {
                    "table": _TEXT,
                    "group": _TEXT,
                    **_each("address count requests timeouts exceptions", _INTEGER),
                    **_each("p50_ms p95_ms", {"type": "number"}),
                    "age_s": _NUMBER,
                }
            )
        ),
        "says": {"type": "object", "description": "what it tells of itself"},
        "clock_offset_s": {**_NUMBER, "description": "its clock minus ours; null: it has none"},
    }
)
_CELLS = _object(
    {
        **_each("stack cluster", _INTEGER),
        **{
            f"{quantity}{suffix}": _list(kind)
            for quantity in ("voltage", "temperature")
            for suffix, kind in (("", _NUMBER), ("_quality", _INTEGER), ("_age_s", _NUMBER))
        },
    }
)
_SNAPSHOT = {
    "type": "object",
    "required": ["format", "site", "scan", "values", "words", "devices", "overrides", "alarms"],
    "additionalProperties": False,
    "properties": {
        "format": {"const": 1},
        "site": _TEXT,
        "scan": _object({**_each("counter time_ns", _INTEGER), **_each("period_s duration_s lateness_s", _NUMBER)}),
        "values": {
            "type": "object",
            "description": "by the text of the NodeId, like BMS.Stack1.Cluster03.MaxCellVoltage",
            "additionalProperties": _VALUE,
        },
        "words": {"type": "object", "additionalProperties": _object({"bits": _INTEGER, "quality": _INTEGER})},
        "devices": _list(_DEVICE),
        "overrides": _list(
            _object({"point": _TEXT, "kind": {"enum": ["forced", "disabled"]}, "value": _NUMBER, "since_ns": _INTEGER}),
            description="points forced or taken out of service by an engineer",
        ),
        "alarms": _list(_ROW),
        "cells": _list(_CELLS, description="one entry per cluster, pack by pack"),
    },
}
_PLANT = _object(
    {
        **_each("epoch name version", _TEXT),
        "period_s": {"type": "number"},
        "stacks": _list(_TEXT),
        "clusters": _list(
            _object(
                {
                    "path": _TEXT,
                    **_each("stack number", _INTEGER),
                    "installed": {"type": "boolean"},
                    **_each("cells sensors", _list(_INTEGER, description="of each pack")),
                }
            )
        ),
        "values": _list(_list(_TEXT), description="NodeId text and unit"),
        "words": _list(_list(_TEXT), description="NodeId text and column"),
        "labels": {"type": "object", "description": "column → bit → text"},
        "devices": _list(_TEXT),
        **_each("history journal", {"type": "boolean", "description": "whether there is one"}),
        "qualities": _list(_object({"name": _TEXT, **_each("usable good", {"type": "boolean"})})),
    }
)
_FINDING = _object({**_each("part text fix", _TEXT), "level": {"enum": [level.value for level in Level]}})
_FLAT = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            _NUMBER,
            {
                "type": "array",
                "items": {"type": "object", "properties": {"value": {"type": "integer"}, "string": _TEXT}},
            },
        ]
    },
}
_SERIES = _object(
    {
        **_each("value unit", _TEXT),
        "times": _list({"type": "number"}, description="s since 1970 UTC"),
        "values": _list(_NUMBER, description="null where there was no value"),
    }
)
_LOGIN = {
    "type": "object",
    "required": ["user", "password"],
    "properties": {"user": _TEXT, "password": {"type": "string", "format": "password"}},
}
_OPERATE = {
    "type": "object",
    "required": ["id", "command"],
    "properties": {
        "id": _TEXT,
        "command": {"enum": [command.value for command in COMMANDS]},
        "event": _TEXT,
        "comment": {"type": ["string", "null"]},
        "minutes": {"type": "number", "description": "of TimedShelve"},
    },
}
_SESSION = _object(
    {"user": {"type": ["string", "null"]}, "roles": _list(_TEXT), "operates": {"type": "boolean"}, "csrf": _TEXT}
)


def _answer(description: str, schema: dict[str, Any] | None = None, media: str = "application/json") -> dict[str, Any]:
    out: dict[str, Any] = {"description": description}
    if schema is not None:
        out["content"] = {media: {"schema": schema}}
    return out


def _get(
    summary: str, schema: dict[str, Any], *parameters: dict[str, Any], media: str = "application/json", **more: str
) -> dict[str, Any]:
    responses = {"200": _answer("OK", schema, media)} | {f"{k[1:]}": _answer(v) for k, v in more.items()}
    out: dict[str, Any] = {"summary": summary, "responses": responses}
    if parameters:
        out["parameters"] = list(parameters)
    return {"get": out}


def _send(
    method: str, summary: str, schema: dict[str, Any] | None, answer: dict[str, Any], **more: str
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": _answer("OK", answer)} | {f"{k[1:]}": _answer(v) for k, v in more.items()},
    }
    if schema is not None:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if method != "post" or schema is _OPERATE:
        out["security"] = [{"session": [], "csrf": []}]
    return {method: out}


def _query(name: str, description: str, kind: str = "string", *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": {"type": kind}}


def _past_query() -> tuple[dict[str, Any], ...]:
    return (
        _query("start", "s since 1970 UTC; default: the beginning", "number"),
        _query("end", "s since 1970 UTC; default: now", "number"),
        _query("source", "text of the NodeId of a stack or cluster: its alarms and those of what is in it"),
        _query("condition", "`id` of one condition"),
        _query("severity", "at least so severe", "integer"),
        _query("before", "only what was recorded before this `sequence`", "integer"),
    )


def document(version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    none_yet = "no scan is done yet"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opcua-bms",
            "version": version,
            "description": "A battery plant, read-only without a login.",
        },
        "paths": {
            "/api/snapshot": _get(
                "The last scan, whole.", _SNAPSHOT, _query("cells", "false: without cell arrays"), _503=none_yet
            ),
            "/api/flat": _get("The last scan as one flat document.", _FLAT, _503=none_yet),
            "/api/plant": _get("What is fitted where; changes only with a restart.", _PLANT),
            "/api/history": _get(
                "One value over time, thinned so that no peak is lost.",
                _SERIES,
                _query("value", "text of the NodeId", required=True),
                _query("start", "s since 1970 UTC; default: an hour before end", "number"),
                _query("end", "s since 1970 UTC; default: now", "number"),
                _query("points", "at most about so many (default 1000)", "integer"),
                _404="no such value, or no history",
                _400="a parameter makes no sense",
            ),
            "/api/events": _get("Every scan as it comes.", _TEXT, media="text/event-stream", _503="too many viewers"),
            "/api/status": _get("What is well and what is not, and why.", _list(_FINDING)),
            "/api/devices": _get("All that is counted of every device.", _list(_DEVICE_WHOLE), _503=none_yet),
            "/api/session": _get("Who is logged in.", _SESSION)
            | _send("post", "Log in.", _LOGIN, _SESSION, _401="wrong", _429="too many attempts", _403="not encrypted")
            | _send("delete", "Log out.", None, _SESSION),
            "/api/alarms": _get("Conditions that want attention.", _list(_ROW))
            | _send(
                "post",
                "Answer a condition, as an operator.",
                _OPERATE,
                _object({"result": _TEXT}),
                _401="not logged in",
                _403="not an operator, or not from our page",
                _404="no such condition",
                _409="the condition is in no state for that",
            ),
            "/api/alarms/past": _get(
                "What happened to conditions, the newest first: from the journal.",
                _PAST,
                *_past_query(),
                _query("limit", "rows in one answer (default 100, at most 1000)", "integer"),
                _400="a parameter makes no sense",
                _404="there is no journal",
                _503="the journal is busy, or cannot be read",
            ),
            "/api/alarms/past.csv": _get(
                "The same as one file, at most a million lines.",
                _TEXT,
                *_past_query(),
                media="text/csv",
                _400="a parameter makes no sense",
                _404="there is no journal",
                _503="another file is being written, or the journal cannot be read",
            ),
            "/healthz": _get("Whether the program runs.", _TEXT, media="text/plain"),
            "/readyz": _get("Whether there are values.", _TEXT, media="text/plain", _503=none_yet),
            "/metrics": _get("For Prometheus.", _TEXT, media="text/plain"),
        },
        "components": {
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "opcua_bms"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
            }
        },
    }
