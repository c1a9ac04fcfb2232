"""One thread that does blocking work in order, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from opcua_bms.errors import StorageError

_T = TypeVar("_T")
_Job = tuple[Future[Any], Callable[[], Any]]
_AT_ONCE = 16


def gently(items: Iterable[_T]) -> Iterator[_T]:
    """The items, with a moment for the event loop after some: a thread that computes holds it up 5 ms a time."""
    for k, item in enumerate(items, 1):
        yield item
        if not k % _AT_ONCE:
            time.sleep(0.00005)


class Worker:
    """Starts its thread with the first job. A disk that hangs does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Do it after everything submitted before. StorageError: closed."""
        if self._closed:
            raise StorageError("the journal is closed")
        future: Future[_T] = Future()
        self._jobs.put((future, call))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        return future

    async def run(self, call: Callable[[], _T]) -> _T:
        """Wait for it on the event loop. It is done even if whoever waits is cancelled."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(call)))

    async def close(self, last: Callable[[], None], timeout_s: float) -> None:
        """Finish what was submitted, then `last`; wait no longer than `timeout_s`."""
        if self._closed:
            return
        if self._thread is None:
            self._closed = True
            return
        done = asyncio.wrap_future(self.submit(last))
        self._closed = True
        self._jobs.put(None)
        await asyncio.wait({done}, timeout=timeout_s)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except Exception as error:  # the top of this thread: whoever waits gets it
                future.set_exception(error)
