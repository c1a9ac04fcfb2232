"""The commented configuration that `init` writes: complete, valid as it is, three lines to edit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from opcua_bms.profiles import Profile


@dataclass(frozen=True, slots=True)
class Wish:
    """What the engineer said: `port_per_cluster` means ports PORT, PORT+1, … instead of units 1, 2, …"""

    profile: Profile
    profile_name: str
    host: str
    port: int
    unit: int = 1
    clusters: int = 20
    port_per_cluster: bool = False


def render(wish: Wish) -> str:
    """TOML text."""
    per_cluster = wish.profile.serves == "cluster"
    return "\n".join([_HEAD, _stacks(wish, per_cluster), _devices(wish, per_cluster), _TAIL])


_HEAD = """\
# Configuration of opcua-bms. Check it with: opcua-bms check FILE
# Every value here may also come from the environment, like OPCUA_BMS_SCAN__PERIOD_S=0.5.

[site]
name = "Battery plant"          # part of the namespace of all nodes: change it before clients are configured

[scan]
period_s = 1.0                  # every cell is read once per period
hard_limit_periods = 2          # a value that was missed for longer is Bad, before that Uncertain

[opcua]
endpoint = "opc.tcp://127.0.0.1:4840"   # 0.0.0.0 or an address of this machine opens it to the network
anonymous = "none"              # "observe": clients without a user may read; "operate": and handle alarms
# Named users on encrypted channels, made with: opcua-bms users add NAME --role Operator
# A client's certificate is refused until: opcua-bms certs trust THUMBPRINT (the log names the command)
# All of it lies in the state directory (opcua-bms doctor names it) unless it is said here:
# pki = "/var/lib/opcua-bms/pki"
# require_revocation_lists = false           # true: of an authority's certificates only with its current list
# users = "/var/lib/opcua-bms/users.json"
# audit = "/var/lib/opcua-bms/audit.jsonl"   # every login, write, call and refusal
# What an application may do, whoever sits there:
# [[opcua.applications]]
# uri = "urn:scada.example:client"
# roles = ["Observer"]
"""

_TAIL = """\
# What follows are defaults: take the # away where yours differ. All keys: docs/reference/configuration.md.

# Limits differ from the defaults for LFP cells (docs/alarms.md) only where it is said here; SIGHUP takes them over:
# [alarms.rules.cell-over-voltage]
# warning = { raise = 3.50, clear = 3.45 }
# alarm = { raise = 3.60, clear = 3.55 }
# trip = { raise = 3.65, clear = 3.60 }
# on_delay_s = 3
# off_delay_s = 30

# [alarms]
# journal = "/var/lib/opcua-bms/alarms.sqlite"   # what was raised, acknowledged, shelved survives a power cut
# max_shelving_s = 86400.0

# [history]
# enabled = true
# path = "/var/lib/opcua-bms/history.sqlite"
# retention_days = 366.0        # a year of 20 clusters with 20,000 cells takes about 45 GB
# max_size_mb = 20000           # the oldest go beyond it: such a plant keeps five months
# cell_period_s = 60.0          # summaries are written with every scan, all cells this often

# The page with its JSON API, /healthz, /readyz and /metrics (docs/web.md):
# [web]
# enabled = true
# port = 8080                   # with this line a taken port is an error (75); without it a free one is used then
# address = "127.0.0.1"         # 0.0.0.0 opens it to the network; logins then want certificate and key:
# certificate = "web.pem"
# key = "web.key"
# hosts = ["plant.example"]     # names by which browsers reach it

# [log]
# level = "INFO"                # DEBUG, INFO, WARNING or ERROR; on stderr
"""


def _stacks(wish: Wish, per_cluster: bool) -> str:
    lines = [
        "# What is fitted. Numbers that people see count from 1.",
        "[[stacks]]",
        f"clusters = {wish.clusters}".ljust(32) + "# slots on this DC bus",
    ]
    if per_cluster:
        lines += [
            "packs = 25                      # per cluster",
            "cells = 40                      # voltages per pack",
            "sensors = 20                    # temperatures per pack",
            "series = 250                    # in series per cluster: the sum of cells is checked against the voltage",
            "parallel = 4                    # cells in parallel",
            'absent = ""                     # slots that are not fitted, like "12..20"',
        ]
    elif (most := _most_cells(wish.profile)) > 0:
        cells = min(most, 400)
        lines += [
            "packs = 10                      # per cluster",
            f"cells = {cells // 10}".ljust(32) + f"# voltages per pack; at most {most} per cluster",
            "sensors = 0                     # temperatures per pack: this controller gives none of single cells",
            f"series = {cells // 10 * 10}".ljust(32) + "# in series per cluster: the cells' sum is checked",
            "parallel = 1                    # cells in parallel",
            'absent = ""                     # slots that are not fitted, like "12..20"',
        ]
    else:
        lines += [
            "packs = 0                       # this controller gives summary values only",
            'absent = ""                     # slots that are not fitted; empty ones are also known by their zeros',
        ]
    return "\n".join(lines) + "\n"


def _most_cells(profile: Profile) -> int:
    """Most cell voltages of a cluster that a device which serves several clusters has places for; 0: it has none."""
    point = next((p for p in profile.point if p.target == "cell.voltage"), None)
    return math.prod(level.count for level in point.repeat if level.over in ("pack", "cell")) if point else 0


def _devices(wish: Wish, per_cluster: bool) -> str:
    lines = [
        f"# {wish.profile.title}",
        "[[devices]]",
        f"profile = {json.dumps(wish.profile_name)}",
        f"host = {json.dumps(wish.host)}",
        f"port = {wish.port}",
    ]
    if per_cluster:
        if wish.port_per_cluster:
            lines += ["port_step = 1                   # cluster n answers at port + n - 1", f"unit = {wish.unit}"]
        else:
            lines += [f"unit = {wish.unit}", "unit_step = 1                   # cluster n answers as unit + n - 1"]
        lines.append(f'clusters = "1..{wish.clusters}"')
    else:
        lines.append(f"unit = {wish.unit}")
    if wish.profile.heartbeat.write is None:
        return "\n".join(lines) + "\n"
    lines.append("write_life = false              # true: count up the device's life register; nothing else is written")
    return "\n".join(lines) + "\n"
