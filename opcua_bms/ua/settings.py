"""What a server is told when it is made: who it is, where it listens, what it allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.server.user_managers import PermissiveUserManager, UserManager

from opcua_bms.ua.access import AccessPolicy, OpenAccess
from opcua_bms.ua.security.gate import Gate


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Part 5 §12.4; every field is shown to clients in ServerStatus."""

    manufacturer_name: str = "unknown"
    product_name: str = "unknown"
    software_version: str = "0"
    build_number: str = "0"
    build_date: datetime = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all clients together, may ask for: announced in ServerCapabilities and enforced."""

    connections: int = 200
    connections_per_address: int = 128
    sessions: int = 100
    session_timeout_min_ms: float = 5_000.0
    session_timeout_max_ms: float = 600_000.0
    subscriptions_per_session: int = 20
    subscriptions: int = 1_000
    monitored_items_per_session: int = 50_000
    monitored_items: int = 400_000
    single_items: int = 10_000
    """monitored items of all sessions that are not scalars of the store: each is worked on by itself"""
    nodes_per_read: int = 10_000
    nodes_per_write: int = 10_000
    nodes_per_browse: int = 1_000
    nodes_per_translate: int = 1_000
    nodes_per_register: int = 10_000
    nodes_per_call: int = 100
    nodes_per_history_read: int = 100
    monitored_items_per_call: int = 10_000
    references_per_node: int = 10_000
    """upper bound of references in one BrowseResult, whatever the client asks for"""
    browse_continuation_points: int = 20
    history_continuation_points: int = 100
    history_values: int = 50_000
    """values in one answer to HistoryRead, shared among its nodes"""
    relative_path_elements: int = 32
    array_length: int = 1_000_000
    string_length: int = 1_000_000
    queue_size: int = 1_000
    message_size: int = 4 << 20
    buffer_size: int = 65_535
    publishing_interval_min_ms: float = 50.0
    publishing_interval_max_ms: float = 3_600_000.0
    lifetime_count_max: int = 15_000
    subscription_lifetime_max_ms: float = 86_400_000.0
    """lifetime count × publishing interval: how long a subscription may outlive its client"""
    keep_alive_count_max: int = 5_000
    retransmission_queue: int = 100


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All of a server's settings; port 0 in `endpoint_url` asks the system for a free one."""

    endpoint_url: str = "opc.tcp://127.0.0.1:4840/"
    application_uri: str = "urn:localhost:opcua-server"
    product_uri: str = "urn:opcua-server"
    application_name: str = "OPC UA server"
    build: BuildInfo = field(default_factory=BuildInfo)
    security_policies: tuple[ua.SecurityPolicyType, ...] = (ua.SecurityPolicyType.NoSecurity,)
    certificate: Path | bytes | None = None
    private_key: Path | bytes | None = None
    identity_tokens: tuple[type[Any], ...] = (ua.AnonymousIdentityToken,)
    user_manager: UserManager = field(default_factory=PermissiveUserManager)  # type: ignore[assignment]  # untyped there
    access: AccessPolicy = field(default_factory=OpenAccess)
    gate: Gate | None = None
    """channels, users and roles; it then decides alone, also over `access`, policies, tokens and certificates above"""
    limits: Limits = field(default_factory=Limits)
    optional_nodes: frozenset[int] = frozenset()
    """standard optional objects that something serves (numbers in namespace 0); others are not shown"""
    server_profiles: tuple[str, ...] = ("http://opcfoundation.org/UA-Profile/Server/StandardUA2017",)
    auditing: bool = False
    """whether audit events are raised"""
    locale_ids: tuple[str, ...] = ("en",)
    conformance_units: tuple[str, ...] = ()
    discovery_server: str = ""
    """URL of a discovery server to register at; needs a gate with a certificate"""
