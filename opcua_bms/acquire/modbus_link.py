"""One Modbus connection, shared by the units behind it: queue, requests in flight, matching of answers, time-outs.

pymodbus makes and owns the transport (TCP, TLS, serial); what its client would do with it is done here, because its
client waits the whole time-out after a reset, matches answers loosely and wakes three tasks per request.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from pymodbus.transport import CommParams

from opcua_bms.acquire.driver import (
    BadFrame,
    ConnectFailed,
    ConnectionLost,
    ConnectionLostInFrame,
    Fault,
    IncompleteAnswer,
    Timeout,
)
from opcua_bms.acquire.modbus_frames import HEAD, Answer, Codec, take
from opcua_bms.acquire.modbus_job import Job, Prepared
from opcua_bms.acquire.modbus_wire import Wire
from opcua_bms.acquire.resync import Doubts
from opcua_bms.errors import InternalError

_LATE_KEPT = 64
_QUIET_LIMIT_S = 0.5


def _nowhere(data: bytes) -> None:
    raise InternalError(f"{len(data)} bytes for a connection that is not made")


@dataclass(slots=True)
class _Open:
    """A request on its way."""

    job: Job
    index: int
    sent_s: float
    deadline_s: float
    prepared: Prepared
    begins: bytes
    """how a right answer begins: transaction id and head"""


class Link:
    """A connection that is made on demand; `max_in_flight` requests at a time, jobs in turn by rank: writes first.

    `quiet_s` > 0 (serial line): after a fault the line stays open and is left alone until it was quiet for so long.
    `server_name`: what a TLS server's certificate must say, if not the host. `backup_host` and the host take turns
    while neither can be connected, or takes a connection and never answers on it.
    """

    def __init__(
        self,
        params: CommParams,
        codec: Codec,
        monotonic: Callable[[], float],
        *,
        max_in_flight: int = 1,
        keeps_order: bool = False,
        strict_transaction_id: bool = True,
        one_request: bool = False,
        quiet_s: float = 0.0,
        server_name: str = "",
        backup_host: str = "",
    ) -> None:
        self._params = params
        self._backup = backup_host
        self._silent = False
        """nothing was answered on this connection yet"""
        self._trusted = False
        """the host closed the connection before, after it had answered on it"""
        self._server_name = server_name
        self.codec = codec
        self._monotonic = monotonic
        self._strict = strict_transaction_id and codec.has_tid
        self._max = max_in_flight if self._strict and not one_request else 1
        self._one_request = one_request
        self._used = False
        """something was asked on this connection"""
        self._keeps_order = keeps_order and self._strict
        self._quiet_s = quiet_s
        self._wire: Wire | None = None
        self._write: Callable[[bytes], None] = _nowhere
        self._connecting = asyncio.Lock()
        self._attempts = 0
        self._refusal = ""
        self._queue: deque[Job] = deque()
        self._open: dict[int, _Open] = {}
        self._buffer = b""
        self._tid = 0
        self._late: deque[tuple[int, int]] = deque(maxlen=_LATE_KEPT)
        """(transaction id, unit) of requests that timed out on this connection"""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._quiet: asyncio.TimerHandle | None = None
        self._quiet_limit_s = 0.0
        self._gave_up = False
        """the last request timed out and its answer may still come"""
        self._last_unit = 0
        self.doubts = Doubts()
        self.notes: dict[int, Counter[str]] = {}
        """faults that failed no request, by unit"""

    @property
    def connected(self) -> bool:
        return self._wire is not None

    async def connect(self) -> None:
        """Connect if need be; raises ConnectFailed. Whoever waits for another's attempt shares its result."""
        if self._wire is not None:
            return
        attempts = self._attempts
        async with self._connecting:
            if self.connected:
                return
            if self._attempts != attempts:
                raise ConnectFailed(self._refusal)
            wire = Wire(self._params, self._server_name, self._received, self._lost)
            try:
                transport, _ = await asyncio.wait_for(wire.call_create(), self._params.timeout_connect)
            except TimeoutError:
                self._refusal = f"no connection within {self._params.timeout_connect:g} s"
            except OSError as error:
                self._refusal = error.strerror or str(error) or type(error).__name__
            else:
                wire.transport = transport
                self._wire, self._write = wire, wire.writer()
                self._buffer = b""
                self._silent, self._used = True, False
                return
            self._attempts += 1
            self._other_host()
            raise ConnectFailed(self._refusal)

    def _other_host(self) -> None:
        """The next connection goes to the other host, where there is one."""
        if self._backup:
            self._params.host, self._backup = self._backup, self._params.host
            self._note(self._last_unit, "changed_host")

    def submit(self, job: Job) -> None:
        """Ask the requests of a job as soon as it is its turn; the link must be connected."""
        queue = self._queue
        at = len(queue)
        while at and queue[at - 1].rank > job.rank:
            at -= 1
        queue.insert(at, job)
        self._pump()

    def close(self) -> None:
        """Drop the connection; open jobs end with ConnectionLost."""
        self._drop(None)

    # sending

    def _pump(self, now_s: float | None = None) -> None:
        queue = self._queue
        wire = self._wire
        if wire is None:
            for job in queue:
                job.interrupt()
            queue.clear()
            return
        if self._quiet is not None:
            return
        if self._one_request and self._used and not self._open:
            self._queue = deque(job for job in queue if job.todo and not job.done.done())
            if self._queue:
                self._drop(None)
            return
        frames: list[bytes] = []
        now = self._monotonic() if now_s is None else now_s
        open_, most, has_tid = self._open, self._max, self.codec.has_tid
        while queue and len(open_) < most:
            job = queue[0]
            if not job.todo or job.done.done():
                queue.popleft()
                continue
            index = job.todo.popleft()
            prepared = job.requests[index]
            self._tid = tid = self._tid % 0xFFFF + 1
            key = tid.to_bytes(2, "big")
            frames.append(key + prepared.tail if has_tid else prepared.frame)
            deadline = now + job.timeout_s
            open_[tid] = _Open(job, index, now, deadline, prepared, key + prepared.head)
            job.outcome.sent += 1
            self._last_unit = job.unit
            if self._timer is None or deadline < self._timer_s:
                self._arm(now, deadline)
        if frames:
            self._used = True
            self._write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _arm(self, now_s: float, deadline_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = deadline_s
        self._timer = asyncio.get_running_loop().call_later(deadline_s - now_s, self._expired)

    def _expired(self) -> None:
        """The earliest deadline may have passed; most often its request was answered long ago."""
        self._timer = None
        if not self._open:
            return
        now = self._monotonic()
        tid, late = min(self._open.items(), key=lambda item: item[1].deadline_s)
        if late.deadline_s > now:
            self._arm(now, late.deadline_s)
            return
        waited = f"no answer within {late.job.timeout_s:g} s"
        partial = len(self._buffer)
        fault = IncompleteAnswer(f"{waited}, only {partial} bytes of one") if partial else Timeout(waited)
        if self._keeps_order and not partial:
            del self._open[tid]
            self._late.append((tid, late.job.unit))
            late.job.end(fault)
            self._rearm(now)
            self._pump()
        else:
            self._fail(fault, late)

    def _rearm(self, now_s: float) -> None:
        if self._open:
            self._arm(now_s, min(o.deadline_s for o in self._open.values()))

    # receiving

    def _received(self, data: bytes) -> None:
        if self._quiet is not None:
            self._wait_for_quiet()
            return
        if self._buffer:
            data = self._buffer + data
        now = self._monotonic()
        used = self._take_expected(data, now)
        if used == len(data):
            self._buffer = b""
            self._pump(now)
            return
        if used:
            data = data[used:]
        culprit: _Open | None = None
        try:
            while data:
                culprit = next(iter(self._open.values()), None)
                answer = self.codec.split(data, culprit.job.requests[culprit.index].request if culprit else None)
                if answer is None:
                    break
                data = data[answer.used :]
                tid = self._match(answer)
                if tid is None:
                    continue
                culprit = self._open[tid]
                self._take(answer, tid, culprit, len(data))
        except BadFrame as fault:
            self._fail(fault, culprit)
            return
        if data and not self._open and not self._late:
            self._fail(BadFrame("unexpected_frame", f"{len(data)} bytes that nobody asked for"), None)
            return
        self._buffer = data
        self._pump()

    def _take_expected(self, data: bytes, now_s: float) -> int:
        """Take the answers at the beginning of `data` that are all right and in order; how many bytes they are.

        Whatever is not exactly the answer to the oldest request is left to those who find out what is wrong with it.
        """
        open_, at, size = self._open, 0, len(data)
        while at < size and open_:
            tid, request = next(iter(open_.items()))
            job, prepared = request.job, request.prepared
            start = at + HEAD
            end = start + prepared.last - prepared.first
            if (
                end > size
                or not prepared.head
                or not data.startswith(request.begins, at)
                or (end < size and len(open_) == 1)
                or job.done.done()
            ):
                break
            del open_[tid]
            self._gave_up = self._silent = False
            job.take(request.index, data[start:end], now_s, request.sent_s)
            at = end
        return at

    def _match(self, answer: Answer) -> int | None:
        """Transaction id of the open request that this answers, None for a late answer; raises BadFrame."""
        tid = answer.tid
        if tid in self._open:
            return tid
        if tid is not None and self._late and (tid, answer.unit) in self._late:
            self._late.remove((tid, answer.unit))
            self._note(answer.unit, "late_answer")
            return None
        if not self._open:
            raise BadFrame("unexpected_frame", f"an answer that nobody asked for, transaction id {tid}")
        oldest = next(iter(self._open))
        if tid is None or (tid == 0 and not self._strict):
            return oldest
        raise BadFrame("wrong_transaction", f"transaction id {tid} in answer to {oldest}")

    def _take(self, answer: Answer, tid: int, request: _Open, more: int) -> None:
        job = request.job
        if answer.unit != job.unit:
            raise BadFrame("wrong_unit", f"unit {answer.unit} in answer to unit {job.unit}")
        if job.done.done():  # given up meanwhile: nobody owns `words` any more
            del self._open[tid]
            return
        fault = take(job.requests[request.index].request, answer.pdu, job.words)
        if isinstance(fault, BadFrame):
            raise fault
        if more and len(self._open) == 1 and not self._late:
            raise BadFrame("long_frame", f"{more} bytes after the end of the answer")
        del self._open[tid]
        self._gave_up = self._silent = False
        job.answer(request.index, self._monotonic(), request.sent_s, fault)

    def _note(self, unit: int, name: str) -> None:
        self.notes.setdefault(unit, Counter())[name] += 1

    # faults of the line

    def _lost(self, wire: Wire) -> None:
        """The other end closed. One that answered before may take one request per connection: then ask it again."""
        if wire is not self._wire:
            return
        culprit = next(iter(self._open.values()), None)
        if culprit is not None and not self._buffer and not self._silent and culprit.job.gets_on():
            self._note(culprit.job.unit, ConnectionLost.name)
            self._drop(None)
            self._trusted = True
            return
        if self._buffer:
            fault: Fault = ConnectionLostInFrame(f"connection closed after {len(self._buffer)} bytes of an answer")
        else:
            fault = ConnectionLost("connection closed by the other end")
        if culprit is None:
            self._note(self._last_unit, "closed_when_idle")
        else:
            culprit.job.end(fault)
        self._drop(culprit)

    def _fail(self, fault: Fault, culprit: _Open | None) -> None:
        """End the culprit's job and make the line fit for the others: a new connection, or quiet on a serial line."""
        if culprit is None:
            self._note(self._last_unit, "late_answer" if self._gave_up else fault.name)
        else:
            culprit.job.end(fault)
        if culprit is not None and not self.codec.has_tid:
            self.doubts.add(culprit.job.unit)
        if not self._quiet_s:
            self._drop(culprit)
            return
        self._gave_up = isinstance(fault, Timeout) or (self._gave_up and culprit is None)
        self._open.clear()
        self._buffer = b""
        self._quiet_limit_s = self._monotonic() + _QUIET_LIMIT_S
        self._wait_for_quiet()

    def _drop(self, culprit: _Open | None) -> None:
        wire, self._wire, self._write = self._wire, None, _nowhere
        trusted, self._trusted = self._trusted, False
        if wire is not None and wire.transport is not None:
            wire.abort()
        if culprit is not None and self._silent:
            self._silent = False
            if not trusted:
                self._other_host()
        bystanders = [o.job for o in self._open.values()] + list(self._queue)
        self._open.clear()
        self._queue.clear()
        self._late.clear()
        self._buffer = b""
        for handle in (self._timer, self._quiet):
            if handle is not None:
                handle.cancel()
        self._timer = self._quiet = None
        for job in bystanders:
            if culprit is None or job is not culprit.job:
                job.interrupt()

    def _wait_for_quiet(self) -> None:
        """Start again to wait for silence, but not for ever on a line that never falls silent."""
        if self._quiet is not None:
            if self._monotonic() >= self._quiet_limit_s:
                return
            self._quiet.cancel()
        self._quiet = asyncio.get_running_loop().call_later(self._quiet_s, self._is_quiet)

    def _is_quiet(self) -> None:
        self._quiet = None
        self._pump()
