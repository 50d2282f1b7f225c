"""Groups: connections that are of use only together, or of which any one will do."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from brama.telemetry import ConfigError, unknown

from .circuit import Circuit
from .errors import UnknownGroupError
from .options import Key, check_name, check_scope
from .reason import Reason
from .status import Status

__all__ = ["Group", "GroupStatus", "Groups"]

MODES = ("all", "any")

Member = str | tuple[str | None, str] | Circuit
"""How a member is given: its name, in the scope of the group; scope and name; or the circuit."""


@attrs.frozen(kw_only=True)
class Group:
    """Some connections under one name; it holds their keys and neither circuits nor a state.

    Attributes:
        name, scope: what makes it unique in its system.
        members: the keys of the connections, as (scope, name), in the order given. They need not
            be registered yet.
        mode: ``"all"``: available while all members are; ``"any"``: while at least one is.
    """

    name: str
    scope: str | None
    members: tuple[Key, ...]
    mode: str


@attrs.frozen(kw_only=True)
class GroupStatus(Mapping[str | Key, Status | None]):
    """A group at one instant: a frozen mapping from each member to its `Status`.

    Members of the group's own scope stand under their names, others under (scope, name). One that
    is not registered is None.

    Attributes:
        name, scope, mode: as of the `Group`.
        available: whether the group was.
        members: the mapping itself.
        unavailable: the members that would have admitted no call.
    """

    name: str
    scope: str | None
    mode: str
    available: bool
    members: Mapping[str | Key, Status | None] = attrs.field(hash=False)
    unavailable: tuple[str | Key, ...]

    def __getitem__(self, member: str | Key) -> Status | None:
        return self.members[member]

    def __iter__(self) -> Iterator[str | Key]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


class Groups:
    """The groups of one system.

    Args:
        find: the circuit of a key, or None.

    Threads: from any. Reading takes no lock.
    """

    def __init__(self, find: Callable[[Key], Circuit | None]) -> None:
        self._find = find
        self._lock = threading.Lock()
        # Invariant: both are written under the lock. The second counts in how many groups a
        # connection is.
        self._groups: dict[Key, Group] = {}
        self._members: Counter[Key] = Counter()

    def register(
        self,
        name: str,
        members: Iterable[Member],
        *,
        scope: str | None = None,
        mode: str = "all",
    ) -> Group:
        """Make the group, or return the equal one that is there; see `brama.register_group`."""
        check_name("name", name)
        check_scope(scope)
        if mode not in MODES:
            raise unknown("mode", mode, MODES)
        made = Group(name=name, scope=scope, members=_keys(members, scope), mode=mode)
        with self._lock:
            present = self._groups.setdefault((scope, name), made)
            if present is made:
                self._members.update(made.members)
        if present != made:
            raise ConfigError(
                f"group {name!r}",
                f"what it is ({present.mode} of {list(present.members)})",
                f"{mode} of {list(made.members)}",
                hint="End the present one first: brama.unregister_group().",
            )
        return present

    def unregister(self, name: str, *, scope: str | None = None) -> bool:
        """Forget the group, not its members; False if there is none."""
        with self._lock:
            group = self._groups.pop(_key(name, scope), None)
            if group is None:
                return False
            self._members.subtract(group.members)
            for member in group.members:
                if not self._members[member]:
                    del self._members[member]
        return True

    def find(self, name: str, *, scope: str | None = None) -> Group | None:
        """The group of that name, or None."""
        return self._groups.get(_key(name, scope))

    def get(self, name: str, *, scope: str | None = None) -> Group:
        """The group of that name.

        Raises:
            UnknownGroupError: there is none.
        """
        group = self.find(name, scope=scope)
        if group is None:
            raise UnknownGroupError(name, scope)
        return group

    def holds(self, member: Key) -> bool:
        """Whether the connection of that key is in any group."""
        return member in self._members

    def available(self, name: str, *, scope: str | None = None) -> bool:
        """Whether the group is available; False for an unknown one."""
        group = self.find(name, scope=scope)
        return group is not None and self._available(group)

    def _available(self, group: Group) -> bool:
        admits = map(self._admits, group.members)
        return all(admits) if group.mode == "all" else any(admits)

    def _admits(self, member: Key) -> bool:
        circuit = self._find(member)
        return circuit is not None and circuit.available()

    def status(self, name: str, *, scope: str | None = None) -> GroupStatus:
        """The group and all its members, one after the other and not in one instant."""
        group = self.get(name, scope=scope)
        members: dict[str | Key, Status | None] = {}
        unavailable: list[str | Key] = []
        for key in group.members:
            circuit = self._find(key)
            label = key[1] if key[0] == group.scope else key
            members[label] = None if circuit is None else circuit.status()
            if circuit is None or not circuit.available():
                unavailable.append(label)
        lost = bool(unavailable) if group.mode == "all" else len(unavailable) == len(members)
        return GroupStatus(
            name=group.name,
            scope=group.scope,
            mode=group.mode,
            available=not lost,
            members=members,
            unavailable=tuple(unavailable),
        )

    def failure(self, name: str, reason: Reason, *, scope: str | None = None) -> int:
        """Report one failure to every registered member; how many there were."""
        group = self.get(name, scope=scope)
        found = [circuit for key in group.members if (circuit := self._find(key)) is not None]
        for circuit in found:
            circuit.failure(reason)
        return len(found)

    def __iter__(self) -> Iterator[Group]:
        """The groups at this instant."""
        return iter(list(self._groups.values()))

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


def _key(name: str, scope: str | None) -> Key:
    return check_scope(scope), check_name("name", name)


def _keys(members: Any, scope: str | None) -> tuple[Key, ...]:
    if isinstance(members, str):
        raise ConfigError("members", "a list of connections", members, hint=f"Write [{members!r}].")
    try:
        keys = tuple(dict.fromkeys(_member(member, scope) for member in members))
    except TypeError:
        raise ConfigError("members", "a list of connections", members) from None
    if not keys:
        raise ConfigError("members", "at least one connection", members)
    return keys


def _member(member: Any, scope: str | None) -> Key:
    if isinstance(member, Circuit):
        return member.key
    if isinstance(member, str):
        return scope, check_name("members", member)
    if isinstance(member, tuple) and len(member) == 2:
        return check_scope(member[0]), check_name("members", member[1])
    raise ConfigError("members", "names, (scope, name) pairs or circuits", member)
