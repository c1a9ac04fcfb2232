"""Device profiles: what a device's registers mean (a data file), how to read them, and what they say.

    profile = parse_profile(profile_bytes("cell-cluster"), "cell-cluster")     # bytes come from `resources`
    plan = bind(profile, topology, layout, Placement.cluster(0))
    words = np.zeros(plan.n_words, np.uint16)              # each of plan.requests fills words[offset : offset + count]
    decoded = plan.codec.decode(words)                     # values, bits, quality, parallel to plan.codec.slots
    image.values[plan.codec.number_slots] = decoded.values
    image.bits[plan.codec.word_indices] = decoded.bits
    image.quality[plan.codec.slots] = decoded.quality
    image.quality[plan.codec.request_slots[k]] = …         # of a request k that failed
    registers = plan.encode(image.values, image.bits)      # the other way round, for a simulated device

Pure: no input or output, no clock. Mistakes are `errors.ConfigurationError`.
"""

from opcua_bms.profiles.codec import Codec, Decoded
from opcua_bms.profiles.device_values import device_values, put_device_values
from opcua_bms.profiles.groups import bind_groups
from opcua_bms.profiles.lint import Finding, lint
from opcua_bms.profiles.listing import Register, notation, registers
from opcua_bms.profiles.parse import parse_profile
from opcua_bms.profiles.placement import Elements, Placement, nominal_addresses
from opcua_bms.profiles.plan import DevicePlan, DevicePoint, WritePoint, bind
from opcua_bms.profiles.planner import FUNCTIONS, Request
from opcua_bms.profiles.schema import BIT_TABLES, Point, Profile, json_schema

__all__ = [
    "BIT_TABLES",
    "FUNCTIONS",
    "Codec",
    "Decoded",
    "DevicePlan",
    "DevicePoint",
    "Elements",
    "Finding",
    "Placement",
    "Point",
    "Profile",
    "Register",
    "Request",
    "WritePoint",
    "bind",
    "bind_groups",
    "device_values",
    "json_schema",
    "lint",
    "nominal_addresses",
    "notation",
    "parse_profile",
    "put_device_values",
    "registers",
]
