"""The families as a tree: browse paths are parsed into instances and printed from them, without an index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from opcua_bms.errors import InternalError
from opcua_bms.ua.space.blueprint import Family, Link, Member, Named

_DIGITS = "0123456789"
_MAX_DIGITS = 9


class Branch:
    """One family with its place in the tree."""

    def __init__(self, family: Family, parent: Branch | None) -> None:
        self.family = family
        self.parent = parent
        self.members: dict[str, Member] = {member.path: member for member in family.blueprint.members}
        self.children: dict[str, list[Member]] = {}
        """member path → the members directly below it"""
        for member in family.blueprint.members:
            if member.path:
                self.children.setdefault(member.path.rpartition(".")[0], []).append(member)
        self.below: dict[str, Names] = {}
        """member path → the families whose paths go on from it"""
        self.linked: dict[str, list[tuple[Link, Branch]]] = {}
        """member path → every reference to instances of other families"""
        self.offsets: list[int] = family.names.offsets.tolist()
        self.count = self.offsets[-1]

    def parent_instance(self, instance: int) -> int:
        """Which instance of the parent family `instance` belongs to."""
        return bisect_right(self.offsets, instance) - 1

    def name(self, instance: int) -> str:
        """The last segment of an instance's path, its BrowseName."""
        names = self.family.names
        if isinstance(names, Named):
            return names.names[instance]
        number = instance - self.offsets[self.parent_instance(instance)] + 1
        return f"{names.prefix}{number:0{names.pad}d}"

    def display_name(self, instance: int) -> str:
        """What people read."""
        names = self.family.names
        if isinstance(names, Named) and names.display_names is not None:
            return names.display_names[instance]
        return self.name(instance)

    def stem(self, parent_instance: int) -> str:
        """The path of a parent instance up to where this family's names go on, with the dot; "" for a root family."""
        if self.parent is None:
            return ""
        member = self.family.links[0].member
        path = self.parent.path(parent_instance)
        return f"{path}.{member}." if member else f"{path}."

    def path(self, instance: int, member: str = "") -> str:
        """The identifier of an instance's node."""
        root = self.stem(self.parent_instance(instance)) + self.name(instance)
        return f"{root}.{member}" if member else root


class Names:
    """The families that may follow at one place of a path."""

    def __init__(self) -> None:
        self._numbered: dict[str, tuple[int, Branch]] = {}
        self._named: list[Branch] = []

    def add(self, branch: Branch) -> None:
        """Let a path go on with an instance of `branch`."""
        names = branch.family.names
        if isinstance(names, Named):
            self._named.append(branch)
        elif names.prefix in self._numbered:
            raise InternalError(f"two families are named {names.prefix!r} at the same place")
        else:
            self._numbered[names.prefix] = (names.pad, branch)

    def find(self, name: str, parent: int) -> tuple[Branch, int] | None:
        """The instance called `name` below instance `parent`."""
        prefix = name.rstrip(_DIGITS)
        hit = self._numbered.get(prefix)
        if hit is not None:
            pad, branch = hit
            digits = name[len(prefix) :]
            if pad <= len(digits) <= _MAX_DIGITS and (len(digits) == pad or digits[0] != "0"):
                number = int(digits) if digits else 0
                instance = branch.offsets[parent] + number - 1
                if number and instance < branch.offsets[parent + 1]:
                    return branch, instance
        for branch in self._named:
            names = branch.family.names
            assert isinstance(names, Named)  # noqa: S101 - add() sorts them
            try:
                return branch, names.names.index(name, branch.offsets[parent], branch.offsets[parent + 1])
            except ValueError:
                continue
        return None


class Tree:
    """All families."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.branches: dict[str, Branch] = {}
        self.roots = Names()
        for family in families:
            if family.parent is not None and family.parent not in self.branches:
                raise InternalError(f"family {family.key!r} comes before its parent {family.parent!r}")
            parent = self.branches[family.parent] if family.parent is not None else None
            branch = Branch(family, parent)
            self.branches[family.key] = branch
            parents = parent.count if parent is not None else 1
            if len(branch.offsets) != parents + 1:
                raise InternalError(f"family {family.key!r}: {len(branch.offsets)} offsets for {parents} parents")
            if parent is None:
                self.roots.add(branch)
                continue
            parent.below.setdefault(family.links[0].member, Names()).add(branch)
            for link in family.links:
                parent.linked.setdefault(link.member, []).append((link, branch))

    def find(self, path: str) -> tuple[Branch, int, Member] | None:
        """Parse an identifier; None if there is no such node."""
        branch: Branch | None = None
        instance = 0
        member = ""
        for name in path.split("."):
            if branch is None:
                names: Names | None = self.roots
            else:
                deeper = f"{member}.{name}" if member else name
                if name and deeper in branch.members:
                    member = deeper
                    continue
                names = branch.below.get(member)
            hit = names.find(name, instance) if names is not None else None
            if hit is None:
                return None
            branch, instance = hit
            member = ""
        if branch is None:
            return None
        return branch, instance, branch.members[member]

    @property
    def node_count(self) -> int:
        """How many nodes there are, looked at or not."""
        return sum(branch.count * len(branch.family.blueprint.members) for branch in self.branches.values())

    def nodes(self) -> Iterator[str]:
        """The identifiers of all nodes, parents first; a generator, because there may be millions."""
        for branch in self.branches.values():
            for instance in range(branch.count):
                for member in branch.members:
                    yield branch.path(instance, member)
