"""Limits of one client, each measured alone: `python -m benchmarks.limits` (about a minute); a line for each bar.

The server is in the same process, so that what it holds for the client is seen from inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
MIB = 1 << 20
GUESSING_S = 20.0


async def unread_output(port: int, server: Any) -> float:
    """MiB that the server holds at most for a client that asks for a megabyte again and again, and never reads."""
    from flood_attacks import chunks, parameters
    from ua_attacker import RawClient
    from ua_requests import node, read_request

    client = await RawClient.login(port)
    request = read_request(*[node(2256)] * 10_000)
    encoded = parameters(request)
    transport: Any = client.writer.transport
    transport.pause_reading()
    most, until = 0, time.monotonic() + 30.0
    while not transport.is_closing() and time.monotonic() < until:
        if transport.get_write_buffer_size() < MIB:
            client.send(chunks(client, request, encoded))
        for _ in range(50):
            await asyncio.sleep(0.001)
            most = max([most, *(connection.unread for connection in server.server.bserver.clients)])
        if not server.server.bserver.clients:
            break
    return most / MIB


async def largest_message(port: int, server: Any) -> float:
    """MiB of one message that the server takes before it ends the connection."""
    from ua_attacker import RawClient

    client = await RawClient.login(port)
    taken, part = 0, 65_000
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            client.send(client.chunk(b"MSG", bytes(part), b"C", keep_request=True))
            await client.writer.drain()
            await asyncio.sleep(0.01)
            taken = max([taken, *(c.processor.channel.unfinished_size for c in server.server.bserver.clients)])
            if client.reader.at_eof() or client.writer.transport.is_closing():
                break
    return taken / MIB


async def guesses(folder: Path, users: int) -> float:
    """Passwords that are looked at per second, over the busiest five seconds, of ten connections of one address."""
    from opcua_bms.clock import SystemClock
    from opcua_bms.ua.security.desk import PasswordDesk
    from opcua_bms.ua.security.roles import Role
    from opcua_bms.ua.security.users import UserDatabase

    looked: list[float] = []

    class Counting(UserDatabase):
        def verify(self, name: str, password: str) -> Any:
            looked.append(time.monotonic())
            return super().verify(name, password)

    database = Counting(folder / f"{users}.json")
    for number in range(users):
        database.add(f"user{number}", "the right password", [Role.OPERATOR])
    desk = PasswordDesk(database, SystemClock())
    until = time.monotonic() + GUESSING_S

    async def guess(number: int) -> None:
        while time.monotonic() < until:
            await desk.look(f"user{number % users}", f"guess {number} {time.monotonic()}", "192.0.2.1")

    await asyncio.gather(*(guess(number) for number in range(10)))
    return max(sum(at <= other < at + 5.0 for other in looked) for at in looked) / 5.0


def judged(held: bool, line: str) -> bool:
    """Tell it at once."""
    print("PASS" if held else "FAIL", line, flush=True)
    return held


async def main() -> bool:
    """All of them."""
    from guarded_server import demo_settings, guarded_server, make_gate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with guarded_server(make_gate(folder, demo_settings())) as server:
            found = await unread_output(server.port, server)
            good = judged(0 < found <= 8, f"unread output of one client at most {found:.2f} MiB, bar 8")
            found = await largest_message(server.port, server)
            good &= judged(0 < found <= 4, f"the largest message is {found:.2f} MiB, bar 4")
        for users in (1, 10):
            found = await guesses(folder, users)
            good &= judged(0 < found < 5, f"{found:.1f} guesses a second at {users} users' passwords, bar 5")
    return good


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
