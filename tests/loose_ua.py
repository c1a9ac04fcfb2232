"""asyncua's names without its types: its annotations refuse what its own constructors take, a plain int as NodeId."""

from __future__ import annotations

from typing import Any

import asyncua
from asyncua.ua.uaerrors import UaError as _UaError
from asyncua.ua.uaerrors import UaStatusCodeError as _UaStatusCodeError

ua: Any = asyncua.ua


class _Patient(asyncua.Client):
    """One that does not hang up when a busy machine answers a second late (asyncua's watchdog does)."""

    def __init__(self, url: str, timeout: float = 4.0, **more: Any) -> None:
        super().__init__(url, timeout, watchdog_intervall=30.0, **more)


Client: Any = _Patient
UaError: type[_UaError] = _UaError
UaStatusCodeError: type[_UaStatusCodeError] = _UaStatusCodeError
