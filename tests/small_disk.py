"""A disk that a test can fill: a real small file system where the test may mount one, else a limit on files."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_CAP_SYS_ADMIN = 21


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    try:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return bool(found and int(found[1], 16) >> _CAP_SYS_ADMIN & 1 and shutil.which("mount"))


class SmallDisk:
    """`folder` is on it; `fill` takes all that is left, `free` gives it back."""

    def __init__(self, folder: Path, *, real: bool) -> None:
        self.folder, self._real = folder, real
        self._before: tuple[int, int] | None = None

    def fill(self, most: int = 1 << 18) -> None:
        """From now on the operating system refuses more; with a limit on files: more than `most` bytes in each."""
        if not self._real:
            import resource  # not everywhere

            self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, self._before[1]))
            return
        with (self.folder / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass

    def free(self) -> None:
        """There is room again."""
        if self._real:
            (self.folder / "filler").unlink()
        elif self._before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


@contextlib.contextmanager
def small_disk(folder: Path, size: str, *, real: bool) -> Iterator[SmallDisk]:
    """As long as the block lasts."""
    folder.mkdir()
    disk = SmallDisk(folder, real=real)
    if not real:
        try:
            yield disk
        finally:
            disk.free()
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], check=True, timeout=20)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=20)


WAYS = ["a limit on files", *(["a full file system"] if os.name == "posix" and may_mount() else [])]
"""of `small_disk`, as far as they are possible here"""
