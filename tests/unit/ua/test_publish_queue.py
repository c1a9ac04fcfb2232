"""Publish requests of a session against subscriptions that have something to say (Part 4 §5.14.1, §5.14.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from asyncua.ua.status_codes import StatusCodes
from loose_ua import ua
from subscription_rig import Clock

from opcua_bms.ua.services.publish_queue import PublishQueue, PublishRequest


@dataclass
class Asker:
    """Makes requests and notes what became of them."""

    answered: list[int] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)

    def request(self, handle: int, deadline: float | None = None) -> PublishRequest:
        return PublishRequest(
            handle,
            lambda _result: self.answered.append(handle),
            lambda code: self.failed.__setitem__(handle, code),
            lambda: handle not in self.dead,
            deadline,
        )


@dataclass
class Speaker:
    """A late subscription."""

    name: int
    said: list[int]
    priority: int = 0
    silent: bool = False

    def answer(self, request: PublishRequest) -> bool:
        if self.silent:
            return False
        self.said.append(self.name)
        request.respond(ua.PublishResult())
        return True


def made() -> tuple[PublishQueue, Asker, Clock]:
    clock = Clock()
    return PublishQueue(lambda: clock.now), Asker(), clock


def test_requests_are_used_in_order() -> None:
    """§5.14.5.1: first come, first served."""
    queue, asker, _ = made()
    for k in range(3):
        queue.put(asker.request(k), 10)
    assert [r.handle for r in (queue.take(), queue.take(), queue.take()) if r is not None] == [0, 1, 2]
    assert queue.take() is None


def test_late_subscriptions_go_by_priority() -> None:
    """§5.14.2: the highest priority first, equal ones in the order in which they became late."""
    queue, asker, _ = made()
    said: list[int] = []
    for name, priority in ((1, 0), (2, 5), (3, 5), (4, 1)):
        queue.wait(name, Speaker(name, said, priority))
    for k in range(4):
        queue.put(asker.request(k), 10)
    assert said == [2, 3, 4, 1]


def test_a_request_is_not_lost_on_a_subscription_with_nothing_to_say() -> None:
    """Else a client would wait for an answer that nobody owes it."""
    queue, asker, _ = made()
    said: list[int] = []
    queue.wait(1, Speaker(1, said, silent=True))
    queue.put(asker.request(7), 10)
    assert len(queue) == 1
    assert said == []


def test_timed_out_and_orphaned_requests() -> None:
    """§5.14.5.1: BadTimeout for the first, nothing for a connection that is gone."""
    queue, asker, clock = made()
    queue.put(asker.request(1, clock.now + 5), 10)
    queue.put(asker.request(2), 10)
    queue.put(asker.request(3), 10)
    asker.dead.add(2)
    clock.now += 10
    request = queue.take()
    assert request is not None
    assert request.handle == 3
    assert asker.failed == {1: StatusCodes.BadTimeout}


def test_too_many_requests() -> None:
    """§5.14.5.1: the oldest goes; dead ones do not count."""
    queue, asker, _ = made()
    for k in range(4):
        queue.put(asker.request(k), 3)
    assert asker.failed == {0: StatusCodes.BadTooManyPublishRequests}
    asker.dead.add(1)
    queue.put(asker.request(4), 3)
    assert set(asker.failed) == {0}


def test_farewells_come_first() -> None:
    """§7.25.4: the end of a subscription is told with the next request, before any other message."""
    queue, asker, _ = made()
    queue.tell(ua.PublishResult())
    assert queue.has_farewell
    said: list[int] = []
    queue.wait(1, Speaker(1, said))
    queue.put(asker.request(1), 10)
    assert (asker.answered, said, queue.has_farewell) == ([1], [], False)
    queue.put(asker.request(2), 10)
    assert said == [1]
    queue.put(asker.request(3), 10)
    queue.tell(ua.PublishResult())
    assert asker.answered == [1, 2, 3]


def test_cancel() -> None:
    """§5.7.5: the requests of a handle fail, and their number is told."""
    queue, asker, _ = made()
    queue.put(asker.request(1), 10)
    queue.put(asker.request(2), 10)
    assert queue.cancel(1) == 1
    assert asker.failed == {1: StatusCodes.BadRequestCancelledByClient}
    assert len(queue) == 1
