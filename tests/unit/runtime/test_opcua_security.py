"""From the configuration to the rules that certificates are held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcua_bms.config.models import OpcUa
from opcua_bms.runtime.security import Stores, server_settings


@pytest.mark.parametrize("required", [False, True])
def test_revocation_lists_can_be_required(tmp_path: Path, required: bool) -> None:
    """Where an authority signs, a list that is missing or out of date hides who was revoked (OPC 10000-4 §6.1.3)."""
    opcua = OpcUa(require_revocation_lists=required)
    gate = server_settings(opcua, Stores.of(opcua, tmp_path, tmp_path)).gate
    assert gate is not None
    for rules in (gate.settings.validation, gate.authenticator.settings.validation):
        assert rules.require_revocation_list is required
