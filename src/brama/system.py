"""The composition root: one isolated Brama, with its circuits, actors and subscriptions."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

import trio
from attrs import evolve

from brama.actors import (
    ActorDeadError,
    ActorSystem,
    ChildSpec,
    Health,
    HostError,
    StopReport,
    SystemStoppedError,
    TreeNode,
)
from brama.circuits import (
    CLEANUP_OPTIONS,
    REGISTRY,
    Bells,
    Catalogue,
    Changes,
    Circuit,
    Circuits,
    Cleanup,
    ConnectionKind,
    Group,
    Groups,
    GroupStatus,
    Listing,
    Options,
    Order,
    Overview,
    Policy,
    Publish,
    Reason,
    Shared,
    Sources,
    State,
    Status,
    Survey,
    Tally,
    check_cleanup,
    check_name,
    check_options,
    check_severities,
    merge,
    provide,
    seconds,
    tell_of_cleanup,
)
from brama.notifier import (
    Choosing,
    Event,
    EventStream,
    Journal,
    JournalOptions,
    Registry,
    Replay,
    Store,
    Subscribers,
    Subscribing,
    Subscription,
    Subscriptions,
    SubscriptionStatus,
    Trail,
    alarm,
    finish,
    keep,
)
from brama.telemetry import ConfigError

from .by_name import ByName
from .figures import Figures
from .settings import RuntimeOptions, Settings

__all__ = ["System", "default_system", "replace_default"]

R = TypeVar("R")

logger = logging.getLogger("brama")

AT_EXIT = 1.0
"""Seconds that the journal may wait for its file at the exit of the process, and handlers may take
for what waits for them."""

LAST_PART = 0.5
"""Seconds of a stop's time that are not spent on what waits for handlers, but on ending."""


class System(ByName):
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

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        name: str = "brama",
        journal: JournalOptions | str | Path | None = None,
    ) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigError("settings", "a brama.Settings", settings)
        check_name("name", name)  # before a journal is opened for it
        self.settings = Settings.from_environment() if settings is None else settings
        self._configured: dict[str, Any] = {}
        # Invariant: _configured is read, merged and replaced under it.
        self._configuring = threading.Lock()
        self._refused = False
        self._hosted = False  # in somebody else's loop, by `run`
        self._shared = Shared(clock=self.settings.clock)
        self._shared.severities = self.settings.severities
        self._shared.metadata = self.settings.metadata
        self._catalogue = Catalogue(self._shared, self._defaults)
        self._groups = Groups(self._catalogue.at)
        self._sources = Sources(self._call_soon)
        self._shared.sources = self._sources
        self._catalogue.held = lambda key: self._groups.holds(key) or self._sources.holds(key)
        if self.settings.testing_mode:
            self._catalogue.deactivate()
        self._cleanup = Cleanup(self._catalogue)
        self._cleanup.configure(**self.settings.cleanup)
        self._bells = Bells(self._call_soon)
        self._shared.bell = self._bells.ring
        self._journal: Journal | None = None
        kept = JournalOptions.parse(journal) or self.settings.journal
        if kept is not None:
            self._journal = Journal(kept, self._shared.source, wall=self._shared.wall)
            self._shared.resume(self._journal.open())
            self._shared.ordered = self._journal.ordered
            # Before any that the actors register, and so after them: exits go backwards.
            atexit.register(_finish_at_exit, weakref.ref(self))
        self._subscriptions = Subscriptions(
            self._shared,
            self._call_soon,
            lambda: self.actors.on_loop_thread(),  # noqa: PLW0108 - there is no `actors` yet
            self._journal,
            self._catalogue.snapshots,
            self._alarm,
        )
        self.actors = ActorSystem(
            name,
            children=self._children,
            stop_timeout=self.settings.stop_timeout,
            at_exit=lambda left: self._subscriptions.drain(time.monotonic() + min(left, AT_EXIT)),
        )
        self._tally = Tally(self._catalogue.pieces, self._shared)
        self._tally.show()
        self._survey = Survey(self._catalogue)
        self._figures = Figures(self.actors)
        _remember(self)

    def _defaults(self) -> Mapping[str, Any]:
        return merge(self.settings.options, self._configured)

    def _children(self) -> list[ChildSpec]:
        # Producers last: the tree stops from the bottom, so that what is under way drains
        # downwards.
        journal = self._journal
        store = (
            []
            if journal is None
            else [ChildSpec("store", Store, (journal, self._alarm), name="store")]
        )
        return [
            *store,
            ChildSpec("subscribers", Subscribers, (self._subscriptions,)),
            ChildSpec(
                "registry",
                Registry,
                (self._subscriptions.index, self._bells, journal),
                name=REGISTRY,
            ),
            ChildSpec("circuits", Circuits, (self._bells, self._cleanup, self._sources)),
        ]

    def _call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the loop; begin to start that if need be. Never waits, never raises."""
        if self.actors.call_soon(function, *args):
            return
        # What is lost because the loop is not up yet is found in the tables when it is.
        try:
            self.actors.start_soon()
        except SystemStoppedError:
            pass  # circuits protect all the same
        except HostError:
            if not self._refused:
                self._refused = True
                logger.exception(
                    "events of %r reach nobody; its circuits protect all the same", self
                )

    def _alarm(self, fields: dict[str, Any]) -> None:
        """Publish that a part of ours fails, or works again; at most once."""
        registry = self.actors.names.whereis(REGISTRY)
        if registry is not None:
            try:
                registry.tell(Publish([alarm(self._shared, fields)], _nobody_waits))
            except ActorDeadError:
                pass

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
    ) -> Listing:
        """A page of the circuits; see `brama.listing`."""
        return self._survey.listing(
            state=state, query=query, scope=scope, limit=limit, cursor=cursor
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

    def find(self, name: str, *, scope: str | None = None) -> Circuit | None:
        """The circuit of that name, or None; it is not made."""
        return self._catalogue.find(name, scope=scope)

    def get(self, name: str, *, scope: str | None = None) -> Circuit:
        """The circuit of that name; it is not made.

        Raises:
            UnknownConnectionError: there is none.
        """
        return self._catalogue.get(name, scope=scope)

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
        checked = check_options(
            {k: v for k, v in options.items() if k not in (*CLEANUP_OPTIONS, "severity")}
        )
        with self._configuring:
            Policy(**merge(self._defaults(), checked))
            self._ordered("configure", options={**checked, **cleanup})
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

    def _ordered(
        self,
        order: str,
        name: str | None = None,
        scope: str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._shared.ordered(
            Order(order=order, connection=name, scope=scope, options=options or {})
        )

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
        self._ordered("register_group", name, scope, options={"members": named, "mode": mode})
        return made

    def unregister_group(self, name: str, *, scope: str | None = None) -> bool:
        """Forget a group, not its members; False if there is none."""
        removed = self._groups.unregister(name, scope=scope)
        if removed:
            self._ordered("unregister_group", name, scope)
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
        if not self.actors.running:
            self.actors.start_soon()
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
        if not self.actors.running:
            self.actors.start_soon()
        stream = self._subscriptions.stream(**options)
        self._unless_stopped(stream.subscription)
        return stream

    def _unless_stopped(self, made: Subscription) -> Subscription:
        """`made`, unless a `stop` has come in between, which may not have seen it."""
        if not self.actors.running:
            try:
                self.actors.start_soon()  # refuses, if it was stopped
            except SystemStoppedError:
                made.end("its system was stopped")
                raise
        return made

    # The journal

    @property
    def journal(self) -> Journal | None:
        """The store of events, if the settings name one."""
        return self._journal

    def replay(
        self,
        *,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
        events: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        kind: ConnectionKind | str | None = None,
        timeout: float | timedelta = 5.0,
    ) -> Replay:
        """The events in the journal, oldest first; see `brama.replay`.

        Raises:
            ConfigError: there is no journal, or a wrong argument.
        """
        journal = self._kept("events are to be replayed")
        made = Replay(
            journal.options.path,
            since=since,
            until=until,
            events=events,
            connection=connection,
            scope=scope,
            kind=kind,
        )
        if journal.failing is None:  # else it could be long until it works again
            self.flush(timeout)
        return made

    def trail(
        self,
        *,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
        entries: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        subject: str | None = None,
        by: str | None = None,
        event: Event | str | None = None,
        timeout: float | timedelta = 5.0,
    ) -> Trail:
        """The audit trail in the journal, oldest first; see `brama.trail`.

        Raises:
            ConfigError: there is no journal, or a wrong argument.
        """
        journal = self._kept("its trail is to be read")
        made = Trail(
            journal.options.path,
            since=since,
            until=until,
            entries=entries,
            connection=connection,
            scope=scope,
            subject=subject,
            by=by,
            event=event,
        )
        if journal.failing is None:
            self.flush(timeout)
        return made

    def _kept(self, where: str) -> Journal:
        """The journal. Raises `ConfigError` if there is none."""
        if self._journal is None:
            raise ConfigError(
                "journal",
                f"set where {where}",
                None,
                hint='Make one: brama.Settings(journal="sqlite:///path"), or set BRAMA_JOURNAL.',
            )
        return self._journal

    def flush(self, timeout: float | timedelta = 5.0) -> bool:
        """Wait until all that has happened so far is in the journal.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it is; at once and True without a journal.

        Threads: any. On a loop of yours it blocks, so call it in a thread. On Brama's own loop,
            which would wait for itself, and after `stop`, when nobody writes, it only looks.
        """
        deadline = time.monotonic() + seconds("timeout", timeout, zero=True)
        journal = self._journal
        if journal is None:
            return True
        if self.actors.stopped or self.actors.on_loop_thread():
            deadline = 0.0
        tick = threading.Event()
        while not self._bells.published():
            if time.monotonic() >= deadline:
                return False
            tick.wait(0.001)
        return journal.wait(max(0.0, deadline - time.monotonic()))

    def _finish_journal(self, timeout: float) -> None:
        """The actors have ended: what they have not published is kept for the next time."""
        if self._journal is not None:
            keep(self._bells.unpublished(), self._subscriptions.index, self._journal)
            finish(self._journal, timeout)

    # Around a fork: see the functions below.

    def _before_fork(self) -> None:
        if self._journal is not None:
            self._journal.before_fork()
        self._catalogue.before_fork()

    def _after_fork_in_parent(self) -> None:
        self._catalogue.after_fork_in_parent()
        if self._journal is not None:
            self._journal.after_fork_in_parent()

    def _after_fork_in_child(self) -> None:
        self._configuring = threading.Lock()  # whoever held it is not there to release it
        self._bells.forget_all()
        self._subscriptions.after_fork()
        self._groups.after_fork()
        self._sources.after_fork()
        self._catalogue.after_fork_in_child()
        self._tally.after_fork()
        self._survey.after_fork()
        if self._journal is not None:
            self._journal.after_fork_in_child(self._shared.source)

    # Life

    def start(self) -> None:
        """Start the thread and wait until the tree stands. Idempotent, and seldom needed."""
        self.actors.start()

    def stop(self, timeout: float | timedelta | None = None) -> StopReport:
        """Stop the tree and end the subscriptions.

        Args:
            timeout: seconds that an orderly stop may take, 0 for none; None is the setting
                `stop_timeout`. What is left then is killed, for which it may take up to two more.

        Returns:
            What could not be stopped, by name: a handler that still runs on its thread, too.
        """
        limit = (
            self.settings.stop_timeout
            if timeout is None
            else seconds("timeout", timeout, zero=True)
        )
        began = time.monotonic()
        deadline = began + limit
        report = self.actors.stop(limit)
        if self.actors.on_loop_thread():
            # What is under way still drains: the rest is done behind it, here or by `run`.
            if not self._hosted:
                threading.Thread(
                    target=self.stop, args=(limit,), name="brama stop", daemon=True
                ).start()
            return report
        self._subscriptions.drain(deadline - min(LAST_PART, limit / 5))
        handlers = self._subscriptions.present()
        self._subscriptions.close_all("its system was stopped")
        self._finish_journal(max(0.1, deadline - time.monotonic()))
        running = tuple(
            f"handler {handler.name}"
            for handler in handlers
            if not handler.close(wait=max(0.0, deadline - time.monotonic())) or handler.left_behind
        )
        return evolve(
            report,
            complete=report.complete and not running,
            unstoppable=(*report.unstoppable, *running),
            elapsed=time.monotonic() - began,
        )

    async def astop(self, timeout: float | timedelta | None = None) -> StopReport:
        """`stop`, awaited on asyncio or trio."""
        if self.actors.on_loop_thread():
            return self.stop(timeout)
        return await _in_thread(partial(self.stop, timeout))

    async def run(self, *, task_status: trio.TaskStatus[System] = trio.TASK_STATUS_IGNORED) -> None:
        """Run in the calling trio loop instead of a thread, until `stop` or cancellation.

        Under trio's ``MockClock`` the circuits follow its time, too.

        Example:
            >>> async with trio.open_nursery() as nursery:
            ...     await nursery.start(system.run)
            ...     ...
            ...     system.stop()
        """
        # Without a trio run the actors say what to do instead.
        clock = trio.lowlevel.current_clock() if trio.lowlevel.in_trio_run() else None
        former = self._shared.clock
        # Whoever uses a mock clock has imported it; we do not, for it imports pytest in turn.
        testing = sys.modules.get("trio.testing")
        if testing is not None and isinstance(clock, testing.MockClock):
            self._shared.clock = clock.current_time
        started = _Started(self, task_status)
        self._hosted = True
        try:
            await self.actors.run(task_status=started)
        finally:
            self._hosted = False
            self._shared.clock = former
            if started.done:  # else it runs elsewhere, or has not begun: nothing has ended
                if self._subscriptions.at_work:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(
                            self._subscriptions.drain, time.monotonic() + AT_EXIT
                        )
                if self._journal is not None:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(
                            self._finish_journal, self.settings.stop_timeout
                        )
                self._subscriptions.close_all("its system was stopped")

    def tree(self) -> TreeNode:
        """The supervision tree at this instant: ``print(system.tree())`` draws it."""
        return self.actors.tree()

    def health(self) -> Health:
        """Whether all is well, and what is not: tree, loop, quarantined handlers, journal."""
        health = self.actors.health()
        names = self._subscriptions.quarantined()
        found = [f"quarantined: handler {name}" for name in names]
        if self._journal is not None:
            found += self._journal.reasons()
        if not found or health.status == "stopped":
            return health
        return evolve(health, status="degraded", reasons=(*health.reasons, *found))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        if not self.actors.running:
            await _in_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.astop()

    def __repr__(self) -> str:
        return f"<System {self.actors.name!r}, {len(self._catalogue)} circuits>"


class _Started(trio.TaskStatus[ActorSystem]):
    """Tells whoever started `System.run` that the tree is up."""

    def __init__(self, system: System, status: trio.TaskStatus[Any]) -> None:
        self.done = False
        self._system = system
        self._status = status

    def started(self, value: object = None) -> None:
        self.done = True
        self._status.started(self._system)


def _finish_at_exit(found: weakref.ref[System]) -> None:
    system = found()
    if system is not None:
        system._finish_journal(AT_EXIT)


def _nobody_waits() -> None:
    """Of the publication of an alarm."""


async def _in_thread(function: Callable[[], R]) -> R:
    if trio.lowlevel.in_trio_run():
        return await trio.to_thread.run_sync(function)
    return await asyncio.to_thread(function)


_systems: weakref.WeakSet[System] = weakref.WeakSet()
_watches_forks = False
_forking: list[System] = []  # the systems whose locks the fork under way holds


def _remember(system: System) -> None:
    """Hold the locks of `system` around every fork.

    The handlers are registered with the first system, so that the import leaves no trace in the
    process.
    """
    global _watches_forks
    _systems.add(system)
    if not _watches_forks and hasattr(os, "register_at_fork"):
        _watches_forks = True
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )


def _before_fork() -> None:
    _forking.extend(_systems)
    for system in _forking:
        system._before_fork()


def _after_fork_in_parent() -> None:
    for system in _forking:
        system._after_fork_in_parent()
    _forking.clear()


def _after_fork_in_child() -> None:
    global _default_lock
    _default_lock = threading.Lock()
    for system in _forking:
        system._after_fork_in_child()
    _forking.clear()


_default: System | None = None
_default_lock = threading.Lock()


def default_system() -> System:
    """The system that the functions of `brama` act on; made at the first use.

    Raises:
        ConfigError: a ``BRAMA_*`` variable is wrong.
    """
    global _default
    system = _default
    if system is None:
        with _default_lock:
            system = _default = _default or System()
    return system


provide(default_system)  # to those below who are not told which system is meant


def replace_default(system: System | None) -> System | None:
    """Make `system` the default one, for a test; returns the former, to be put back."""
    global _default
    with _default_lock:
        former, _default = _default, system
    return former
