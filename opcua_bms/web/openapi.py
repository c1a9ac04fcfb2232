"""`/api/openapi.json`: what the API answers."""

from __future__ import annotations

from typing import Any

from opcua_bms.web.operate import COMMANDS

_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_TEXT = {"type": "string"}


def _each(names: str, schema: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(names.split(), schema)


_ROW = {
    "type": "object",
    "properties": {
        **_each("id source label unit place message level comment user", _TEXT),
        **_each("active acked confirmed latched good suppressed", {"type": "boolean"}),
        **_each("value limit", _NUMBER),
        "shelved": {"enum": ["unshelved", "timed", "one_shot"]},
        "event": {"type": "string", "description": "hex; Acknowledge, Confirm and AddComment must present it"},
        "severity": {"type": "integer", "minimum": 1, "maximum": 1000},
        **_each("time since unshelve_at", {"type": "integer", "description": "ms since 1970 UTC; 0: —"}),
    },
}
_VALUE = {
    "type": "object",
    "properties": {"value": _NUMBER, "quality": {"type": "integer"}, "age_s": _NUMBER},
}
_ARRAYS = {
    f"{quantity}{suffix}": {"type": "array", "items": kind}
    for quantity in ("voltage", "temperature")
    for suffix, kind in (("", _NUMBER), ("_quality", {"type": "integer"}), ("_age_s", _NUMBER))
}
_SNAPSHOT = {
    "type": "object",
    "required": ["format", "site", "scan", "values", "words", "devices", "alarms"],
    "properties": {
        "format": {"const": 1},
        "site": _TEXT,
        "scan": {"type": "object", "properties": {"counter": {"type": "integer"}, "time_ns": {"type": "integer"}}},
        "values": {
            "type": "object",
            "description": "by the text of the NodeId, like BMS.Stack1.Cluster03.MaxCellVoltage",
            "additionalProperties": _VALUE,
        },
        "words": {"type": "object", "additionalProperties": {"type": "object"}},
        "devices": {"type": "array", "items": {"type": "object"}},
        "alarms": {"type": "array", "items": _ROW},
        "cells": {
            "type": "array",
            "description": "one entry per cluster, pack by pack",
            "items": {
                "type": "object",
                "properties": {"stack": {"type": "integer"}, "cluster": {"type": "integer"}, **_ARRAYS},
            },
        },
    },
}
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
_SERIES = {
    "type": "object",
    "properties": {
        "unit": _TEXT,
        "times": {"type": "array", "items": {"type": "number"}, "description": "s since 1970 UTC"},
        "values": {"type": "array", "items": _NUMBER, "description": "null where there was no value"},
    },
}
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
_SESSION = {
    "type": "object",
    "properties": {
        "user": {"type": ["string", "null"]},
        "roles": {"type": "array", "items": _TEXT},
        "operates": {"type": "boolean"},
        "csrf": _TEXT,
    },
}


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
            "/api/plant": _get("What is fitted where; changes only with a restart.", {"type": "object"}),
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
            "/api/status": _get(
                "What is well and what is not, and why.", {"type": "array", "items": {"type": "object"}}
            ),
            "/api/session": _get("Who is logged in.", _SESSION)
            | _send("post", "Log in.", _LOGIN, _SESSION, _401="wrong", _429="too many attempts", _403="not encrypted")
            | _send("delete", "Log out.", None, _SESSION),
            "/api/alarms": _get("Conditions that want attention.", {"type": "array", "items": _ROW})
            | _send(
                "post",
                "Answer a condition, as an operator.",
                _OPERATE,
                {"type": "object", "properties": {"result": _TEXT}},
                _401="not logged in",
                _403="not an operator, or not from our page",
                _404="no such condition",
                _409="the condition is in no state for that",
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
