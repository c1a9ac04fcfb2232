"""`opcua-bms tags`: every variable of a site, in the shapes that other programs import."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from opcua_bms.cli.options import ConfigFile, Nodes, SameAsOption

if TYPE_CHECKING:
    from opcua_bms.infomodel.plan import InstancePlan
    from opcua_bms.infomodel.tags import Tag
    from opcua_bms.runtime.plant import Plant

_CELLS = ("*.Cell[0-9]*", "*.Sensor[0-9]*")


class Format(StrEnum):
    """csv and json: all there is to know; telegraf: an input plugin's section; nodeset2: an address space to import."""

    CSV = "csv"
    JSON = "json"
    TELEGRAF = "telegraf"
    NODESET2 = "nodeset2"


def run(
    file: ConfigFile = None,
    config: SameAsOption = None,
    form: Annotated[Format, typer.Option("--format", help="csv, json, telegraf or nodeset2.")] = Format.CSV,
    node: Nodes = None,
    cells: Annotated[
        bool | None, typer.Option("--cells/--no-cells", help="Single cells too; default: for csv and json.")
    ] = None,
) -> None:
    """List every variable of a site: NodeId, type, unit, description. Asks no server and no device."""
    from opcua_bms.cli.site import site

    _, plant = site(file or config)
    uri = plant.config.site.namespace_uri
    with_cells = form in (Format.CSV, Format.JSON) if cells is None else cells
    plan = _plan(plant)
    wanted = _wanted(plan, node or ["*"], with_cells)
    if form is Format.CSV:
        _csv(wanted, uri)
    elif form is Format.JSON:
        _json(wanted, uri)
    elif form is Format.TELEGRAF:
        _telegraf(wanted, plant.config.opcua.endpoint)
    else:
        _nodeset(plan, None if with_cells and not node else wanted, uri)


def _plan(plant: Plant) -> InstancePlan:
    from opcua_bms.acquire.acquisition import bound_slots
    from opcua_bms.infomodel.plan import instance_plan

    bound = bound_slots(plant.devices, plant.layout)
    provided = [name for name, column in plant.layout.columns.items() if bound[column.slots].any()]
    return instance_plan(plant.topology, plant.labels, provided, [device.name for device in plant.devices])


def _wanted(plan: InstancePlan, patterns: list[str], with_cells: bool) -> Iterable[Tag]:
    from opcua_bms.infomodel.tags import tags

    for tag in tags(plan):
        if not with_cells and any(fnmatchcase(tag.path, cell) for cell in _CELLS):
            continue
        if any(fnmatchcase(tag.path, pattern) for pattern in patterns):
            yield tag


def _nodeset(plan: InstancePlan, wanted: Iterable[Tag] | None, uri: str) -> None:
    """The site's instances; the types are required by it: nodesets/ of the installed package has them."""
    from opcua_bms.infomodel.site_nodeset import SITE, TYPES, site_nodeset
    from opcua_bms.infomodel.types import NODE_IDS_FILE
    from opcua_bms.resources import nodeset_bytes
    from opcua_bms.server.names import Names

    names = Names.of(TYPES, SITE, nodeset_bytes(NODE_IDS_FILE))
    paths = None if wanted is None else {tag.path for tag in wanted}
    for piece in site_nodeset(plan, uri, lambda name: str(names.type(name).to_string()), paths):
        sys.stdout.write(piece)


def _csv(wanted: Iterable[Tag], uri: str) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("node_id", "namespace", "identifier", "data_type", "array", "unit", "description"))
    for tag in wanted:
        array = "yes" if tag.rank >= 1 else ""
        out.writerow((tag.node_id, uri, tag.path, tag.data_type, array, tag.unit, tag.description))


def _json(wanted: Iterable[Tag], uri: str) -> None:
    """One object a line within one array, so that a million tags need no memory."""
    separator = "[\n"
    for tag in wanted:
        row = {
            "node_id": tag.node_id,
            "namespace": uri,
            "identifier": tag.path,
            "data_type": tag.data_type,
            "array": tag.rank >= 1,
            "unit": tag.unit,
            "description": tag.description,
        }
        sys.stdout.write(separator + json.dumps(row, ensure_ascii=False))
        separator = ",\n"
    sys.stdout.write("\n]\n" if separator != "[\n" else "[]\n")


def _telegraf(wanted: Iterable[Tag], endpoint: str) -> None:
    """A section for Telegraf's opcua_listener; arrays, which it does not take, are left out."""
    from opcua_bms.infomodel.tags import NAMESPACE_INDEX

    lines = [
        "[[inputs.opcua_listener]]",
        '  name = "bms"',
        f"  endpoint = {json.dumps(endpoint)}",
        '  security_policy = "Basic256Sha256"',
        '  security_mode = "SignAndEncrypt"',
        '  auth_method = "UserName"',
        '  username = "telegraf"',
        '  password = ""                  # of a user made with: opcua-bms users add telegraf --role Observer',
        '  certificate = "/etc/telegraf/opcua-cert.pem"   # trust it with: opcua-bms certs trust THUMBPRINT',
        '  private_key = "/etc/telegraf/opcua-key.pem"',
        '  connect_fail_behavior = "retry"  # the server trusts nobody before it is told to',
        '  subscription_interval = "1s"',
        '  timestamp = "source"             # the time of the reading, not of its arrival',
        "  [[inputs.opcua_listener.group]]",
        f'    namespace = "{NAMESPACE_INDEX}"',
        '    identifier_type = "s"',
        "    nodes = [",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    for tag in wanted:
        if tag.rank < 1:
            sys.stdout.write(f"      {{name = {json.dumps(tag.path)}, identifier = {json.dumps(tag.path)}}},\n")
    sys.stdout.write("    ]\n")
