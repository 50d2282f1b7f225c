"""What a system offers: its circuits, groups and events, and by its bases all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import EllipsisType
from typing import Any, Literal, Unpack, overload

from brama.actors import HostError, SystemStoppedError
from brama.circuits import (
    CLEANUP_OPTIONS,
    OPTIONS,
    Changes,
    Circuit,
    ConnectionKind,
    Group,
    GroupStatus,
    Listing,
    Options,
    Order,
    Overview,
    Policy,
    Reason,
    State,
    Status,
    check_cleanup,
    check_options,
    check_severities,
    merge,
    tell_of_cleanup,
)
from brama.notifier import (
    Choosing,
    EventStream,
    Subscribing,
    Subscription,
    SubscriptionStatus,
)
from brama.telemetry import ConfigError, takes_only

from .by_name import ByName
from .life import Life
from .recorded import Recorded
from .settings import DEFAULTS, RuntimeOptions

__all__ = ["System"]


_WORDS = dict.fromkeys(
    [*OPTIONS, *DEFAULTS, "severity", "when_down", "clock", "environ"],
    "Settings has it: brama.System(brama.Settings(...)).",
)


@takes_only("an option of a system", _WORDS)
class System(ByName, Recorded, Life):
    """An isolated Brama: its own circuits, subscriptions, supervision tree and thread.

    Most programs need only the default one, which `brama.circuit` and its like use. Making a system
    starts nothing; its thread starts with the first thing that needs it (a subscription, or a
    circuit that changes state). Circuits protect all the same while it is down.

    Example:
        >>> with brama.System() as system:
        ...     search = system.circuit("search", failure_threshold=2)
        ...     search.available()
        True

    Args:
        settings: `Settings`; None reads the ``BRAMA_*`` environment.
        name: of the tree's root and of the thread.
        journal: as in `Settings`, whose journal it replaces.

    Threads: everything from any thread or loop, unless it says otherwise.
    """

    # Circuits

    def circuit(
        self,
        name: str,
        *,
        scope: str | None = None,
        policy: Policy | None = None,
        kind: ConnectionKind | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        pinned: bool = False,
        **options: Unpack[Options],
    ) -> Circuit:
        """The circuit of that name, made and registered if there is none; see `brama.circuit`."""
        return self._catalogue.circuit(
            name, scope=scope, policy=policy, kind=kind, metadata=metadata, pinned=pinned, **options
        )

    register = circuit

    def cleanup(self) -> int:
        """Remove idle circuits now, without waiting for the next sweep; how many were removed.

        What is removed: circuits that are closed, in no group and not `pinned`, have no call under
        way, and saw none for `inactive_threshold` seconds. A function that such a circuit guards
        registers it again on its next call.
        """
        removed = self._cleanup.run()
        if removed:
            tell_of_cleanup(self._cleanup.record(removed), self.actors.names)
        return removed

    @property
    def unknown_kinds(self) -> Mapping[str, int]:
        """The kinds that circuits were given and that there are not: how often each."""
        return self._catalogue.unknown_kinds.counts.copy()

    def circuits(self) -> tuple[Circuit, ...]:
        """All registered circuits at this instant."""
        return tuple(self._catalogue)

    def connections(
        self,
        *,
        scope: str | EllipsisType | None = ...,
        state: State | str | None = None,
        kind: ConnectionKind | str | None = None,
    ) -> tuple[Circuit, ...]:
        """The registered circuits, by scope, state and kind; see `brama.connections`."""
        return self._catalogue.select(scope=scope, state=state, kind=kind)

    def overview(
        self, *, worst: int = 5, recent: int = 20, within: float | timedelta = 60.0
    ) -> Overview:
        """All circuits at a glance; see `brama.overview`."""
        return self._survey.overview(worst=worst, recent=recent, within=within)

    def listing(
        self,
        *,
        state: State | str | None = None,
        query: str | None = None,
        scope: str | EllipsisType | None = ...,
        limit: int = 200,
        cursor: str | None = None,
        order: Literal["name", "error_rate"] = "name",
    ) -> Listing:
        """A page of the circuits; see `brama.listing`."""
        return self._survey.listing(
            state=state, query=query, scope=scope, limit=limit, cursor=cursor, order=order
        )

    def changes(self, since: int | None = None, *, limit: int = 200) -> Changes:
        """What has changed since a version; see `brama.changes`."""
        return self._survey.changes(since, limit=limit)

    @overload
    def by_scope(self) -> dict[str | None, dict[str, Status]]: ...
    @overload
    def by_scope(self, scope: str | None) -> dict[str, Status]: ...
    def by_scope(
        self, scope: str | EllipsisType | None = ...
    ) -> dict[str, Status] | dict[str | None, dict[str, Status]]:
        """The status of every circuit of a scope, or of all by scope; see `brama.by_scope`."""
        if scope is not ...:
            return {one.name: one.status() for one in self._catalogue.select(scope=scope)}
        found: dict[str | None, dict[str, Status]] = {}
        for circuit in self._catalogue:
            found.setdefault(circuit.scope, {})[circuit.name] = circuit.status()
        return found

    def unregister(self, name: str, *, scope: str | None = None, strict: bool = False) -> bool:
        """Remove a circuit; False if there is none; see `brama.unregister`."""
        return self._catalogue.unregister(name, scope=scope, strict=strict)

    def configure(
        self,
        name: str | None = None,
        *,
        scope: str | None = None,
        **options: Unpack[RuntimeOptions],
    ) -> None:
        """Change options at run time, and only those that are given; see `brama.configure`."""
        if name is not None:
            if "severity" in options:
                raise ConfigError(
                    "severity",
                    "given without a name, as it holds for the whole system",
                    name,
                    hint="A rule may name a connection: SeverityRule(..., connection=name).",
                )
            self._catalogue.configure(name, scope=scope, **options)
            return
        if scope is not None:
            raise ConfigError("scope", "given together with a name", scope)
        cleanup = check_cleanup({k: v for k, v in options.items() if k in CLEANUP_OPTIONS})
        severities = check_severities(options.get("severity"))
        besides = (*CLEANUP_OPTIONS, "severity")
        checked = check_options(
            {k: v for k, v in options.items() if k not in besides},
            what="an option of configure()",
            besides=besides,
        )
        with self._configuring:
            Policy(**merge(self._defaults(), checked))
            self._shared.ordered(Order(order="configure", options={**checked, **cleanup}))
            self._cleanup.configure(**cleanup)
            self._configured = merge(self._configured, checked)
            if "severity" in options:
                self._shared.severities = severities
            self._catalogue.forget_defaults()

    def deactivate(self) -> None:
        """Let every call through every circuit and count nothing, until `activate`; for tests.

        Each wants one `activate`. See `brama.circuits.testing.deactivated`.
        """
        self._catalogue.deactivate()

    def activate(self) -> None:
        """Take one `deactivate` back."""
        self._catalogue.activate()

    # Groups

    def register_group(
        self,
        name: str,
        members: Iterable[str | tuple[str | None, str] | Circuit],
        *,
        scope: str | None = None,
        mode: str = "all",
    ) -> Group:
        """Name some connections as a group; see `brama.register_group`."""
        made = self._groups.register(name, members, scope=scope, mode=mode)
        named = ["/".join(filter(None, member)) for member in made.members]
        options = {"members": named, "mode": mode}
        order = Order(order="register_group", connection=name, scope=scope, options=options)
        self._shared.ordered(order)
        return made

    def unregister_group(self, name: str, *, scope: str | None = None) -> bool:
        """Forget a group, not its members; False if there is none."""
        removed = self._groups.unregister(name, scope=scope)
        if removed:
            self._shared.ordered(Order(order="unregister_group", connection=name, scope=scope))
        return removed

    def groups(self) -> tuple[Group, ...]:
        """All groups at this instant."""
        return tuple(self._groups)

    def group_available(self, name: str, *, scope: str | None = None) -> bool:
        """Whether a group is available; see `brama.group_available`."""
        return self._groups.available(name, scope=scope)

    def group_status(self, name: str, *, scope: str | None = None) -> GroupStatus:
        """The status of all members of a group; see `brama.group_status`."""
        return self._groups.status(name, scope=scope)

    def group_failure(self, name: str, *, scope: str | None = None, reason: Reason = None) -> int:
        """Report a failure to all members of a group; see `brama.group_failure`."""
        return self._groups.failure(name, reason, scope=scope)

    def dump(self) -> dict[str, Any]:
        """The state of all circuits as plain values for JSON; see `Circuit.dump`."""
        return {"version": 1, "circuits": [circuit.dump() for circuit in self.circuits()]}

    def load(self, stored: Mapping[str, Any]) -> int:
        """Restore the circuits that are registered from what `dump` gave; see `Circuit.load`.

        Returns:
            How many were restored. Those that are not registered (yet) are left out: load after
            the circuits are made.

        Raises:
            ConfigError: `stored` is not what `dump` gives.
        """
        entries: Any = stored.get("circuits")
        if not isinstance(entries, list):
            raise ConfigError("stored", "what dump() gave", stored)
        restored = 0
        for entry in entries:
            if not isinstance(entry, Mapping):
                raise ConfigError("stored['circuits']", "what dump() gave", entry)
            circuit = self.find(str(entry.get("connection")), scope=entry.get("scope"))
            if circuit is not None:
                circuit.load(entry)
                restored += 1
        return restored

    # Events

    def subscribe(self, handler: Any = None, **options: Unpack[Subscribing]) -> Subscription:
        """Have `handler` called with every event that matches; see `brama.subscribe`.

        Raises:
            ConfigError: a wrong argument.
            SystemStoppedError: the system was stopped.
            HostError: this process cannot host trio.
        """
        self._refuse_if_stopped()
        return self._unless_stopped(self._subscriptions.subscribe(handler, **options))

    def unsubscribe(self, what: Any = None, **options: Unpack[Choosing]) -> int:
        """End a subscription, a handler's, or the caller's that fit; see `brama.unsubscribe`."""
        return self._subscriptions.unsubscribe(what, **options)

    def subscriptions(self) -> tuple[SubscriptionStatus, ...]:
        """All subscriptions that have not ended, each as a frozen snapshot."""
        return self._subscriptions.all()

    def events(self, **options: Unpack[Choosing]) -> EventStream:
        """The events that match, to iterate over; see `brama.events`.

        Raises:
            ConfigError: a wrong argument.
            SystemStoppedError: the system was stopped.
            HostError: this process cannot host trio.
        """
        self._refuse_if_stopped()
        stream = self._subscriptions.stream(**options)
        self._unless_stopped(stream.subscription)
        return stream

    def _refuse_if_stopped(self) -> None:
        if self.actors.stopped:
            self.actors.start_soon()  # says so

    def _unless_stopped(self, made: Subscription) -> Subscription:
        """`made`, unless a `stop` has come in between, which may not have seen it.

        It begins the start, and not before `made` is there to hear what goes wrong in that.
        """
        if not self.actors.running:
            try:
                self.actors.start_soon()
            except (SystemStoppedError, HostError) as error:
                made.end("its system was stopped" if self.actors.stopped else str(error))
                raise
        return made

    def __repr__(self) -> str:
        return f"<System {self.actors.name!r}, {len(self._catalogue)} circuits>"
