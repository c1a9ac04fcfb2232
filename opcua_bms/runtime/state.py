"""Where a running program keeps what must outlive it: PKI, users, alarm journal."""

from __future__ import annotations

import os
from pathlib import Path

from opcua_bms.errors import PermissionDeniedError


def state_directory() -> Path:
    """$STATE_DIRECTORY (systemd), else $OPCUA_BMS_STATE_DIR, else the user's state directory; made with mode 0700."""
    told = os.environ.get("STATE_DIRECTORY", "").split(":")[0] or os.environ.get("OPCUA_BMS_STATE_DIR", "")
    path = Path(told) if told else _user_state() / "opcua-bms"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionDeniedError(
            f"state directory {path} cannot be made: {error.strerror}; set OPCUA_BMS_STATE_DIR to one that can"
        ) from None
    return path


def _user_state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
