"""Browse, BrowseNext, TranslateBrowsePaths, RegisterNodes (Part 4 §5.9)."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import NodeData, ViewService
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.standard import value_of

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.session import Session

C = StatusCodes
_NULL = ua.NodeId()
_REFERENCE_TYPE, _FORWARD, _CLASS, _NAME, _DISPLAY, _TYPE = 1, 2, 4, 8, 16, 32
_ALL_FIELDS = 63
_END_OF_PATH = 0xFFFF_FFFF


@dataclass(slots=True)
class Rest:
    """What a browse has not told yet."""

    references: Iterator[ua.ReferenceDescription]
    first: ua.ReferenceDescription
    size: int
    mask: int


def _status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


class Views(ViewService):
    """The View service set; what a client has not fetched yet is held by its session."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver.aspace)
        self._nodes = iserver.aspace
        self._limits = iserver.limits
        self._access = iserver.access
        self._types = TypeTree(iserver.aspace)

    # ---- Browse

    def browse(  # type: ignore[override]  # the session holds the continuation points
        self, params: ua.BrowseParameters, session: Session
    ) -> list[ua.BrowseResult]:
        """The references of nodes, at most as many per node as the client and the limits allow."""
        self._check_count(params.NodesToBrowse, self._limits.nodes_per_browse, session)
        view = params.View.ViewId
        if not view.is_null():
            node = self._nodes.get(view)
            if node is None or _node_class(node) != ua.NodeClass.View:
                raise ServiceError(C.BadViewIdUnknown)
        most = self._most(params.RequestedMaxReferencesPerNode, session)
        return [self._browse_one(item, most, session) for item in params.NodesToBrowse]

    def _most(self, requested: int, session: Session) -> int:
        if not session.external:
            return 1 << 62
        limit = self._limits.references_per_node
        return min(requested, limit) if requested else limit

    def _browse_one(self, item: ua.BrowseDescription, most: int, session: Session) -> ua.BrowseResult:
        node = self._nodes.get(item.NodeId)
        if node is None or not self._sees(session, item.NodeId):
            return _refused(C.BadNodeIdUnknown)
        if item.BrowseDirection not in (0, 1, 2):
            return _refused(C.BadBrowseDirectionInvalid)
        wanted = item.ReferenceTypeId
        if not wanted.is_null() and not self._is_reference_type(wanted):
            return _refused(C.BadReferenceTypeIdInvalid)
        rest = Rest(self._matching(node, item, session), ua.ReferenceDescription(), most, item.ResultMask)
        return self._page(rest, None, session)

    def _matching(
        self, node: NodeData, item: ua.BrowseDescription, session: Session
    ) -> Iterator[ua.ReferenceDescription]:
        wanted, subtypes = item.ReferenceTypeId, item.IncludeSubtypes
        every = wanted.is_null()
        direction, classes = item.BrowseDirection, item.NodeClassMask
        checked = session.external and not is_internal(session.user)
        answers: dict[ua.NodeId, bool] = {}
        for reference in list(node.references):
            if (reference.IsForward and direction == 1) or (not reference.IsForward and direction == 0):
                continue
            if classes and not classes & reference.NodeClass:
                continue
            kind = reference.ReferenceTypeId
            if not every:
                fits = answers.get(kind)
                if fits is None:
                    fits = answers[kind] = kind == wanted or (subtypes and self._types.is_subtype(kind, wanted))
                if not fits:
                    continue
            if checked and not self._access.may_browse(session.user, reference.NodeId):
                continue
            yield reference

    def _page(self, rest: Rest, first: ua.ReferenceDescription | None, session: Session) -> ua.BrowseResult:
        result = ua.BrowseResult()
        found = [] if first is None else [first]
        found += islice(rest.references, rest.size - len(found))
        result.References = [self._masked(reference, rest.mask) for reference in found]
        following = next(rest.references, None)
        if following is not None:
            if session.continuation_points.full:
                return _refused(C.BadNoContinuationPoints)
            rest.first = following
            result.ContinuationPoint = session.continuation_points.add(rest)
        return result

    def _masked(self, reference: ua.ReferenceDescription, mask: int) -> ua.ReferenceDescription:
        """Only the fields that were asked for (Part 4 §5.9.2.2), names and classes from the target where it is real."""
        complete = self._complete(reference)
        if mask & _ALL_FIELDS == _ALL_FIELDS:
            return complete
        return ua.ReferenceDescription(
            complete.ReferenceTypeId if mask & _REFERENCE_TYPE else _NULL,
            complete.IsForward if mask & _FORWARD else False,
            complete.NodeId,
            complete.BrowseName if mask & _NAME else ua.QualifiedName(),
            complete.DisplayName if mask & _DISPLAY else ua.LocalizedText(),
            complete.NodeClass if mask & _CLASS else ua.NodeClass.Unspecified,
            complete.TypeDefinition if mask & _TYPE else _NULL,
        )

    def _complete(self, reference: ua.ReferenceDescription) -> ua.ReferenceDescription:
        if reference.BrowseName.Name is not None and reference.DisplayName.Text is not None:
            return reference
        target = self._nodes.get(reference.NodeId)
        if target is None:
            return reference
        return ua.ReferenceDescription(
            reference.ReferenceTypeId,
            reference.IsForward,
            reference.NodeId,
            value_of(target, AttributeIds.BrowseName),
            value_of(target, AttributeIds.DisplayName),
            _node_class(target),
            _type_definition(target),
        )

    def browse_next(self, params: ua.BrowseNextParameters, session: Session) -> list[ua.BrowseResult]:
        """The rest of earlier answers, or their release."""
        points = params.ContinuationPoints
        self._check_count(points, self._limits.nodes_per_browse, session)
        results = []
        for point in points:
            rest = session.continuation_points.take(point)
            if rest is None:
                results.append(_refused(C.BadContinuationPointInvalid))
            elif params.ReleaseContinuationPoints:
                results.append(ua.BrowseResult())
            else:
                results.append(self._page(rest, rest.first, session))
        return results

    # ---- TranslateBrowsePathsToNodeIds

    def translate(self, paths: list[ua.BrowsePath], session: Session) -> list[ua.BrowsePathResult]:
        """The nodes at the ends of browse paths."""
        self._check_count(paths, self._limits.nodes_per_translate, session)
        return [self._translate_one(path, session) for path in paths]

    def _translate_one(self, path: ua.BrowsePath, session: Session) -> ua.BrowsePathResult:
        result = ua.BrowsePathResult()
        elements = path.RelativePath.Elements
        code = 0
        if not elements:
            code = C.BadNothingToDo
        elif len(elements) > self._limits.relative_path_elements:
            code = C.BadTooManyOperations
        elif any(not e.TargetName.Name for e in elements):
            code = C.BadBrowseNameInvalid
        elif path.StartingNode not in self._nodes or not self._sees(session, path.StartingNode):
            code = C.BadNodeIdUnknown
        elif any(not e.ReferenceTypeId.is_null() and not self._is_reference_type(e.ReferenceTypeId) for e in elements):
            code = C.BadReferenceTypeIdInvalid
        if code:
            result.StatusCode = _status(code)
            return result
        found: dict[ua.NodeId, None] = {path.StartingNode: None}
        for element in elements:
            targets = (target for node_id in found for target in self._targets(node_id, element))
            found = {target: None for target in targets if self._sees(session, target)}
        if not found:
            result.StatusCode = _status(C.BadNoMatch)
        result.Targets = [ua.BrowsePathTarget(target, ua.UInt32(_END_OF_PATH)) for target in found]
        return result

    def _targets(self, node_id: ua.NodeId, element: ua.RelativePathElement) -> Iterator[ua.NodeId]:
        node = self._nodes.get(node_id)
        if node is None:
            return
        every = element.ReferenceTypeId.is_null()
        wanted, name = element.ReferenceTypeId, element.TargetName
        for reference in node.references:
            if reference.IsForward == element.IsInverse:
                continue
            known = reference if reference.BrowseName.Name is not None else self._complete(reference)
            if known.BrowseName != name:
                continue
            kind = reference.ReferenceTypeId
            if every or kind == wanted or (element.IncludeSubtypes and self._types.is_subtype(kind, wanted)):
                yield reference.NodeId

    # ---- RegisterNodes

    def register_nodes(self, nodes: list[ua.NodeId], session: Session) -> list[ua.NodeId]:
        """The same NodeIds: they are as quick as any handle."""
        self._check_count(nodes, self._limits.nodes_per_register, session)
        if any(node not in self._nodes for node in nodes):
            raise ServiceError(C.BadNodeIdInvalid)
        return list(nodes)

    def unregister_nodes(self, nodes: list[ua.NodeId], session: Session) -> None:
        """Nothing is held; unknown ids are ignored (Part 4 §5.9.6.1)."""
        self._check_count(nodes, self._limits.nodes_per_register, session)

    # ---- shared

    @staticmethod
    def _check_count(items: Sized | None, limit: int, session: Session) -> None:
        if not items:
            raise ServiceError(C.BadNothingToDo)
        if session.external and len(items) > limit:
            raise ServiceError(C.BadTooManyOperations)

    def _sees(self, session: Session, node_id: ua.NodeId) -> bool:
        return not session.external or is_internal(session.user) or self._access.may_browse(session.user, node_id)

    def _is_reference_type(self, node_id: ua.NodeId) -> bool:
        node = self._nodes.get(node_id)
        return node is not None and _node_class(node) == ua.NodeClass.ReferenceType


def _refused(code: int) -> ua.BrowseResult:
    result = ua.BrowseResult()
    result.StatusCode = _status(code)
    return result


def _node_class(node: NodeData) -> ua.NodeClass:
    return ua.NodeClass(value_of(node, AttributeIds.NodeClass))


def _type_definition(node: NodeData) -> ua.NodeId:
    return next((r.NodeId for r in node.references if r.IsForward and r.ReferenceTypeId.Identifier == 40), _NULL)
