"""Read and Write (Part 4 §5.11): per item, for a user, with everything that may be wrong told by its own code."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.address_space import AttributeService, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services.datatype import DataTypes
from opcua_bms.ua.space.index_range import parse_index_range, replace_range, select_range
from opcua_bms.ua.space.nodes import AddressSpace
from opcua_bms.ua.space.standard import value_of

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

A = AttributeIds
C = StatusCodes
_logger = logging.getLogger(__name__)

BAD = 0x8000_0000
READ_BIT, WRITE_BIT = 0x01, 0x02
STATUS_WRITE_BIT, TIMESTAMP_WRITE_BIT = 0x20, 0x40
_LAST_ATTRIBUTE = int(max(A))
_ENCODINGS = {"Default Binary", "Default XML", "Default JSON"}


def status(code: int) -> ua.StatusCode:
    """A StatusCode of a number."""
    return ua.StatusCode(ua.UInt32(code))


class RefusedError(Exception):
    """One item is refused with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


def failed(code: int) -> ua.DataValue:
    """A DataValue that says only why there is no value."""
    answer = ua.DataValue(StatusCode=status(code))
    answer.Value = None
    return answer


class Attributes(AttributeService):
    """The Attribute service set; one per server, without state."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver.aspace)
        self._nodes: AddressSpace = iserver.aspace
        self._iserver = iserver
        self._limits = iserver.limits
        self._access = iserver.access
        self._types = DataTypes(iserver.aspace)

    # ---- Read

    def read(self, params: ua.ReadParameters, user: User | None = None) -> list[ua.DataValue]:
        """Read for `user`; None is the server itself."""
        nodes = params.NodesToRead
        if not nodes:
            raise ServiceError(C.BadNothingToDo)
        if user is not None and not is_internal(user) and len(nodes) > self._limits.nodes_per_read:
            raise ServiceError(C.BadTooManyOperations)
        if not params.MaxAge >= 0:  # nor NaN
            raise ServiceError(C.BadMaxAgeInvalid)
        times = params.TimestampsToReturn
        if times not in (0, 1, 2, 3):
            raise ServiceError(C.BadTimestampsToReturnInvalid)
        now = datetime.now(UTC)
        return [self.read_one(item, times, user, now) for item in nodes]

    def read_one(
        self, item: ua.ReadValueId, times: ua.TimestampsToReturn, user: User | None, now: datetime
    ) -> ua.DataValue:
        """One item; never raises."""
        try:
            value = self.current(item, user)
        except RefusedError as e:
            return failed(e.code)
        except Exception:  # a computed value of one node must not cost the others
            _logger.exception("read_failed node=%s attribute=%s", item.NodeId, item.AttributeId)
            return failed(C.BadInternalError)
        return _with_times(value, times, now, item.AttributeId == A.Value)

    def current(self, item: ua.ReadValueId, user: User | None) -> ua.DataValue:
        """What an item holds, as it is held; RefusedError, or whatever a computed value raises."""
        node = self._visible(item.NodeId, user)
        attribute = item.AttributeId
        if not 1 <= attribute <= _LAST_ATTRIBUTE:
            raise RefusedError(C.BadAttributeIdInvalid)
        encoding = item.DataEncoding
        if encoding is not None and encoding.Name:
            self._check_encoding(node, attribute, encoding)
        ranges = None
        if item.IndexRange:
            ranges = parse_index_range(item.IndexRange)
            if ranges is None:
                raise RefusedError(C.BadIndexRangeInvalid)
            if attribute != A.Value:
                raise RefusedError(C.BadIndexRangeNoData)
        if attribute == A.Value:
            self._check_readable(node, user)
        value = self._attribute(node, attribute, user)
        if ranges is None or (value.StatusCode is not None and value.StatusCode.value >= BAD):
            return value
        part = select_range(value.Value or ua.Variant(), ranges)
        if isinstance(part, int):
            raise RefusedError(part)
        return ua.DataValue(part, value.StatusCode, value.SourceTimestamp, value.ServerTimestamp)

    def _visible(self, node_id: ua.NodeId, user: User | None) -> NodeData:
        node = self._nodes.get(node_id)
        if node is None or (user is not None and not is_internal(user) and not self._access.may_browse(user, node_id)):
            raise RefusedError(C.BadNodeIdUnknown)
        return node

    def _attribute(self, node: NodeData, attribute: AttributeIds, user: User | None) -> ua.DataValue:
        if user is not None and not is_internal(user) and attribute in _PER_USER:
            answer = self._per_user(node, attribute, user)
            if answer is not None:
                return answer
        held = node.attributes.get(attribute)
        if held is None:
            raise RefusedError(C.BadAttributeIdInvalid)
        if held.value_callback is not None:
            return held.value_callback(node.nodeid, attribute)
        if held.value is None:
            raise RefusedError(C.BadAttributeIdInvalid)
        return held.value

    def _per_user(self, node: NodeData, attribute: AttributeIds, user: User) -> ua.DataValue | None:
        if attribute == A.UserAccessLevel:
            level = access_level(node)
            if level is None:
                return None
            level = self._access.user_access_level(user, node.nodeid, level)
            return ua.DataValue(ua.Variant(level, ua.VariantType.Byte))
        if attribute == A.UserExecutable:
            if A.Executable not in node.attributes:
                return None
            allowed = executable(node) and self._access.user_executable(user, node.nodeid, None)
            return ua.DataValue(ua.Variant(allowed, ua.VariantType.Boolean))
        if attribute == A.RolePermissions:
            if not self._access.may_read_role_permissions(user, node.nodeid):
                raise RefusedError(C.BadUserAccessDenied)  # Part 3 §5.2.9
            permissions = self._access.role_permissions(node.nodeid)
        else:
            permissions = self._access.user_role_permissions(user, node.nodeid)
        if permissions is None:
            return None
        return ua.DataValue(ua.Variant(permissions, ua.VariantType.ExtensionObject, is_array=True))

    def _check_readable(self, node: NodeData, user: User | None) -> None:
        level = access_level(node)
        if level is None or user is None or is_internal(user):
            return
        if not level & READ_BIT:
            raise RefusedError(C.BadNotReadable)
        if not self._access.user_access_level(user, node.nodeid, level) & READ_BIT:
            raise RefusedError(C.BadUserAccessDenied)

    def _check_encoding(self, node: NodeData, attribute: AttributeIds, encoding: ua.QualifiedName) -> None:
        """Values are encoded in binary only; asking for just that is always right (Part 4 §5.11.2)."""
        if attribute != A.Value or encoding.NamespaceIndex or encoding.Name not in _ENCODINGS:
            raise RefusedError(C.BadDataEncodingInvalid)
        if encoding.Name != "Default Binary":
            structure = self._types.is_structure(node)
            raise RefusedError(C.BadDataEncodingUnsupported if structure else C.BadDataEncodingInvalid)

    # ---- Write

    async def write(self, params: ua.WriteParameters, user: User | None = None) -> list[ua.StatusCode]:
        """Write for `user`; None is the server itself."""
        nodes = params.NodesToWrite
        if not nodes:
            raise ServiceError(C.BadNothingToDo)
        if user is None or is_internal(user):
            return [await self._write_internal(item) for item in nodes]
        if len(nodes) > self._limits.nodes_per_write:
            raise ServiceError(C.BadTooManyOperations)
        return [await self.write_one(item, user) for item in nodes]

    async def _write_internal(self, item: ua.WriteValue) -> ua.StatusCode:
        if not self._nodes.is_real(item.NodeId) and item.NodeId in self._nodes:
            return status(C.BadNotWritable)  # instances are changed through their store
        return await self._nodes.write_attribute_value(item.NodeId, item.AttributeId, item.Value)

    async def write_one(self, item: ua.WriteValue, user: User) -> ua.StatusCode:
        """One item; never raises."""
        try:
            return await self._write(item, user)
        except RefusedError as e:
            return status(e.code)
        except UaStatusCodeError as e:
            return status(e.code)
        except Exception:  # nor what refuses one value
            _logger.exception("write_failed node=%s attribute=%s", item.NodeId, item.AttributeId)
            return status(C.BadInternalError)

    async def _write(self, item: ua.WriteValue, user: User) -> ua.StatusCode:
        node = self._visible(item.NodeId, user)
        attribute = item.AttributeId
        if attribute not in node.attributes:
            raise RefusedError(C.BadAttributeIdInvalid)
        level = access_level(node)
        if attribute != A.Value or level is None or not level & WRITE_BIT:
            raise RefusedError(C.BadNotWritable)
        if not self._access.user_access_level(user, node.nodeid, level) & WRITE_BIT:
            raise RefusedError(C.BadUserAccessDenied)
        value = item.Value
        _check_extras(value, level)
        if item.IndexRange:
            value = self._merge(node, item.IndexRange, value)
        else:
            code = self._types.check(node, value.Value or ua.Variant())
            if code:
                raise RefusedError(code)
        return await self._store(node, value)

    def _merge(self, node: NodeData, index_range: str, value: ua.DataValue) -> ua.DataValue:
        ranges = parse_index_range(index_range)
        if ranges is None:
            raise RefusedError(C.BadIndexRangeInvalid)
        new = value.Value or ua.Variant()
        current = self._attribute(node, A.Value, None).Value or ua.Variant()
        if new.VariantType != current.VariantType and current.Value is not None:
            raise RefusedError(C.BadTypeMismatch)
        merged = replace_range(current, ranges, new)
        if isinstance(merged, int):
            raise RefusedError(merged)
        code = self._types.check(node, merged)
        if code:
            raise RefusedError(code)
        return ua.DataValue(merged, value.StatusCode, value.SourceTimestamp)

    async def _store(self, node: NodeData, value: ua.DataValue) -> ua.StatusCode:
        if self._nodes.is_real(node.nodeid):
            now: Any = datetime.now(UTC)
            held = ua.DataValue(value.Value, value.StatusCode or ua.StatusCode(), value.SourceTimestamp or now, now)
            return await self._nodes.write_attribute_value(node.nodeid, A.Value, held)
        space = self._nodes.instances
        binding = space.resolve(node.nodeid) if space is not None else None
        if space is None or binding is None or space.write_handler is None:
            raise RefusedError(C.BadNotWritable)
        return await space.write_handler(binding, value)


_PER_USER = frozenset({A.UserAccessLevel, A.UserExecutable, A.RolePermissions, A.UserRolePermissions})


def access_level(node: NodeData) -> int | None:
    """The AccessLevel bits of a Variable; None for other nodes."""
    level: int | None = value_of(node, A.AccessLevel)
    return level


def executable(node: NodeData) -> bool:
    """Whether a Method can be called at all."""
    return bool(value_of(node, A.Executable))


def _check_extras(value: ua.DataValue, level: int) -> None:
    """Status and timestamps are written only where AccessLevel says so (Part 4 §5.11.4.2)."""
    if value.StatusCode is not None and value.StatusCode.value and not level & STATUS_WRITE_BIT:
        raise RefusedError(C.BadWriteNotSupported)
    if value.ServerTimestamp is not None or (value.SourceTimestamp is not None and not level & TIMESTAMP_WRITE_BIT):
        raise RefusedError(C.BadWriteNotSupported)


def _with_times(value: ua.DataValue, times: ua.TimestampsToReturn, now: Any, is_value: bool) -> ua.DataValue:
    """A copy with the wanted timestamps, and without a value where the status is Bad."""
    server = value.ServerTimestamp or now
    source = (value.SourceTimestamp or server) if is_value else None
    answer = ua.DataValue(
        value.Value,
        value.StatusCode,
        source if times in (ua.TimestampsToReturn.Source, ua.TimestampsToReturn.Both) else None,
        server if times in (ua.TimestampsToReturn.Server, ua.TimestampsToReturn.Both) else None,
    )
    if value.StatusCode is not None and value.StatusCode.value >= BAD:
        answer.Value = None
    return answer
