"""The fast lane: Reads of an activated session, from the bytes of the frame to the bytes of the answer.

It takes a request only if everything about it is as usual (channel, token and sequence number as expected, one chunk,
no audit entry or additional header, the session's token); whatever is not goes the long way, which also tells errors.
"""

from __future__ import annotations

import hmac
import struct
import time
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_to_binary

from opcua_bms.ua.guard.processor import GuardedProcessor
from opcua_bms.ua.guard.protocol import Protocol
from opcua_bms.ua.services.read_plan import ReadPlanner
from opcua_bms.ua.store import filetime
from opcua_bms.ua.turns import SHORT

if TYPE_CHECKING:
    from opcua_bms.ua.session import Session

_READ = b"\x01\x00" + struct.pack("<H", ObjectIds.ReadRequest_Encoding_DefaultBinary)
_ANSWER = b"\x01\x00" + struct.pack("<H", ObjectIds.ReadResponse_Encoding_DefaultBinary)
_REST_OF_HEADER = struct.Struct("<qIIiI3s")
"""Timestamp, RequestHandle, ReturnDiagnostics, a null AuditEntryId, TimeoutHint, a null AdditionalHeader"""
_RESPONSE_HEAD = struct.Struct("<4sqII8x")
"""TypeId, Timestamp, RequestHandle, ServiceResult, no diagnostics, no strings, a null AdditionalHeader"""
_FRAME = struct.Struct("<4sIIIII")
_CHUNK = struct.Struct("<IIII")
_MESSAGE = b"MSGF"


class FastProtocol(Protocol):
    """One per connection; the protocol that ships."""

    def data_received(self, data: bytes) -> None:
        """Serve a usual Read at once if nothing waits before it; else queue whole frames."""
        if (
            data[:4] == _MESSAGE
            and int.from_bytes(data[4:8], "little") == len(data) <= SHORT
            and self.messages.empty()
            and self._writable.is_set()
            and not (self._ended or self._paused or self._serving or self._reader._buffer)
            and isinstance(self.processor, FastProcessor)
            and self.processor.account.turns.free
        ):
            began = time.perf_counter()
            served = self.processor.serve_frame(data)
            self.processor.account.charge(time.perf_counter() - began)
            if served:
                return
        super().data_received(data)


class FastProcessor(GuardedProcessor):
    """One per connection; the processor that ships."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._prefix_of: ua.NodeId | None = None
        self._prefix = b""

    async def process(self, header: Any, body: Any) -> bool:
        """Serve one chunk; False ends the connection."""
        if len(body._data) <= SHORT and self.serve_frame(body._data):
            return True
        return await super().process(header, body)

    async def process_message(self, seqhdr: Any, body: Any) -> bool:
        """Serve one request that came through a secure channel or in several chunks."""
        if self.fast_lane_open():
            data = body._data[body._cur_pos :] if body._cur_pos else body._data
            answer = self._answer(data) if len(data) <= SHORT else await self._answer_slowly(data)
            if answer is not None and self._fits(answer):
                if isinstance(self._connection.security_policy, SecurityPolicyNone):
                    self._transport.write(self._frames(answer, seqhdr.RequestId))
                else:
                    self._transport.write(self._connection.message_to_binary(answer, request_id=seqhdr.RequestId))
                return True
        return await super().process_message(seqhdr, body)

    def send_response(
        self, requesthandle: Any, seqhdr: Any, response: Any, msgtype: Any = ua.MessageType.SecureMessage
    ) -> None:
        """Send, and count what was refused."""
        if isinstance(response, ua.ServiceFault):
            self.iserver.diagnostics.rejected(response.ResponseHeader.ServiceResult.value)
        super().send_response(requesthandle, seqhdr, response, msgtype)

    def serve_frame(self, frame: bytes) -> bool:
        """Whether the frame was a usual Read on a channel without security, which has been answered."""
        channel = self._connection
        if (
            frame[24:28] != _READ
            or not frame.startswith(_MESSAGE)
            or not isinstance(channel.security_policy, SecurityPolicyNone)
            or not self.fast_lane_open()
        ):
            return False
        channel_id, token, number, request_id = _CHUNK.unpack_from(frame, 8)
        last = channel._peer_sequence_number
        if (
            channel_id != channel.security_token.ChannelId
            or token != channel.security_token.TokenId
            or last is None
            or number != last + 1
            or channel.unfinished
            or channel.expired
        ):
            return False
        answer = self._answer(frame[24:])
        if answer is None or not self._fits(answer):
            return False
        channel._peer_sequence_number = number
        self._transport.write(self._frames(answer, request_id))
        return True

    def _answer(self, message: bytes) -> bytes | None:
        """The ReadResponse to a usual ReadRequest of this connection's session."""
        planner: ReadPlanner | None = self.iserver.planner
        session = self.session
        usual = self._parameters(message, session)
        if planner is None or session is None or usual is None:
            return None
        handle, at = usual
        return self._response(handle, planner.answer(message[at:], session.user), session)

    async def _answer_slowly(self, message: bytes) -> bytes | None:
        """The same for a long request, with pauses."""
        planner: ReadPlanner | None = self.iserver.planner
        session = self.session
        usual = self._parameters(message, session)
        if planner is None or session is None or usual is None:
            return None
        handle, at = usual
        most = self.largest_response - _RESPONSE_HEAD.size
        return self._response(handle, await planner.answer_slowly(message[at:], session.user, most), session)

    def _response(self, handle: int, results: bytes | None, session: Session) -> bytes | None:
        if results is None:
            return None
        self.session_last_activity = time.monotonic()
        session.touch()
        session.count(ObjectIds.ReadRequest_Encoding_DefaultBinary)
        return _RESPONSE_HEAD.pack(_ANSWER, filetime(time.time_ns()), handle, 0) + results

    def _parameters(self, message: bytes, session: Session | None) -> tuple[int, int] | None:
        """RequestHandle, and where the parameters begin, of a usual ReadRequest of this connection's session."""
        if session is None:
            return None
        if self._prefix_of is not session.auth_token:
            self._prefix_of = session.auth_token
            self._prefix = _READ + nodeid_to_binary(session.auth_token)
        at = len(self._prefix)
        if len(message) < at + _REST_OF_HEADER.size or not hmac.compare_digest(message[:at], self._prefix):
            return None
        _, handle, _, audit, _, additional = _REST_OF_HEADER.unpack_from(message, at)
        if audit > 0 or additional != b"\0\0\0":
            return None
        return handle, at + _REST_OF_HEADER.size

    def _fits(self, answer: bytes) -> bool:
        return len(answer) <= self.largest_response

    def _frames(self, message: bytes, request_id: int) -> bytes:
        """The chunks of a message on a channel without security (Part 6 §6.7.2)."""
        channel = self._connection
        channel_id, token = channel.security_token.ChannelId, channel.security_token.TokenId
        most = self._limits.max_send_buffer - _FRAME.size
        parts: list[bytes] = []
        for at in range(0, len(message), most):
            part = message[at : at + most]
            kind = _MESSAGE if at + most >= len(message) else b"MSGC"
            channel._sequence_number = channel._sequence_number + 1 if channel._sequence_number < 0xFFFF_FFFF else 1
            size = _FRAME.size + len(part)
            parts += (_FRAME.pack(kind, size, channel_id, token, channel._sequence_number, request_id), part)
        return b"".join(parts)
