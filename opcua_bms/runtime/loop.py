"""The event loop of a long-running verb: uvloop where there is one, and an orderly end on SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main(stop)`; `stop` is set by the first SIGINT or SIGTERM, and `main` then ends by itself."""

    async def outer() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt instead
                loop.add_signal_handler(number, stop.set)
        await main(stop)

    if sys.platform == "win32":
        asyncio.run(outer())
    else:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(outer())


class Hangup:
    """SIGHUP from now on; without it the signal would end the program."""

    def __init__(self) -> None:
        self._came = asyncio.Event()
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._came.set)

    async def each(self, act: Callable[[], Awaitable[object]]) -> None:
        """Act once for each signal (several that come meanwhile are one), until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            await act()


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let `work` run while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Let `work` run until `stop` is set; a failure of the work ends the wait with that failure."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for pending in (task, waiting):
            pending.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
