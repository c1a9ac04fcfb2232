"""Call (Part 4 §5.12): the method must belong to the object, be executable for the user, and get what it declares.

A handler is bound once, `async def handler(object_id, *arguments: Variant)`, and serves every instance: on a
type's Method (`bind`) or on a member of a family (`bind_member`). It returns None, a StatusCode, a list of output
Variants or a CallMethodResult, and may raise UaStatusCodeError; `session.caller()` says who calls.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.address_space import MethodService, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services.attribute import executable
from opcua_bms.ua.services.datatype import DataTypes
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.standard import value_of

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

A = AttributeIds
C = StatusCodes
Handler = Callable[..., Any]
_logger = logging.getLogger(__name__)

_HAS_COMPONENT = ua.NodeId(ua.Int32(ObjectIds.HasComponent))
_HAS_TYPE_DEFINITION = ua.NodeId(ua.Int32(ObjectIds.HasTypeDefinition))
_INPUT_ARGUMENTS = ua.QualifiedName("InputArguments", 0)
_MAX_DEPTH = 5


class RefusedCallError(Exception):
    """A call is refused with `code` and, for BadInvalidArgument, a code per argument."""

    def __init__(self, code: int, arguments: list[int] | None = None) -> None:
        super().__init__(hex(code))
        self.code = code
        self.arguments = arguments or []


class Methods(MethodService):
    """The Method service set."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver.aspace)
        self._nodes = iserver.aspace
        self._limits = iserver.limits
        self._access = iserver.access
        self._types = DataTypes(iserver.aspace)
        self._tree = TypeTree(iserver.aspace)
        self._handlers: dict[ua.NodeId, Handler] = {}
        self._serves: dict[ua.NodeId, Callable[[ua.NodeId], bool]] = {}
        self._member_handlers: dict[tuple[str, str], Handler] = {}

    def bind(self, method_id: ua.NodeId, handler: Handler, serves: Callable[[ua.NodeId], bool] | None = None) -> None:
        """Serve a Method node: of a type (then for all its instances) or of one instance.

        `serves` names further ObjectIds that the handler knows, with or without a node of their own.
        """
        self._handlers[method_id] = handler
        if serves is not None:
            self._serves[method_id] = serves

    def bind_member(self, family: str, path: str, handler: Handler) -> None:
        """Serve the Method `path` of all instances of a family."""
        self._member_handlers[family, path] = handler

    async def call(self, methods: list[ua.CallMethodRequest], user: User | None = None) -> list[ua.CallMethodResult]:
        """Call for `user`; None is the server itself."""
        if not methods:
            raise ServiceError(C.BadNothingToDo)
        if user is not None and not is_internal(user) and len(methods) > self._limits.nodes_per_call:
            raise ServiceError(C.BadTooManyOperations)
        return [await self.call_one(method, user) for method in methods]

    async def call_one(self, method: ua.CallMethodRequest, user: User | None) -> ua.CallMethodResult:
        """One call; whatever goes wrong is in its result."""
        arguments = method.InputArguments or []
        try:
            handler = self._check(method.ObjectId, method.MethodId, arguments, user)
            answer = await self._run_method(handler, method.ObjectId, *arguments)
        except RefusedCallError as e:
            result = _result(e.code)
            result.InputArgumentResults = [ua.StatusCode(ua.UInt32(code)) for code in e.arguments]
            return result
        except (ServiceError, UaStatusCodeError) as e:
            return _result(e.code)
        except Exception:  # of a handler: one call must not cost the others of a request
            _logger.exception("method_failed method=%s object=%s", method.MethodId, method.ObjectId)
            return _result(C.BadInternalError)
        if isinstance(answer, ua.CallMethodResult):
            return answer
        result = _result(0)
        if isinstance(answer, ua.StatusCode):
            result.StatusCode = answer
        elif answer:
            result.OutputArguments = list(answer)
        return result

    def _check(
        self, object_id: ua.NodeId, method_id: ua.NodeId, arguments: list[ua.Variant], user: User | None
    ) -> Handler:
        """The handler, once everything is in order; else RefusedCallError."""
        internal = user is None or is_internal(user)
        target, method = self._nodes.get(object_id), self._nodes.get(method_id)
        known = method_id in self._serves and self._serves[method_id](object_id)
        if not (known or target is not None) or not (internal or self._access.may_browse(user, object_id)):  # type: ignore[arg-type]
            raise RefusedCallError(C.BadNodeIdUnknown)
        if method is None or _node_class(method) != ua.NodeClass.Method:
            raise RefusedCallError(C.BadMethodInvalid)
        if not known and (target is None or not self._belongs(target, method)):
            raise RefusedCallError(C.BadMethodInvalid)
        declaration = self.declaration(method_id)
        if not executable(method):
            raise RefusedCallError(C.BadNotExecutable)
        if user is not None and not internal and not self._access.user_executable(user, declaration, object_id):
            raise RefusedCallError(C.BadUserAccessDenied)
        handler = self._handler(target, method, declaration)
        if handler is None:
            raise RefusedCallError(C.BadNotImplemented)
        self._check_arguments(self._arguments(method, declaration), arguments)
        return handler

    # ---- which handler

    def declaration(self, method_id: ua.NodeId) -> ua.NodeId:
        """The type's Method that a method of a lazy instance stands for; else the method itself."""
        space = self._nodes.instances
        binding = space.resolve(method_id) if space is not None else None
        if binding is None or binding.member.method_declaration is None:
            return method_id
        return binding.member.method_declaration

    def _handler(self, target: NodeData | None, method: NodeData, declaration: ua.NodeId) -> Handler | None:
        space = self._nodes.instances
        binding = space.resolve(method.nodeid) if space is not None else None
        if binding is not None:
            found = self._member_handlers.get((binding.family.key, binding.member.path))
            if found is not None:
                return found
        for node_id in (method.nodeid, declaration):
            node = self._nodes.get(node_id)
            found = self._handlers.get(node_id) or (node.call if node is not None else None)
            if found is not None:
                return found
        name = value_of(method, A.BrowseName)
        for type_id in self._type_chain(target) if target is not None else ():  # an instance's copy of a type's method
            for reference in self._components(type_id):
                if reference.BrowseName == name:
                    node = self._nodes.get(reference.NodeId)
                    found = self._handlers.get(reference.NodeId) or (node.call if node is not None else None)
                    if found is not None:
                        return found
        return None

    # ---- does the method belong to the object (Part 4 §5.12.2.2)

    def _belongs(self, target: NodeData, method: NodeData) -> bool:
        """A component of the object or of its type, or of a component of the type (as ShelvingState's methods are)."""
        if any(reference.NodeId == method.nodeid for reference in self._components(target.nodeid)):
            return True
        return any(self._declares(owner, target) for owner in self._owners(method, _MAX_DEPTH))

    def _declares(self, owner: NodeData, target: NodeData, depth: int = _MAX_DEPTH) -> bool:
        """Whether `owner` is a type of the object, or what a type of an object above calls by the same names.

        Another type's declaration of such an object is none of it: its Methods have no rights of their own here.
        """
        if owner.nodeid in self._type_chain(target):
            return True
        if not depth or value_of(owner, A.BrowseName) != value_of(target, A.BrowseName):
            return False
        return any(
            self._declares(above, whole, depth - 1)
            for above in self._owners(owner, 1)
            for whole in self._owners(target, 1)
        )

    def _owners(self, node: NodeData, depth: int) -> Iterator[NodeData]:
        """What a node is a component of, up to `depth` levels above."""
        for reference in node.references if depth else ():
            if not reference.IsForward and self._is_component(reference.ReferenceTypeId):
                owner = self._nodes.get(reference.NodeId)
                if owner is not None:
                    yield owner
                    yield from self._owners(owner, depth - 1)

    def _type_chain(self, node: NodeData) -> Iterator[ua.NodeId]:
        """The type of an object and its supertypes; of a type itself and its supertypes."""
        if _node_class(node) == ua.NodeClass.ObjectType:
            type_id: ua.NodeId | None = node.nodeid
        else:
            type_id = next(
                (r.NodeId for r in node.references if r.IsForward and r.ReferenceTypeId == _HAS_TYPE_DEFINITION), None
            )
        if type_id is not None:
            yield from self._tree.supertypes(type_id)

    def _components(self, node_id: ua.NodeId) -> Iterator[ua.ReferenceDescription]:
        node = self._nodes.get(node_id)
        for reference in node.references if node is not None else ():
            if reference.IsForward and self._is_component(reference.ReferenceTypeId):
                yield reference

    def _is_component(self, reference_type: ua.NodeId) -> bool:
        return reference_type == _HAS_COMPONENT or self._tree.is_subtype(reference_type, _HAS_COMPONENT)

    # ---- arguments

    def _arguments(self, method: NodeData, declaration: ua.NodeId) -> list[ua.Argument]:
        for node_id in (method.nodeid, declaration):
            node = self._nodes.get(node_id)
            for reference in node.references if node is not None else ():
                if reference.IsForward and reference.BrowseName == _INPUT_ARGUMENTS:
                    value = self._nodes.read_attribute_value(reference.NodeId, A.Value).Value
                    return list(value.Value or ()) if value is not None else []
        return []

    def _check_arguments(self, declared: list[ua.Argument], given: list[ua.Variant]) -> None:
        if len(given) < len(declared):
            raise RefusedCallError(C.BadArgumentsMissing)
        if len(given) > len(declared):
            raise RefusedCallError(C.BadTooManyArguments)
        codes = [
            self._types.mismatch(argument.DataType, argument.ValueRank, argument.ArrayDimensions, value)
            for argument, value in zip(declared, given, strict=True)
        ]
        if any(codes):
            raise RefusedCallError(C.BadInvalidArgument, codes)

    async def _run_method(self, func: Handler, parent: ua.NodeId, *args: Any) -> Any:
        """Await a coroutine handler; run any other in a thread, where `caller()` works too."""
        if inspect.iscoroutinefunction(func):
            return await func(parent, *args)
        call = functools.partial(contextvars.copy_context().run, func, parent, *args)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)


def _node_class(node: NodeData) -> ua.NodeClass:
    return ua.NodeClass(value_of(node, A.NodeClass))


def _result(code: int) -> ua.CallMethodResult:
    result = ua.CallMethodResult()
    result.StatusCode = ua.StatusCode(ua.UInt32(code))
    return result
