"""The one place where the server's classes are put together.

A part of the server is replaced by handing another class to `UaServer(settings, wiring)`; `DEFAULT` is what ships.

- `protocol`: bytes of a socket → frames. `lane.FastProtocol` extends `guard.protocol.Protocol`, which makes a
  `processor`.
- `processor`: frames → service calls. `lane.FastProcessor` extends `guard.processor.GuardedProcessor`, which extends
  `processor.Processor`.
- `session`: `guard.session.GuardedSession` extends `session.Session`.
- `subscriptions`: `services.subscription.Subscriptions(aspace, iserver)`; `attach(store, space)` is called once the
  bulk values are known.
- `history`: `services.history.History(iserver)`; `provide(provider)` is called once there is a history.
- `endpoints`: `(server) -> None`, called at start in place of asyncua's `_setup_server_nodes`: adds the
  EndpointDescriptions (`server.iserver.add_endpoint`) and the channel policies (`server._policies`); None: asyncua's.
- `attributes`, `views`, `methods`: the services of Part 4 §5.8–5.12, made with `(iserver)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opcua_bms.ua.guard.processor import GuardedProcessor
from opcua_bms.ua.guard.protocol import Protocol
from opcua_bms.ua.guard.session import GuardedSession
from opcua_bms.ua.guard.startup import guard
from opcua_bms.ua.lane import FastProcessor, FastProtocol
from opcua_bms.ua.services.attribute import Attributes
from opcua_bms.ua.services.history import History
from opcua_bms.ua.services.method import Methods
from opcua_bms.ua.services.subscription import Subscriptions
from opcua_bms.ua.services.view import Views
from opcua_bms.ua.session import Session


@dataclass(frozen=True, slots=True)
class Wiring:
    """The classes of a server."""

    protocol: type[Protocol] = FastProtocol
    processor: type[GuardedProcessor] = FastProcessor
    session: type[Session] = GuardedSession
    subscriptions: type[Subscriptions] = Subscriptions
    attributes: type[Attributes] = Attributes
    views: type[Views] = Views
    methods: type[Methods] = Methods
    history: type[History] = History
    endpoints: Callable[[Any], None] | None = guard


DEFAULT = Wiring()
