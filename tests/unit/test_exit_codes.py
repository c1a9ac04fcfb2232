"""What the shell hears of a mistake, wherever in the tasks it was made."""

from __future__ import annotations

import asyncio

import pytest

from opcua_bms.__main__ import _ours
from opcua_bms.errors import ConfigurationError, UnreachableError


def test_a_mistake_in_a_task_is_told_like_any_other() -> None:
    """A group of exceptions would end as an internal error, with a traceback for somebody else's mistake."""

    async def fails() -> None:
        raise ConfigurationError("site.toml:3 x: wrong")

    async def main() -> None:
        async with asyncio.TaskGroup() as outer:

            async def inner() -> None:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(fails())

            outer.create_task(inner())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    found = _ours(caught.value)
    assert isinstance(found, ConfigurationError)
    assert found.exit_code == 78


def test_other_errors_are_ours() -> None:
    """Only what somebody can mend is told without a traceback."""
    assert _ours(UnreachableError("x")) is not None
    assert _ours(ExceptionGroup("x", [ValueError("y")])) is None
    assert _ours(ValueError("y")) is None
