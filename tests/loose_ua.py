"""asyncua's names without its types: its annotations refuse what its own constructors take, a plain int as NodeId."""

from __future__ import annotations

from typing import Any

import asyncua
from asyncua.ua.uaerrors import UaError as _UaError
from asyncua.ua.uaerrors import UaStatusCodeError as _UaStatusCodeError

ua: Any = asyncua.ua
Client: Any = vars(asyncua)["Client"]
UaError: type[_UaError] = _UaError
UaStatusCodeError: type[_UaStatusCodeError] = _UaStatusCodeError
