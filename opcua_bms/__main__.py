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
    except OpcuaBmsError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("OPCUA_BMS_DEBUG"):
            raise
        _tell(f"internal error: {type(error).__name__}: {error} (set OPCUA_BMS_DEBUG=1 for the traceback)")
        sys.exit(1)


def _tell(text: str) -> None:
    sys.stderr.write("".join(f"opcua-bms: {line}\n" for line in text.splitlines()))


if __name__ == "__main__":
    main()
