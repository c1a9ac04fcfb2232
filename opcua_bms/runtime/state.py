"""Where a running program keeps what must outlive it: PKI, users, alarm journal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

import structlog

from opcua_bms.errors import PermissionDeniedError

_log = structlog.get_logger(__name__)


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


def tighten(paths: Iterable[Path]) -> None:
    """Take files from all others' eyes (0600), with a line in the log for each; what is not there is left out.

    What the program makes itself is 0600 from the start: this is for files that were restored, copied or made before.
    """
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if not mode & 0o077:
                continue
            path.chmod(0o600)
        except FileNotFoundError:
            continue
        except OSError as error:
            _log.error("file_open_to_others", path=str(path), reason=error.strerror, fix=f"chmod 600 '{path}'")
        else:
            _log.warning("file_was_open_to_others", path=str(path), mode=f"{mode:04o}", now="0600")


def _user_state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
