"""`opcua-bms` and `python -m opcua_bms`: run a verb, and end with the exit code that says who must act."""

from __future__ import annotations

import os
import sys

from opcua_bms.errors import OpcuaBmsError


def main() -> None:
    """Entry point; never shows a traceback for somebody else's mistake (EX codes as in sysexits)."""
    from opcua_bms.cli.app import app

    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (ours := _ours(error)) is not None:
            _tell(str(ours))
            sys.exit(ours.exit_code)
        if os.environ.get("OPCUA_BMS_DEBUG"):
            raise
        _tell(f"internal error: {type(error).__name__}: {error} (set OPCUA_BMS_DEBUG=1 for the traceback)")
        sys.exit(1)


def _ours(error: BaseException) -> OpcuaBmsError | None:
    """The mistake that can be mended: the error itself, or the first one in a group of tasks that failed together."""
    if isinstance(error, OpcuaBmsError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := _ours(inner)) is not None), None)
    return None


def _tell(text: str) -> None:
    sys.stderr.write("".join(f"opcua-bms: {line}\n" for line in text.splitlines()))


if __name__ == "__main__":
    main()
