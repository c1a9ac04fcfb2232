"""What a server offers and whom it lets in: the settings of channels, user tokens and roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from asyncua import ua
from asyncua.crypto import security_policies as policies

from opcua_bms.ua.security.policies import Aes128Sha256RsaOaep, Aes256Sha256RsaPss, Basic256Sha256
from opcua_bms.ua.security.roles import ALARM_ROLES, AccessRules, Role
from opcua_bms.ua.security.validation import ValidationRules


class ChannelPolicy(Enum):
    """The security policies on offer, weakest first; deprecated ones do not exist here."""

    NONE = policies.SecurityPolicyNone
    BASIC256SHA256 = Basic256Sha256
    AES128_SHA256_RSA_OAEP = Aes128Sha256RsaOaep
    AES256_SHA256_RSA_PSS = Aes256Sha256RsaPss

    @property
    def uri(self) -> str:
        return str(self.value.URI)


SECURE_POLICIES = (
    ChannelPolicy.BASIC256SHA256,
    ChannelPolicy.AES128_SHA256_RSA_OAEP,
    ChannelPolicy.AES256_SHA256_RSA_PSS,
)
MODES = (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt)
_LEVELS = {
    ChannelPolicy.NONE: 0,
    ChannelPolicy.BASIC256SHA256: 50,
    ChannelPolicy.AES128_SHA256_RSA_OAEP: 55,
    ChannelPolicy.AES256_SHA256_RSA_PSS: 60,
}


def no_hint(thumbprint: str) -> str:
    """Says nothing: `ua` knows no product and thus no command."""
    return f"move {thumbprint} from rejected to trusted"


def no_login_hint(name: str) -> str:
    """The same for users."""
    return f"set a password for {name!r}, or add the user"


@dataclass(frozen=True)
class SecuritySettings:
    """Channels, tokens and roles of one server. The defaults let nobody in who was not invited."""

    policies: tuple[ChannelPolicy, ...] = SECURE_POLICIES
    modes: tuple[ua.MessageSecurityMode, ...] = MODES
    none_sessions: bool = False
    """sessions on channels without security; else such a channel serves discovery only"""
    passwords: bool = True
    user_certificates: bool = True
    anonymous: bool = False
    anonymous_roles: frozenset[Role] = frozenset()
    anonymous_operates_alarms: bool = False
    """anonymous users may do with alarms what an operator may: acknowledge, comment, shelve, suppress, reset, …"""
    application_roles: Mapping[str, frozenset[Role]] = field(default_factory=dict)
    """ApplicationUri → roles that every session of that application has besides its user's, on a secure channel"""
    validation: ValidationRules = field(default_factory=ValidationRules)
    trust_hint: Callable[[str], str] = no_hint
    """the command that would trust an application's certificate, from its thumbprint"""
    user_trust_hint: Callable[[str], str] = no_hint
    """the same for a user's certificate"""
    bind_hint: str = "bind the certificate to a user"
    """the command that makes a trusted certificate a user's"""
    issuer_hint: str = "add its authority's certificate to issuer/certs"
    """the command that adds an authority which only completes chains"""
    login_hint: Callable[[str], str] = no_login_hint
    """the commands that would let a user in who was refused, from the name"""
    anonymous_hint: str = ""
    """the setting that lets anonymous users in"""
    renew_hint: str = ""
    """the command that renews the own certificate"""

    def endpoints(self) -> list[tuple[ChannelPolicy, ua.MessageSecurityMode, int]]:
        """(policy, mode, security level) of every endpoint that takes sessions, strongest first."""
        found: list[tuple[ChannelPolicy, ua.MessageSecurityMode, int]] = [
            (policy, mode, _LEVELS[policy] + (20 if mode is ua.MessageSecurityMode.SignAndEncrypt else 0))
            for policy in self.policies
            if policy is not ChannelPolicy.NONE
            for mode in self.modes
        ]
        found.sort(key=lambda e: -e[2])
        if self.none_sessions:
            found.append((ChannelPolicy.NONE, ua.MessageSecurityMode.None_, 0))
        return found

    def offers(self, policy_uri: str, mode: ua.MessageSecurityMode) -> bool:
        """Whether sessions may be created on a channel with this policy and mode."""
        return any(p.uri == policy_uri and m == mode for p, m, _ in self.endpoints())

    def access_rules(self) -> AccessRules:
        """The default rules for these settings."""
        extra = {Role.ANONYMOUS} if self.anonymous_operates_alarms else set()
        return AccessRules(alarm_roles=ALARM_ROLES | extra)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """One announced way to say who one is, on one endpoint; `policy_uri` protects the secret or the signature."""

    policy_id: str
    kind: ua.UserTokenType
    policy_uri: str

    def description(self) -> ua.UserTokenPolicy:
        """As it stands in the EndpointDescription."""
        described = ua.UserTokenPolicy()
        described.PolicyId = self.policy_id
        described.TokenType = self.kind
        described.SecurityPolicyUri = self.policy_uri
        return described


def token_policies(settings: SecuritySettings, policy: ChannelPolicy) -> list[TokenPolicy]:
    """What an endpoint of `policy` announces: passwords never in clear text, not even inside an encrypted channel.

    On an endpoint without security the strongest secure policy protects the token.
    """
    secure: list[ChannelPolicy] = [p for p in settings.policies if p is not ChannelPolicy.NONE]
    strongest = max(secure, key=lambda p: _LEVELS[p]) if secure else None
    protecting = policy if policy is not ChannelPolicy.NONE else strongest
    found = []
    if settings.anonymous:
        found.append(TokenPolicy("anonymous", ua.UserTokenType.Anonymous, ""))
    if protecting is not None and settings.passwords:
        name = protecting.name.lower()
        found.append(TokenPolicy(f"username_{name}", ua.UserTokenType.UserName, protecting.uri))
    if protecting is not None and settings.user_certificates:
        name = protecting.name.lower()
        found.append(TokenPolicy(f"certificate_{name}", ua.UserTokenType.Certificate, protecting.uri))
    return found


def endpoint_descriptions(
    settings: SecuritySettings, url: str, server: ua.ApplicationDescription, certificate: bytes | None
) -> list[ua.EndpointDescription]:
    """The EndpointDescriptions to announce; without an own certificate only the unsecured one is left."""
    found = []
    for policy, mode, level in settings.endpoints():
        if certificate is None and policy is not ChannelPolicy.NONE:
            continue
        described = ua.EndpointDescription()
        described.EndpointUrl = url
        described.Server = server
        described.ServerCertificate = certificate
        described.SecurityMode = mode
        described.SecurityPolicyUri = policy.uri
        described.UserIdentityTokens = [t.description() for t in token_policies(settings, policy)]
        described.TransportProfileUri = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
        described.SecurityLevel = level
        found.append(described)
    return found


def policy_factories(
    settings: SecuritySettings, certificate: Any, key: Any
) -> Iterable[policies.SecurityPolicyFactory]:
    """What a channel can be opened with: every offered endpoint, and None for discovery."""
    offered = [(p, m) for p, m, _ in settings.endpoints() if p is not ChannelPolicy.NONE and certificate and key]
    for policy, mode in (*offered, (ChannelPolicy.NONE, ua.MessageSecurityMode.None_)):
        yield policies.SecurityPolicyFactory(policy.value, mode, certificate, key)  # type: ignore[no-untyped-call]
