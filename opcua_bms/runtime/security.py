"""From the configuration to the server's settings: who listens where, with which certificate, and whom it lets in."""

from __future__ import annotations

import datetime
import ipaddress
import shlex
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from opcua_bms import __version__
from opcua_bms.config.models import OpcUa
from opcua_bms.errors import ConfigurationError
from opcua_bms.server.conformance import CONFORMANCE_UNITS
from opcua_bms.ua.security.certificates import CertificateRequest, host_names
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.security.users import UserDatabase
from opcua_bms.ua.security.validation import ValidationRules
from opcua_bms.ua.settings import BuildInfo, Limits, ServerSettings

PRODUCT_URI = "urn:opcua-bms"
SERVER_PROFILE = "http://opcfoundation.org/UA-Profile/Server/StandardUA2017"
"""The Standard profile also wants Discovery Register, which is refused: a server in front of a plant calls nobody."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where certificates and users are kept."""

    pki: PkiStore
    user_pki: PkiStore
    users: UserDatabase
    audit: Path

    @classmethod
    def of(cls, opcua: OpcUa, base: Path, state: Path) -> Stores:
        """From the configuration, relative to its file; else below the state directory."""
        pki = base / opcua.pki if opcua.pki else state / "pki"
        users = base / opcua.users if opcua.users else state / "users.json"
        audit = base / opcua.audit if opcua.audit else state / "audit.jsonl"
        return cls(PkiStore(pki), PkiStore(pki / "users"), UserDatabase(users), audit)


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint URL can be reached from this machine only."""
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def application_uri(opcua: OpcUa) -> str:
    """The configured one, else made from the host name; stable over restarts."""
    return opcua.application_uri or f"urn:{socket.gethostname().lower()}:opcua-bms"


def certificate_request(opcua: OpcUa) -> CertificateRequest:
    """What the own certificate says: all names and addresses of this machine and of the endpoint."""
    host = urlsplit(opcua.endpoint).hostname or "localhost"
    extra = () if host in ("0.0.0.0", "::") else (host,)  # noqa: S104 # compared with, not listened on
    return CertificateRequest(application_uri(opcua), "opcua-bms", "opcua-bms", host_names(extra))


def login_hint(name: str) -> str:
    """The commands that would let a user in; the name is a stranger's, so it is quoted for the shell."""
    quoted = shlex.quote(name)
    return f"opcua-bms users passwd {quoted}, or opcua-bms users add {quoted} --role ROLE if there is no such user"


def application_roles(opcua: OpcUa) -> dict[str, frozenset[Role]]:
    """Roles by ApplicationUri."""
    return {a.uri: frozenset(map(Role.parse, a.roles)) for a in opcua.applications}


def server_settings(opcua: OpcUa, stores: Stores, *, demo_access: bool = False) -> ServerSettings:
    """Secure unless told otherwise. `demo_access`: anonymous clients without security may observe, on loopback only.

    ConfigurationError: an endpoint without security would be open to the network.
    """
    unsecured = opcua.policy_none or demo_access
    if unsecured and not is_loopback(opcua.endpoint):
        what = "--insecure-demo-access" if demo_access else "opcua.policy_none"
        raise ConfigurationError(
            f"{what}: {opcua.endpoint} can be reached from the network; without security only on 127.0.0.1"
        )
    stores.pki.create_folders()
    certificate, key = stores.pki.own(certificate_request(opcua), datetime.datetime.now(datetime.UTC))
    anonymous = opcua.anonymous if not demo_access or opcua.anonymous != "none" else "observe"
    security = SecuritySettings(
        none_sessions=unsecured,
        anonymous=anonymous != "none",
        anonymous_roles=frozenset({Role.OBSERVER} if anonymous != "none" else ()),
        anonymous_operates_alarms=anonymous == "operate",
        application_roles=application_roles(opcua),
        validation=ValidationRules(require_revocation_list=opcua.require_revocation_lists),
        renew_hint="opcua-bms certs renew",
        issuer_hint="opcua-bms certs trust --issuer FILE, with its authority's certificate",
        bind_hint="opcua-bms users add NAME --role ROLE --no-password --certificate FILE",
        login_hint=login_hint,
        anonymous_hint='anonymous = "observe" in the [opcua] table of the configuration',
        trust_hint=lambda thumbprint: f"opcua-bms certs trust {thumbprint}",
        user_trust_hint=lambda thumbprint: f"opcua-bms certs trust --users {thumbprint}",
    )
    gate = Gate(
        security, certificate, key, stores.pki, stores.user_pki, stores.users, audit_path=stores.audit.absolute()
    )
    limits = opcua.limits
    return ServerSettings(
        endpoint_url=opcua.endpoint,
        application_uri=application_uri(opcua),
        product_uri=PRODUCT_URI,
        application_name="opcua-bms",
        build=BuildInfo(
            manufacturer_name="opcua-bms",
            product_name="opcua-bms",
            software_version=__version__,
            build_number=__version__,
            build_date=datetime.datetime.fromtimestamp(Path(__file__).stat().st_mtime, datetime.UTC),
        ),
        limits=replace(
            Limits(),
            connections=limits.connections,
            connections_per_address=limits.connections_per_address,
            sessions=limits.sessions,
            subscriptions_per_session=limits.subscriptions_per_session,
            monitored_items_per_session=limits.monitored_items_per_session,
        ),
        gate=gate,
        server_profiles=(SERVER_PROFILE,),
        conformance_units=CONFORMANCE_UNITS,
        discovery_server=opcua.discovery_server,
        auditing=True,
    )
