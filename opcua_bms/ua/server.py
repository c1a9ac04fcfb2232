"""A UA server as its owner sees it: settings in, nodes and values in, start and stop.

    server = UaServer(ServerSettings(...))
    await server.init()                                  # the standard address space
    await server.load_nodeset(xml)                       # types
    index = await server.register_namespace(uri)         # for the BrowseNames of families
    server.attach(store, families, index)                # instances
    await server.start()                                 # listening: `endpoint_url` has the real port
    store.commit(...)                                    # again and again
    await server.stop("maintenance", seconds_till_shutdown=5)

Classes are replaced through `wiring.Wiring`; nothing of asyncua's modules is swapped.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

from asyncua import Server, ua

from opcua_bms.errors import AddressInUseError
from opcua_bms.ua.binary import BinaryServer
from opcua_bms.ua.guard.watch import show_security
from opcua_bms.ua.internal_server import InternalServer
from opcua_bms.ua.registration import Registration
from opcua_bms.ua.services.method import Handler
from opcua_bms.ua.settings import ServerSettings
from opcua_bms.ua.space.blueprint import Family
from opcua_bms.ua.space.instances import InstanceSpace, RootReference
from opcua_bms.ua.space.standard import correct
from opcua_bms.ua.store import ValueStore
from opcua_bms.ua.wiring import DEFAULT, Wiring


class _Server(Server):
    """asyncua's Server, which listens through our BinaryServer."""

    iserver: InternalServer
    bserver: BinaryServer | None

    def __init__(self, iserver: InternalServer, wiring: Wiring) -> None:
        super().__init__(iserver=iserver)
        self._wiring = wiring

    async def start(self) -> None:
        """Listen; AddressInUseError if the port is taken."""
        if self._wiring.endpoints is not None:
            self._wiring.endpoints(self)
        else:
            await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._get_bind_socket_info()
        self.bserver = BinaryServer(self.iserver, host, port, self.limits, wiring=self._wiring)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError as e:
            self.bserver = None
            await self.iserver.stop()
            if e.errno == errno.EADDRINUSE:
                raise AddressInUseError(f"{self.endpoint.geturl()}: the port is taken") from e
            raise


class UaServer:
    """One server."""

    def __init__(self, settings: ServerSettings, wiring: Wiring = DEFAULT) -> None:
        self.settings = settings
        self.iserver = InternalServer(settings, wiring)
        self.server = _Server(self.iserver, wiring)
        self.server.set_endpoint(settings.endpoint_url)
        self.server.product_uri = settings.product_uri
        self.server.name = settings.application_name
        self.server.manufacturer_name = settings.build.manufacturer_name
        self.server.application_type = ua.ApplicationType.Server
        self.server.set_security_policy(list(settings.security_policies))
        self.server._application_uri = settings.application_uri
        self.registration: Registration | None = None
        """at a discovery server, while the server runs and if one is configured"""
        limits = self.server.limits
        limits.max_recv_buffer = limits.max_send_buffer = settings.limits.buffer_size
        limits.max_message_size = settings.limits.message_size
        limits.max_chunk_count = -(-settings.limits.message_size // settings.limits.buffer_size)

    async def init(self) -> None:
        """Load namespace 0, certificate and key; must come first."""
        await self.server.init()
        correct(self.iserver.aspace, (*self.settings.optional_nodes, *self.iserver.gate.optional_nodes))
        self.iserver.server_object.fill()
        if self.settings.gate is not None:
            await show_security(self.server)
        if self.settings.certificate is not None and self.settings.private_key is not None:
            await self.server.load_certificate(self.settings.certificate, _format(self.settings.certificate))
            await self.server.load_private_key(self.settings.private_key, format=_format(self.settings.private_key))

    async def load_nodeset(self, xml: bytes) -> list[ua.NodeId]:
        """Import a NodeSet2 document; the ids of its nodes."""
        try:
            return list(await self.server.import_xml(xmlstring=xml.decode()))
        finally:
            self.iserver.node_mgt_service.forget()

    async def register_namespace(self, uri: str) -> int:
        """The index of a namespace, which is added if it is new."""
        return await self.server.register_namespace(uri)

    def attach(
        self,
        store: ValueStore,
        families: Sequence[Family],
        namespace_index: int,
        references: Sequence[RootReference] = (),
    ) -> InstanceSpace:
        """Serve the instances of `families`, in a registered namespace, with the values of `store`."""
        space = InstanceSpace(store, families, namespace_index, references)
        self.iserver.attach(store, space)
        return space

    @property
    def store(self) -> ValueStore | None:
        """The bulk values, once attached."""
        return self.iserver.store

    @property
    def space(self) -> InstanceSpace | None:
        """The bulk nodes, once attached."""
        return self.iserver.space

    @property
    def endpoint_url(self) -> str:
        """Where clients connect; with the real port once started."""
        return self.server.endpoint.geturl()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self.server.bserver is not None:
            return int(self.server.bserver.port)
        return int(self.server.endpoint.port or 0)

    async def start(self) -> None:
        """Listen and serve."""
        await self.server.start()
        url = urlparse(self.settings.endpoint_url)
        if not url.port:
            netloc = f"{url.hostname}:{self.port}"
            self.server.endpoint = url._replace(netloc=netloc)
            for endpoint in self.iserver.endpoints:
                endpoint.EndpointUrl = self.endpoint_url
                endpoint.Server.DiscoveryUrls = [self.endpoint_url]
        if self.settings.discovery_server:
            self.registration = Registration(self.settings, self.iserver.gate, self.endpoint_url)
            self.registration.begin()

    async def set_service_level(self, level: int) -> None:
        """How well this server serves: 0 maintenance, 1 no data, 2–199 degraded, 200–255 healthy (Part 4 §6.6.2)."""
        await self.iserver.server_object.set_service_level(level)

    def bind_method(self, method_id: ua.NodeId, handler: Handler) -> None:
        """Serve a Method: of a type (for all its instances) or of one instance; see `services.method`."""
        self.iserver.method_service.bind(method_id, handler)

    async def stop(self, reason: str = "", seconds_till_shutdown: float = 0.0) -> None:
        """Tell clients, wait, close every connection."""
        self.iserver.server_object.stopping(reason, seconds_till_shutdown)
        if self.registration is not None:
            await self.registration.withdraw()
        if seconds_till_shutdown > 0:
            await asyncio.sleep(seconds_till_shutdown)
        await self.server.stop()
        self.iserver.subscription_service.stop()
        await self.iserver.gate.close()


def _format(source: Path | bytes) -> str | None:
    """asyncua guesses the format of a file by its name; bytes must be told."""
    if isinstance(source, Path):
        return None
    return "pem" if source.lstrip().startswith(b"-----BEGIN") else "der"
