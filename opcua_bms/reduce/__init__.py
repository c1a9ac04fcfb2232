"""From an image of measured slots to the computed ones: extrema with their place, averages, counts, fallbacks. Pure."""

from opcua_bms.reduce.reducer import Reducer

__all__ = ["Reducer"]
