"""Checks before a request reaches the services."""

from __future__ import annotations

from opcua_bms.ua.processor import Processor


class GuardedProcessor(Processor):
    """One per connection."""
