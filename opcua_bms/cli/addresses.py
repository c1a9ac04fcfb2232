"""HOST:PORT as people type it."""

from __future__ import annotations

import re

from opcua_bms.errors import UsageError

_ADDRESS = re.compile(r"^(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\s\[\]]+)):(?P<port>\d+)(?P<plus>\+?)$")


def parse(text: str, option: str) -> tuple[str, int, bool]:
    """Host, port and whether a + follows. UsageError says what is expected."""
    found = _ADDRESS.match(text)
    if not found:
        raise UsageError(f"{option}: must be HOST:PORT, or HOST:PORT+ for a port per cluster (got '{text}')")
    port = int(found["port"])
    if not 1 <= port <= 65_535:
        raise UsageError(f"{option}: the port must be 1 to 65535 (got {port})")
    return found["six"] or found["host"], port, bool(found["plus"])
