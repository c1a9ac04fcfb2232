"""What one connection, and all together, may cost before and after a user is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Times in seconds, sizes in bytes; what clients are told about is in the server's own limits."""

    hello_s: float = 5.0
    """from connect to HEL"""
    activation_s: float = 10.0
    """from connect, or from the end of the last session, to an activated session"""
    message_s: float = 30.0
    """from the first to the last chunk of a message"""
    stalled_output_s: float = 10.0
    """how long a client may leave its answers unread before it is closed"""
    output_pause: int = 256 << 10
    """unread output above which a connection's requests wait"""
    output_most: int = 8 << 20
    """unread output of one connection above which it is closed"""
    output_total: int = 16 << 20
    """unread output of all connections above which the deafest is closed"""
    input_queue: int = 64
    """requests waiting in one connection before reading pauses"""
    input_queue_bytes: int = 128 << 10
    unfinished_total: int = 12 << 20
    """chunks of unfinished messages of all connections"""
    stranger_message: int = 128 << 10
    """largest message before a session is activated"""
    channel_lifetime_min_ms: int = 10_000
    channel_lifetime_max_ms: int = 3_600_000
    decoding_faults: int = 10
    """requests of one connection that could not be decoded before it is closed"""
    nesting: int = 100
    """Variants, ExtensionObjects and DiagnosticInfos within each other (OPC 10000-6 §5.1.9)"""
