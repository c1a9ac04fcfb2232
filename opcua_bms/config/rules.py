"""The alarm rules of a site: the defaults with the file's changes laid over them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from opcua_bms.alarms.rules import Rule, load_rules
from opcua_bms.config.models import Config
from opcua_bms.document import Document, Problem, problems_of


def rules_of(config: Config, document: Document) -> tuple[Rule, ...]:
    """ConfigurationError tells each rule that makes no sense with its line."""
    try:
        return load_rules(config.alarms.rules)
    except ValidationError as error:
        rows: list[dict[str, Any]] = [dict(row) for row in error.errors()]
        raise document.error([Problem(("alarms", "rules", *p.location), p.what) for p in problems_of(rows)]) from None
    except ValueError as error:
        raise document.error([Problem(("alarms", "rules"), str(error))]) from None
