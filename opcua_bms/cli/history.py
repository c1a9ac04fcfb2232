"""`opcua-bms history`: what is remembered, as a file for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opcua_bms.cli.options import Nodes

if TYPE_CHECKING:
    from opcua_bms.history.shelf import ReadableShelf

app = typer.Typer(help="What is remembered of values.", no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    """One row per sample: time, node, value, quality."""

    CSV = "csv"
    PARQUET = "parquet"


@app.callback()
def root() -> None:
    """What is remembered of values."""


@app.command("export")
def export(
    since: Annotated[str, typer.Option("--from", help="First time, like 2027-01-15T08:00 (UTC unless it says more).")],
    until: Annotated[str, typer.Option("--to", help="Time after the last one; default: now.")] = "",
    form: Annotated[Format, typer.Option("--format", help="csv, or parquet (wants the extra 'export').")] = Format.CSV,
    node: Nodes = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; without: standard output (csv).")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Configuration that names the history.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="The history's file, without a configuration.")] = None,
) -> None:
    """Write samples to a file, also while the server runs. Cells are in it at the period at which they are written."""
    from opcua_bms.errors import UsageError
    from opcua_bms.history.archive import Archive
    from opcua_bms.history.export import write_csv, write_parquet
    from opcua_bms.history.sqlite import SqliteShelf

    start_ns, end_ns = _time(since, "--from"), _time(until, "--to") if until else None
    if end_ns is None:
        end_ns = int(datetime.now(UTC).timestamp() * 1e9)
    if start_ns >= end_ns:
        raise UsageError("--from must be before --to")
    if form is Format.PARQUET and output is None:
        raise UsageError("--format parquet needs --output")
    patterns = node or ["*"]
    archive = Archive(SqliteShelf(file) if file is not None else _configured(config))
    try:
        with _Progress() as progress:
            pieces = archive.pieces(
                start_ns, end_ns, lambda name: any(fnmatchcase(name, p) for p in patterns), progress.told
            )
            if form is Format.PARQUET and output is not None:
                count = write_parquet(pieces, output)
            elif output is not None:
                with output.open("w", encoding="utf-8", newline="") as stream:
                    count = write_csv(pieces, stream)
            else:
                count = write_csv(pieces, sys.stdout)
    finally:
        archive.close()
    typer.echo(f"{count} samples", err=True)


def _time(text: str, option: str) -> int:
    from opcua_bms.errors import UsageError

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: must be a time like 2027-01-15T08:00:00Z (got '{text}')") from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _configured(config: Path | None) -> ReadableShelf:
    import os

    from opcua_bms.config.load import find
    from opcua_bms.runtime.history import shelf_of
    from opcua_bms.runtime.serve import Overrides, read

    path = find(config, os.environ)
    settings, _ = read(path, Overrides())
    return shelf_of(settings.history, path.parent)


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self) -> None:
        self._told: Callable[[int, int], None] | None = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            task = self._bar.add_task("exporting", total=None)
            self._told = lambda done, total: self._bar.update(task, completed=done, total=total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._told is not None:
            self._bar.stop()

    def told(self, done: int, total: int) -> None:
        """Move on."""
        if self._told is not None:
            self._told(done, total)
