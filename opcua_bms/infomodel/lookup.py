"""Look up nodes in an image by the text of their NodeId, without a server."""

from __future__ import annotations

from opcua_bms.infomodel.flat import Entry, Found, document
from opcua_bms.infomodel.members import BOUND_ROWS, WordLabels
from opcua_bms.infomodel.paths import object_paths, slots_by_path
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import STATUS_CODE
from opcua_bms.model.topology import Topology

_SCOPES = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
_BAD_NODE_ID_UNKNOWN = 0x80340000


class ImageLookup:
    """Finds the scalars of BMS, stacks and clusters in images of one plant."""

    def __init__(self, topology: Topology, layout: Layout, labels: WordLabels) -> None:
        self._slots = slots_by_path(topology, layout, _SCOPES)
        self._n_numbers = layout.n_numbers
        self._clusters = tuple(len(stack.clusters) for stack in topology.stacks)
        self._texts: dict[str, tuple[str, ...]] = {}
        for scope in _SCOPES:
            for row in BOUND_ROWS[scope]:
                if row.type == "BitWordType":
                    named = labels.get(row.column, {})
                    texts = tuple(named.get(bit, "") for bit in range(max(named, default=-1) + 1))
                    for path in object_paths(topology, scope):
                        self._texts[f"{path}.{row.path}.OptionSetValues"] = texts

    def find(self, image: Image, path: str) -> Found:
        """(value, StatusCode) of one node."""
        if path in self._texts:
            return self._texts[path], 0
        slot = self._slots.get(path)
        if slot is None:
            return None, _BAD_NODE_ID_UNKNOWN
        status = int(STATUS_CODE[image.quality[slot]])
        if slot < self._n_numbers:
            return float(image.values[slot]), status
        return int(image.bits[slot - self._n_numbers]), status

    def flat(self, image: Image) -> dict[str, Entry]:
        """The user's flat document of one image."""
        return document(self._clusters, lambda path: self.find(image, path))
