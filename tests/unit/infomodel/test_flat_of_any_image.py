"""Register images that nobody has seen: the flat document against the published map, row by row."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opcua_bms.infomodel.lookup import ImageLookup
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, StackShape, Topology
from opcua_bms.profiles import Placement, bind, parse_profile
from opcua_bms.reduce import Reducer
from opcua_bms.resources import profile_bytes

DATA = Path(__file__).parents[2] / "data"
ROWS = list(csv.DictReader((DATA / "clou_ess_registers.csv").open()))
LABELS: dict[str, dict[int, str]] = {}
for label in csv.DictReader((DATA / "clou_ess_bits.csv").open()):
    LABELS.setdefault(label["word"], {})[int(label["bit"])] = label["label"]
WORDS = {"operation_status", "power_limit_state", "bms_alarms", "bms_faults"}
TOPOLOGY = Topology((StackShape((ClusterShape(()),) * 20),))
LAYOUT = Layout.of(TOPOLOGY)
PROFILE = parse_profile(profile_bytes("clou-ess"), "clou-ess.toml")
PLAN = bind(PROFILE, TOPOLOGY, LAYOUT, Placement.whole(TOPOLOGY))


def raw_of(row: dict[str, str], draw: random.Random) -> int:
    """A raw value that the quantity can have; words get any bits, named or not."""
    key, unit = row["key"], row["unit"]
    bits = 16 * int(row["words"])
    if key in WORDS or key.endswith(("alarms", "faults", "status", "state")):
        return draw.getrandbits(bits) & draw.getrandbits(bits)
    if unit == "degC":
        return draw.randint(-4000, 9000) & 0xFFFF
    if unit == "%":
        return draw.randint(0, 100 * int(row["divide_by"]))
    if unit == "V" and int(row["divide_by"]) >= 1000:
        return draw.randint(1, 5 * int(row["divide_by"]))
    if row["signed"] == "1":
        return draw.randint(-30000, 30000) & 0xFFFF
    return draw.getrandbits(bits)


def image_and_document(seed: int) -> tuple[dict[str, dict[int, int]], dict[str, object]]:
    """A register image and what it says, computed from the map alone."""
    draw = random.Random(seed)
    absent = {n for n in range(1, 21) if draw.random() < 0.3}
    tables: dict[str, dict[int, int]] = {"input": {}, "holding": {}}
    document: dict[str, object] = {}
    for row in ROWS:
        key, words, divide_by = row["key"], int(row["words"]), int(row["divide_by"])
        cluster = int(key.split("_")[2]) if key.startswith("cluster_no_") else 0
        raw = 0 if cluster in absent else raw_of(row, draw)
        for i in range(words):
            tables[row["table"]][int(row["address"]) + i] = raw >> 16 * (words - 1 - i) & 0xFFFF
        if key in WORDS:
            named = LABELS.get(key, {})
            document[key] = [
                {"value": b, "string": named.get(b, f"bit {b}")} for b in range(16 * words) if raw >> b & 1
            ]
        else:
            signed = raw - (1 << 16 * words) if row["signed"] == "1" and raw >> (16 * words - 1) else raw
            document[key] = signed / divide_by
    return tables, document


@pytest.mark.parametrize("seed", range(40))
def test_every_key_says_what_its_registers_say(seed: int) -> None:
    """A key that is right in the sample only would show wrong values at every other site."""
    tables, expected = image_and_document(seed)
    words = np.zeros(PLAN.n_words, np.uint16)
    for request in PLAN.requests:
        for i in range(request.count):
            words[request.offset + i] = tables[request.table].get(request.address + i, 0)
    image = replace(Image.blank(LAYOUT, ScanInfo(1, 10.0, 10**18, 1.0), Quality.NOT_SUPPORTED))
    decoded = PLAN.codec.decode(words)
    image.values[PLAN.codec.number_slots] = decoded.values
    image.bits[PLAN.codec.word_indices] = decoded.bits
    image.quality[PLAN.codec.slots] = decoded.quality
    image.stamp_ns[PLAN.codec.slots] = 10**18
    image.measured_s[PLAN.codec.slots] = 10.0
    bound = np.zeros(LAYOUT.size, bool)
    bound[PLAN.codec.slots] = True
    flat = ImageLookup(TOPOLOGY, LAYOUT, PROFILE.word_labels()).flat(Reducer(TOPOLOGY, LAYOUT, bound).reduce(image))
    golden = set(json.loads((DATA / "golden" / "expected.json").read_text()))
    assert set(flat) == golden
    assert flat == {key: expected[key] for key in flat}
