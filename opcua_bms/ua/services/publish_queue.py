"""The Publish requests of one session, waiting for something to say (Part 4 §5.14.1, §5.14.5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from asyncua import ua

from opcua_bms.ua.services.codes import StatusCodes


@dataclass(slots=True, eq=False)
class PublishRequest:
    """One Publish request; exactly one of `respond` and `fail` is called, once.

    `deadline` is on the monotonic clock (the request's TimeoutHint), `alive()` says whether its connection is, `room`
    is how many bytes of notifications the client takes in one response.
    """

    handle: int
    respond: Callable[[ua.PublishResult], None]
    fail: Callable[[int], None]
    alive: Callable[[], bool]
    deadline: float | None = None
    room: int = 1 << 40


class Publisher(Protocol):
    """What waits for a request: a subscription with something to send."""

    @property
    def priority(self) -> int:
        """Higher ones go first."""
        ...

    def answer(self, request: PublishRequest) -> bool:
        """Send one message with the request; false if there is nothing to send any more."""
        ...


class PublishQueue:
    """First come, first served requests against late subscriptions in order of priority."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests: deque[PublishRequest] = deque()
        self._late: dict[int, Publisher] = {}
        self._farewells: deque[ua.PublishResult] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def has_farewell(self) -> bool:
        """Whether the end of a subscription is still to be told."""
        return bool(self._farewells)

    def put(self, request: PublishRequest, limit: int) -> None:
        """Use a new request at once for what waits, or keep it; above `limit` the oldest one fails."""
        if self._farewells:
            request.respond(self._farewells.popleft())
            return
        while self._late:
            ident = max(self._late, key=lambda i: self._late[i].priority)
            if self._late.pop(ident).answer(request):
                return
        self._requests.append(request)
        while len(self._requests) > limit:
            self._expire()
            if len(self._requests) > limit:
                self._requests.popleft().fail(StatusCodes.BadTooManyPublishRequests)

    def take(self) -> PublishRequest | None:
        """The oldest request that can still be answered."""
        self._expire()
        return self._requests.popleft() if self._requests else None

    def _expire(self) -> None:
        now = self._clock()
        if all(r.alive() and (r.deadline is None or r.deadline > now) for r in self._requests):
            return
        kept: deque[PublishRequest] = deque()
        for request in self._requests:
            if not request.alive():
                continue
            if request.deadline is not None and request.deadline <= now:
                request.fail(StatusCodes.BadTimeout)
            else:
                kept.append(request)
        self._requests = kept

    def has_requests(self) -> bool:
        """Whether the client is still listening."""
        self._expire()
        return bool(self._requests)

    def wait(self, ident: int, publisher: Publisher) -> None:
        """Serve this subscription with the next request."""
        self._late[ident] = publisher

    def leave(self, ident: int) -> None:
        """A subscription is gone."""
        self._late.pop(ident, None)

    def tell(self, result: ua.PublishResult) -> None:
        """Send the last message of a subscription, now or with the next request."""
        request = self.take()
        if request is None:
            self._farewells.append(result)
        else:
            request.respond(result)

    def fail_all(self, code: int) -> None:
        """Answer every waiting request with a fault."""
        while self._requests:
            request = self._requests.popleft()
            if request.alive():
                request.fail(code)

    def cancel(self, handle: int) -> int:
        """Cancel the requests of this handle (Part 4 §5.7.5); their number."""
        chosen = [r for r in self._requests if r.handle == handle]
        self._requests = deque(r for r in self._requests if r.handle != handle)
        for request in chosen:
            request.fail(StatusCodes.BadRequestCancelledByClient)
        return len(chosen)
