"""An event loop that is held up must not look like a device that does not answer."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import uvloop
from register_device import RegisterDevice

from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.settings import ConnectionSettings

pytestmark = pytest.mark.integration


class Slow(RegisterDevice):
    """Thinks for 20 ms, so that the answer comes while our loop is held up."""

    def _answer(self, request: bytes) -> bytes:
        time.sleep(0.02)
        return super()._answer(request)


def serve_in_a_thread(device: RegisterDevice) -> tuple[int, asyncio.AbstractEventLoop]:
    """The device on a loop of its own, which nobody holds up."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return asyncio.run_coroutine_threadsafe(device.start(), loop).result(5), loop


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_an_answer_that_waits_in_the_socket_is_no_timeout(factory: type[asyncio.AbstractEventLoop]) -> None:
    """Heavy clients would raise communication alarms of healthy devices: sockets are to be read before time is up."""
    device = Slow({"input": {a: a for a in range(10)}})
    port, loop = serve_in_a_thread(device)

    async def main() -> list[int]:
        driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", port), 1, timeout_s=0.05)
        await driver.connect()
        reading = asyncio.ensure_future(driver.read("input", 0, 10))
        await asyncio.sleep(0.005)  # the request is on its way
        time.sleep(0.2)  # noqa: ASYNC251 # this is the hold-up
        words = await reading
        await driver.close()
        return [int(w) for w in words]

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == list(range(10))
    asyncio.run_coroutine_threadsafe(device.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
