"""`opcua-bms watch`: the plant as a live table in the terminal, from a running server over OPC UA."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from opcua_bms.cli.options import DEFAULT_ENDPOINT, Endpoint, FirstScan, PasswordFile, User

if TYPE_CHECKING:
    from rich.console import Console

    from opcua_bms.cli.ua_client import Login
    from opcua_bms.cli.watch_board import Board

_WIDE = 132
"""columns where there is no terminal"""
_KEYS = "q quit, s sort, space pause"


def run(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    interval: Annotated[float, typer.Option(help="Seconds between two pictures.", min=0.1, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One picture, then end.")] = False,
    alarms: Annotated[int, typer.Option(help="How many of the newest alarms are shown.", min=0, max=50)] = 10,
    wait: FirstScan = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: as JSON.")] = False,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Watch a plant: state, limits, clusters by their spread, newest alarms. Keys: q quit, s sort, space pause."""
    from opcua_bms.cli.client_identity import login
    from opcua_bms.cli.watch_board import Board
    from opcua_bms.errors import UsageError
    from opcua_bms.runtime.logs import configure
    from opcua_bms.runtime.loop import run as run_loop

    if as_json and not once:
        raise UsageError("--json is for one picture: give --once too")
    configure("CRITICAL")
    known = login(user, password_file)
    board = Board(endpoint)
    run_loop(lambda stop: _watch(board, known, wait, interval, stop, _Look(once, as_json, alarms)))


class _Look:
    """How pictures are shown."""

    def __init__(self, once: bool, as_json: bool, alarms: int) -> None:
        from opcua_bms.cli.watch_view import SORTS

        self.once, self.as_json, self.alarms = once, as_json, alarms
        self.paused = False
        self._sorts = SORTS
        self._sort = 0

    @property
    def sort(self) -> str:
        return self._sorts[self._sort]

    def pressed(self, key: str, stop: asyncio.Event) -> None:
        """What a key does."""
        if key in ("q", "Q", "\x03", "\x1b"):
            stop.set()
        elif key in ("s", "S"):
            self._sort = (self._sort + 1) % len(self._sorts)
        elif key == " ":
            self.paused = not self.paused


async def _watch(
    board: Board, login: Login | None, wait_s: float, interval_s: float, stop: asyncio.Event, look: _Look
) -> None:
    from opcua_bms.cli.ua_watch import follow
    from opcua_bms.runtime.loop import until

    changed = asyncio.Event()
    following = asyncio.create_task(follow(board, wait_s, login, interval_s, changed.set))
    try:
        await until(stop, _shown(board, following, changed, wait_s, interval_s, stop, look))
    finally:
        following.cancel()
        await asyncio.wait({following})


async def _shown(
    board: Board,
    following: asyncio.Task[None],
    changed: asyncio.Event,
    wait_s: float,
    interval_s: float,
    stop: asyncio.Event,
    look: _Look,
) -> None:
    from rich.console import Console

    await _first(board, following, changed, wait_s)
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _WIDE, highlight=False, emoji=False)
    if look.once:
        _print(console, board, look)
    elif terminal:
        await _live(console, board, following, interval_s, stop, look)
    else:
        while not following.done():
            _print(console, board, look)
            console.print()
            await asyncio.wait({following}, timeout=interval_s)
        following.result()


async def _first(board: Board, following: asyncio.Task[None], changed: asyncio.Event, wait_s: float) -> None:
    """Wait for the first complete picture. UnreachableError: there is none in time."""
    from opcua_bms.errors import UnreachableError

    try:
        async with asyncio.timeout(wait_s + 5.0):
            while not board.complete:
                waiting = asyncio.ensure_future(changed.wait())
                await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                changed.clear()
                if following.done():
                    following.result()
    except TimeoutError:
        raise UnreachableError(f"{board.endpoint} has no complete scan yet; more time: --wait") from None


def _print(console: Console, board: Board, look: _Look) -> None:
    from opcua_bms.cli.watch_view import document, view

    if look.as_json:
        typer.echo(json.dumps(document(board), ensure_ascii=False))
    else:
        console.print(view(board, look.sort, look.alarms, console.width))


async def _live(
    console: Console, board: Board, following: asyncio.Task[None], interval_s: float, stop: asyncio.Event, look: _Look
) -> None:
    from rich.live import Live

    from opcua_bms.cli.watch_view import view

    pressed = asyncio.Event()

    def on_key(key: str) -> None:
        look.pressed(key, stop)
        pressed.set()

    with _keys(on_key), Live(console=console, screen=True, auto_refresh=False) as live:
        while not following.done():
            if not look.paused or pressed.is_set():
                hint = f"{_KEYS} (paused)" if look.paused else _KEYS
                live.update(view(board, look.sort, look.alarms, console.width, hint), refresh=True)
            pressed.clear()
            waiting = asyncio.ensure_future(pressed.wait())
            await asyncio.wait({following, waiting}, timeout=interval_s, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    following.result()


@contextlib.contextmanager
def _keys(on_key: Callable[[str], None]) -> Iterator[None]:
    """Call `on_key` with each key, without waiting for Enter; silent where standard input is no terminal."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    loop = asyncio.get_running_loop()

    def take() -> None:
        for key in os.read(number, 64).decode(errors="ignore"):
            on_key(key)

    tty.setcbreak(number)
    loop.add_reader(number, take)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
