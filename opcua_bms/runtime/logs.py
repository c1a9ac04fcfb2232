"""Logs on stderr: coloured key=value on a terminal, else one JSON object a line; foreign loggers routed through."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

QUIET = {"asyncua": logging.CRITICAL + 1, "pymodbus": logging.CRITICAL, "asyncio": logging.WARNING}
"""What the libraries log of single requests is counted in diagnostics; here it would bury our own lines."""


def visible(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Texts with control characters as their escapes: a stranger's name must not steer the reader's terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack") and not value.isprintable():
            event[key] = ascii(value)
    return event


def configure(level: str = "INFO") -> None:
    """Set up structlog and the standard library's logging; call once per process."""
    terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    finish: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    finish.append(visible if terminal else structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    foreign = [*shared, structlog.stdlib.ExtraAdder()]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*finish, renderer], foreign_pre_chain=foreign))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
