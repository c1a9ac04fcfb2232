"""Answers to ReadRequests that come again and again: planned once, then encoded straight from the store.

A plan holds where the value of each item comes from: scalars of the store by type, arrays of the store, constants,
and whatever else through the generic path. It depends on the bytes of the request and on the rights of the user.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.crypto.permission_rules import User
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary

from opcua_bms.ua.services.attribute import READ_BIT, RefusedError
from opcua_bms.ua.services.read_encoding import STATUS_ONLY, Encoded, encode_array
from opcua_bms.ua.services.read_request import Item, ReadRequest, parse
from opcua_bms.ua.services.scalar_rows import NO_BIT, SOURCE, STATUS, TIMES, ScalarRows, SmallScalar
from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.store import ValueStore
from opcua_bms.ua.turns import pause, slice_is_over

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

_VALUE_ATTRIBUTE = int(AttributeIds.Value)
_SMALL = 4
_NO_DIAGNOSTICS = b"\xff\xff\xff\xff"
_I32 = struct.Struct("<i")

Encoder = Callable[[], bytes]
"""Encodes one item as it is now."""


class Plan:
    """What answers one request: `runs` of rows of scalar groups, and encoders for all that is no scalar, in order."""

    def __init__(self, count: int, groups: list[ScalarRows], runs: list[tuple[int, int, int] | Encoder]) -> None:
        self._head = _I32.pack(count)
        self._groups = groups
        self._runs = runs
        self._whole = len(groups) == 1 and len(runs) == 1

    @property
    def nbytes(self) -> int:
        """What the plan holds in memory, about."""
        return sum(group.nbytes for group in self._groups) + 200 * len(self._runs)

    def encode(self) -> bytes:
        """Results and DiagnosticInfos of the ReadResponse."""
        return b"".join(self._parts())

    async def encode_slowly(self, most: int) -> bytes | None:
        """The same with pauses for others; None if it is more than `most` bytes. All of the store is of one commit."""
        parts: list[bytes] = []
        size = 0
        for part in self._parts():
            parts.append(part)
            size += len(part)
            if size > most:
                return None
            if slice_is_over():
                await pause()
        return b"".join(parts)

    def _parts(self) -> Iterator[bytes]:
        chunks = [group.encode() for group in self._groups]
        yield self._head
        if self._whole:
            yield chunks[0][0]
            yield _NO_DIAGNOSTICS
            return
        for run in self._runs:
            if not isinstance(run, tuple):
                yield run()
                continue
            group, first, last = run
            data, size = chunks[group]
            if isinstance(size, int):
                yield data[first * size : last * size]
            else:
                yield data[size[first] : size[last]]
        yield _NO_DIAGNOSTICS


class ReadPlanner:
    """Makes and keeps plans; one per server, made when its store is attached."""

    MOST_PLANS = 256
    MOST_BYTES = 8 << 20
    MOST_SEEN = 1_000
    MOST_OTHERS = 500
    """items of a long request that are no scalars of the store; with more the generic path is as good"""

    def __init__(self, iserver: InternalServer, store: ValueStore, space: InstanceSpace) -> None:
        self._iserver = iserver
        self._store = store
        self._space = space
        self._plans: OrderedDict[tuple[bytes, Hashable], tuple[Plan | None, int]] = OrderedDict()
        self._held = 0
        self._seen: OrderedDict[int, None] = OrderedDict()
        """hashes of requests that came once: a plan is kept from the second time on, so that a crawl leaves nothing"""
        self._arrays: dict[tuple[Kind, int, int, ua.VariantType, int], bytes] = {}
        self._arrays_of = -1

    def answer(self, request: bytes, user: User) -> bytes | None:
        """Results and DiagnosticInfos for the parameters of a Read; None: the generic path must answer."""
        key = (request, self._iserver.access.rights_key(user))
        known = self._plans.get(key)
        plan = self._used(key, known[0]) if known else self._made(key, self._plan(request, user))
        return None if plan is None else plan.encode()

    async def answer_slowly(self, request: bytes, user: User, most: int) -> bytes | None:
        """The same with pauses for others, for a long request; None, too, if the answer is more than `most` bytes."""
        key = (request, self._iserver.access.rights_key(user))
        known = self._plans.get(key)
        plan = self._used(key, known[0]) if known else self._made(key, await self._plan_slowly(request, user))
        return None if plan is None else await plan.encode_slowly(most)

    def _used(self, key: tuple[bytes, Hashable], plan: Plan | None) -> Plan | None:
        self._plans.move_to_end(key)
        return plan

    def _made(self, key: tuple[bytes, Hashable], plan: Plan | None) -> Plan | None:
        if self._came_before(hash(key)):
            self._keep(key, plan)
        return plan

    def _came_before(self, key: int) -> bool:
        if key in self._seen:
            del self._seen[key]
            return True
        self._seen[key] = None
        if len(self._seen) > self.MOST_SEEN:
            self._seen.popitem(last=False)
        return False

    def _keep(self, key: tuple[bytes, Hashable], plan: Plan | None) -> None:
        size = len(key[0]) + (plan.nbytes if plan is not None else 0)
        self._held -= self._plans[key][1] if key in self._plans else 0  # made twice meanwhile
        self._plans[key] = plan, size
        self._held += size
        while len(self._plans) > self.MOST_PLANS or self._held > self.MOST_BYTES:
            _, (_, released) = self._plans.popitem(last=False)
            self._held -= released

    def _parsed(self, data: bytes) -> ReadRequest | None:
        request = parse(data, self._iserver.limits.nodes_per_read)
        return None if request is None or request.times not in TIMES or not request.max_age >= 0 else request

    def _plan(self, data: bytes, user: User) -> Plan | None:
        request = self._parsed(data)
        if request is None:
            return None
        times = TIMES[request.times]
        try:
            encoders = [self._encoder(item, times, request.times, user) for item in request.items]
        except ValueError:
            return None
        return self._assemble(encoders, times)

    async def _plan_slowly(self, data: bytes, user: User) -> Plan | None:
        request = self._parsed(data)
        if request is None:
            return None
        times = TIMES[request.times]
        encoders: list[Binding | Encoder] = []
        others = 0
        try:
            for item in request.items:
                encoders.append(self._encoder(item, times, request.times, user))
                others += not isinstance(encoders[-1], Binding)
                if others > self.MOST_OTHERS:
                    return None
                if slice_is_over():
                    await pause()
        except ValueError:
            return None
        await pause()
        return self._assemble(encoders, times)

    def _assemble(self, encoders: list[Binding | Encoder], times: int) -> Plan:
        store = self._store
        scalars = sum(1 for encoder in encoders if isinstance(encoder, Binding))
        runs: list[tuple[int, int, int] | Encoder] = []
        if scalars <= _SMALL:
            for encoder in encoders:
                if isinstance(encoder, Binding):
                    bit = encoder.bit if encoder.kind is Kind.BIT else NO_BIT
                    runs.append(SmallScalar(store, encoder.vtype, encoder.start, bit, times).encode)
                else:
                    runs.append(encoder)
            return Plan(len(encoders), [], runs)
        rows: dict[tuple[ua.VariantType, bool, bool], tuple[int, list[int], list[int]]] = {}
        for encoder in encoders:
            if not isinstance(encoder, Binding):
                runs.append(encoder)
                continue
            is_bit = encoder.kind is Kind.BIT
            key = (encoder.vtype, encoder.start >= store.n_numbers, is_bit)
            number, slots, bits = rows.setdefault(key, (len(rows), [], []))
            at = len(slots)
            slots.append(encoder.start)
            bits.append(encoder.bit if is_bit else NO_BIT)
            last = runs[-1] if runs else None
            if isinstance(last, tuple) and last[0] == number:
                runs[-1] = (number, last[1], at + 1)
            else:
                runs.append((number, at, at + 1))
        groups = [ScalarRows(store, key[0], slots, bits, times) for key, (_, slots, bits) in rows.items()]
        return Plan(len(encoders), groups, runs)

    # ---- items

    def _encoder(self, item: Item, times: int, wanted: int, user: User) -> Binding | Encoder:
        """The binding of a scalar of the store; for anything else a function that encodes it."""
        binding = None
        if item.attribute == _VALUE_ATTRIBUTE and not item.index_range and item.encoding is None:
            binding = self._readable(item, user)
        if binding is None or binding.kind in (Kind.NONE, Kind.COMPUTED):
            return self._generic(item, wanted, times, user)
        if binding.kind in (Kind.SLOT, Kind.BIT):
            return binding
        if binding.kind is Kind.CONSTANT:
            return _constant(binding.constant, times)
        return lambda: self._array(binding, times)

    def _readable(self, item: Item, user: User) -> Binding | None:
        """The binding of a node that the user sees and may read."""
        space, access = self._space, self._iserver.access
        if item.namespace != space.namespace_index or not isinstance(item.identifier, str):
            return None
        node_id = item.node_id
        binding = space.resolve(node_id)
        if binding is None or not access.may_browse(user, node_id):
            return None
        level = binding.member.access_level
        if not level & access.user_access_level(user, node_id, level) & READ_BIT:
            return None
        return binding

    def _generic(self, item: Item, wanted: int, times: int, user: User) -> Encoder:
        """Whatever it is; the encoding is kept as long as the node holds the same DataValue."""
        service, node = self._iserver.attribute_service, item.read_value_id
        kept = Encoded(times if item.attribute == _VALUE_ATTRIBUTE else times & ~SOURCE)

        def encode() -> bytes:
            try:
                return kept.encode(service.current(node, user))
            except RefusedError as e:
                return STATUS_ONLY.pack(STATUS, e.code)
            except Exception:  # told and logged by the service
                value = service.read_one(node, ua.TimestampsToReturn(wanted), user, datetime.now(UTC))
                return struct_to_binary(value)

        return encode

    def _array(self, binding: Binding, times: int) -> bytes:
        """An array of the store; encoded once per commit, whoever asks."""
        store = self._store
        if self._arrays_of != store.generation:
            self._arrays_of = store.generation
            self._arrays.clear()
        key = (binding.kind, binding.start, binding.stop, binding.vtype, times)
        known = self._arrays.get(key)
        if known is None:
            known = self._arrays[key] = encode_array(store, binding, times)
        return known


def _constant(value: ua.DataValue, times: int) -> Encoder:
    kept = Encoded(times)
    return lambda: kept.encode(value)
