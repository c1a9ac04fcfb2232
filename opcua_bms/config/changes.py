"""What differs between two configurations, and what of it a running program can take over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opcua_bms.config.models import Config

RELOADABLE = (
    "alarms.max_shelving_s",
    "alarms.rules",
    "history.max_size_mb",
    "history.retention_days",
    "log.level",
    "opcua.applications",
)
"""Keys, and tables with all below them, that need no restart; of a rule, what makes no condition (alarms.revision)."""


def changed_keys(before: Config, after: Config) -> tuple[str, ...]:
    """Keys whose values differ, like `devices[0].port`; a table or list of another shape is one key."""
    return tuple(_differences(before.model_dump(), after.model_dump(), ""))


def needs_restart(key: str) -> bool:
    """Whether a changed key is beyond what a running program can take over."""
    return not any(key == known or key.startswith((f"{known}.", f"{known}[")) for known in RELOADABLE)


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(key), after.get(key), f"{at}.{key}" if at else str(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, f"{at}[{k}]")
    else:
        yield at
