"""Overrides on disk: they outlive the process, or a forced value would silently become a measured one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opcua_bms.errors import StorageError
from opcua_bms.model.override import Override, OverrideKind

FORMAT = 1


class OverrideStore:
    """One JSON file, written whole under another name and renamed; None: nothing outlives the process."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def load(self) -> tuple[Override, ...]:
        """What was saved. StorageError: the file is there and makes no sense; nobody may guess what was forced."""
        if self.path is None:
            return ()
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.path}: {error}; mend it, or remove it to start without overrides") from None
        try:
            return _overrides(found)
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"{self.path} makes no sense ({error!r}); mend it, or remove it to start without overrides"
            ) from None

    def save(self, overrides: Iterable[Override]) -> None:
        """Return when all of them are on disk. StorageError: the disk refuses; what was there still is."""
        if self.path is None:
            return
        rows = [
            {
                "path": one.path,
                "kind": one.kind.value,
                "value": one.value,
                "user": one.user,
                "at_ns": one.at_ns,
                "comment": one.comment,
            }
            for one in overrides
        ]
        content = json.dumps({"format": FORMAT, "overrides": rows}, ensure_ascii=False, indent=1).encode()
        try:
            _replace(self.path, content)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from None


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _overrides(found: dict[str, Any]) -> tuple[Override, ...]:
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']!r}")
    return tuple(_override(row) for row in found["overrides"])


def _override(row: dict[str, Any]) -> Override:
    kind, value = OverrideKind(row["kind"]), row["value"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number != (kind is OverrideKind.FORCED) or not (number or value is None):
        raise ValueError(f"{row['path']}: value {value!r} of a point that is {kind.value}")
    return Override(str(row["path"]), kind, value, str(row["user"]), int(row["at_ns"]), str(row["comment"]))
