"""The alarm rules of a site: the defaults with the file's changes laid over them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from opcua_bms.alarms.rules import Rule, load_rules
from opcua_bms.config.models import Config
from opcua_bms.document import Document, Problem, did_you_mean, problems_of

_KEYS = ("rules",)


def rules_of(config: Config, document: Document) -> tuple[Rule, ...]:
    """ConfigurationError tells each rule that makes no sense with its line."""
    problems = [
        Problem(("alarms", key), f"unknown key{did_you_mean(key, _KEYS)}") for key in config.alarms if key not in _KEYS
    ]
    changes: Any = config.alarms.get("rules", {})
    if not isinstance(changes, dict):
        problems.append(Problem(("alarms", "rules"), "must be a table of rules, like [alarms.rules.cell_overvoltage]"))
    if problems:
        raise document.error(problems)
    try:
        return load_rules(changes)
    except ValidationError as error:
        rows: list[dict[str, Any]] = [dict(row) for row in error.errors()]
        raise document.error([Problem(("alarms", "rules", *p.location), p.what) for p in problems_of(rows)]) from None
    except ValueError as error:
        raise document.error([Problem(("alarms", "rules"), str(error))]) from None
