"""The site that a command looks at without running it."""

from __future__ import annotations

import os
from pathlib import Path

from opcua_bms.config.load import find, load
from opcua_bms.runtime.plant import Plant, build_plant


def site(named: Path | None) -> tuple[Path, Plant]:
    """The named configuration file, else the one that `serve` would find, and its plant. ConfigurationError."""
    path = find(named, os.environ)
    config, document = load(path, os.environ)
    return path, build_plant(config, document, path.parent)
