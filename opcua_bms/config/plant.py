"""From the file's stacks and devices to a topology and one entry per real device; cross-checks with the profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from opcua_bms.alarms.meanings import Meanings
from opcua_bms.config.hardware import Device, Pack, Stack, numbers
from opcua_bms.config.models import Config
from opcua_bms.document import Document, Location, Problem, did_you_mean
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, Profile, parse_profile
from opcua_bms.resources import profile_bytes, profile_names


@dataclass(frozen=True, slots=True, eq=False)
class PlacedDevice:
    """One real device: what it is, where it answers, and what part of the plant it serves.

    `clusters` are 0-based in the plant; empty for a master. `entry` is its index in the file's [[devices]].
    """

    name: str
    profile: Profile
    settings: Device
    port: int
    unit: int
    stack: int
    clusters: tuple[int, ...]
    entry: int

    def placement(self, topology: Topology) -> Placement:
        """What the device serves, as the profiles want it."""
        if self.clusters:
            return Placement(clusters=self.clusters)
        if self.profile.serves == "stack":
            return Placement.stack(topology, self.stack)
        return Placement.whole(topology)


def topology_of(config: Config) -> Topology:
    """The plant that the file describes."""
    return Topology(tuple(_stack(stack) for stack in config.stacks))


def _stack(stack: Stack) -> StackShape:
    absent = set(numbers(stack.absent)) if stack.absent else set()
    shapes = []
    for number in range(1, stack.clusters + 1):
        packs: int | list[Pack] = stack.packs
        cells, sensors, series, parallel = stack.cells, stack.sensors, stack.series, stack.parallel
        capacity_ah = stack.capacity_ah
        for exception in stack.exceptions:
            if number in numbers(exception.clusters):
                packs = packs if exception.packs is None else exception.packs
                cells = cells if exception.cells is None else exception.cells
                sensors = sensors if exception.sensors is None else exception.sensors
                series = series if exception.series is None else exception.series
                parallel = parallel if exception.parallel is None else exception.parallel
                capacity_ah = capacity_ah if exception.capacity_ah is None else exception.capacity_ah
        rows = [PackShape(p.cells, p.sensors) for p in packs] if isinstance(packs, list) else None
        rows = rows if rows is not None else [PackShape(cells, sensors)] * (packs if isinstance(packs, int) else 0)
        shapes.append(ClusterShape(tuple(rows), series, parallel, number not in absent, capacity_ah))
    return StackShape(tuple(shapes))


def read_profile(name: str, base: Path) -> Profile:
    """A shipped profile by its name, or a file (a name with a dot or slash) relative to `base`."""
    if name in profile_names():
        return parse_profile(profile_bytes(name), f"{name}.toml")
    if "/" not in name and not name.endswith(".toml"):
        raise ConfigurationError(
            f"no profile named '{name}'{did_you_mean(name, profile_names())}; "
            f"shipped: {', '.join(profile_names())}; a file of yours ends with .toml"
        )
    path = base / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"profile {path} cannot be read: {error.strerror}") from None
    return parse_profile(data, str(path))


def place_devices(config: Config, document: Document, topology: Topology, base: Path) -> list[PlacedDevice]:
    """Every real device of the file. ConfigurationError tells all entries that do not fit the plant or each other."""
    problems: list[Problem] = []
    placed: list[PlacedDevice] = []
    for entry, device in enumerate(config.devices):
        location: Location = ("devices", entry)
        try:
            profile = read_profile(device.profile, base)
        except ConfigurationError as error:
            if ".toml:" in str(error):
                raise
            problems.append(Problem((*location, "profile"), str(error)))
            continue

        def complain(key: str, what: str, location: Location = location) -> None:
            problems.append(Problem((*location, key), what))

        placed += _expand(device, entry, profile, topology, complain)
    _unique(placed, problems)
    if problems:
        raise document.error(problems)
    return placed


def _expand(
    device: Device, entry: int, profile: Profile, topology: Topology, complain: Callable[[str, str], None]
) -> list[PlacedDevice]:
    if device.stack > topology.n_stacks:
        complain("stack", f"stack {device.stack} does not exist, the file has {topology.n_stacks} [[stacks]]")
        return []
    points = [point.name for point in profile.point if point.readable and not point.on_device]
    for name in device.stuck_s:
        if name not in points:
            complain("stuck_s", f"profile '{profile.name}' reads no point {name!r}{did_you_mean(name, points)}")
    first = int(topology.stack_clusters[device.stack - 1])
    fitted = int(topology.stack_clusters[device.stack]) - first
    if profile.serves != "cluster":
        if device.clusters is not None:
            complain("clusters", f"profile '{profile.name}' serves the whole {profile.serves}: leave this key out")
        name = device.name or profile.name
        return [PlacedDevice(name, profile, device, device.port, device.unit, device.stack - 1, (), entry)]
    if device.clusters is None:
        complain("clusters", f"is missing: profile '{profile.name}' serves one cluster each, like \"1..{fitted}\"")
        return []
    out = []
    for step, number in enumerate(numbers(device.clusters)):
        if number > fitted:
            complain(
                "clusters",
                f"cluster {number} does not exist, stack {device.stack} has {fitted} (got '{device.clusters}')",
            )
            break
        cluster = first + number - 1
        if not topology.clusters[cluster].installed:
            complain("clusters", f"cluster {number} is marked absent in [[stacks]], so no device can serve it")
            continue
        port, unit = device.port + step * device.port_step, device.unit + step * device.unit_step
        if port > 65_535:
            complain("port_step", f"cluster {number} would be at port {port}; at most 65535")
            break
        if unit > 255:
            complain("unit_step", f"cluster {number} would be unit {unit}; at most 255")
            break
        several = len(numbers(device.clusters)) > 1
        name = device.name if device.name and not several else f"{device.name or 'cluster'}{number:02d}"
        if topology.n_stacks > 1 and not device.name:
            name = f"stack{device.stack}-{name}"
        out.append(PlacedDevice(name, profile, device, port, unit, device.stack - 1, (cluster,), entry))
    return out


def _unique(placed: list[PlacedDevice], problems: list[Problem]) -> None:
    """Names, addresses and served parts of the plant belong to one device each; only the first clash is told."""
    seen: dict[tuple[object, ...], PlacedDevice] = {}
    for device in placed:
        settings = device.settings
        line = settings.serial.port if settings.serial else f"{settings.host}:{device.port}"
        kind = device.profile.name
        claims: list[tuple[str, tuple[object, ...]]] = [("name", (device.name,)), ("unit", (line, device.unit))]
        claims += [("clusters", (kind, cluster)) for cluster in device.clusters or (-1 - device.stack,)]
        for key, claim in claims:
            other = seen.setdefault((key, *claim), device)
            if other is device:
                continue
            what = {
                "name": f"two devices are named '{device.name}': give each [[devices]] a name of its own",
                "unit": f"{line} unit {device.unit} is also device '{other.name}': "
                "another unit, a unit_step or a port_step tells them apart",
                "clusters": f"'{other.name}' and '{device.name}' both serve the same part of the plant",
            }[key]
            problems.append(Problem(("devices", device.entry, key), what))
            return


def meanings_of(placed: list[PlacedDevice]) -> Meanings:
    """What bits of the devices' words assert."""
    bits: dict[str, dict[int, str]] = {}
    per_cluster: dict[str, str] = {}
    for device in placed:
        for column, meanings in device.profile.meanings().items():
            bits.setdefault(column, {}).update(meanings)
        per_cluster.update(device.profile.bits_per_cluster())
    return Meanings(bits, per_cluster)


def word_labels(placed: list[PlacedDevice]) -> Mapping[str, Mapping[int, str]]:
    """Labels of named bits by column; where no master gives a BMS word it is the OR of the clusters' and named so."""
    out: dict[str, dict[int, str]] = {}
    for device in placed:
        for column, labels in device.profile.word_labels().items():
            out.setdefault(column, {}).update(labels)
    for word in ("alarm_word", "fault_word"):
        if f"bms.{word}" not in out and f"cluster.{word}" in out:
            out[f"bms.{word}"] = dict(out[f"cluster.{word}"])
    return out
