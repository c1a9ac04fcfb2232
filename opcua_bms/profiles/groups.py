"""Poll groups: which points of a profile have a schedule of their own."""

from __future__ import annotations

import numpy as np

from opcua_bms.errors import ConfigurationError
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.placement import Placement
from opcua_bms.profiles.plan import DevicePlan, bind
from opcua_bms.profiles.schema import Profile


def bind_groups(
    profile: Profile, topology: Topology, layout: Layout, placement: Placement, *, fast: bool = False
) -> tuple[DevicePlan, DevicePlan | None]:
    """(plan of a scan, with the slow points in requests of their own; plan of the fast points, None: there are none).

    `fast` False: the fast points are read with the others. ConfigurationError: see `bind`; or one word is put
    together from points of both plans.
    """
    chosen = {p.name for p in profile.point if p.group == "fast" and p.readable and not p.on_device} if fast else set()
    plan = bind(_only(profile, {p.name for p in profile.point} - chosen), topology, layout, placement, ("slow",))
    if not chosen:
        return plan, None
    hurried = bind(_only(profile, chosen), topology, layout, placement)
    both = np.intersect1d(plan.codec.slots, hurried.codec.slots)
    if both.size:
        name = next(c.name for c in layout.columns.values() if c.start <= int(both[0]) < c.start + c.size)
        raise ConfigurationError(
            f"profile {profile.name}: points of group fast and of others give {name}, use one group"
        )
    return plan, hurried if hurried.requests else None


def _only(profile: Profile, names: set[str]) -> Profile:
    """The profile with these points alone; the heartbeats go with their points."""
    if len(names) == len(profile.point):
        return profile
    beat = profile.heartbeat
    kept = {
        "watch": beat.watch if beat.watch in names else None,
        "write": beat.write if beat.write in names else None,
    }
    return profile.model_copy(
        update={
            "point": [p for p in profile.point if p.name in names],
            "heartbeat": beat.model_copy(update=kept),
        }
    )
