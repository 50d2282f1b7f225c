"""Brama's own words: the functions of `brama`, which act on the default system.

Where the Elixir library returns ``{:error, :not_found}``, these raise `UnknownConnectionError`;
questions (`available`) and `unregister` answer False instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any, Literal, Unpack, overload

from brama.circuits import (
    Changes,
    Circuit,
    ConnectionKind,
    Group,
    GroupStatus,
    Isolation,
    Listing,
    Options,
    Overview,
    Policy,
    Reason,
    State,
    Status,
    Why,
)
from brama.notifier import (
    Choosing,
    Event,
    EventStream,
    Replay,
    Subscribing,
    Subscription,
    SubscriptionStatus,
    Trail,
)

from .default import default_system
from .settings import RuntimeOptions

__all__ = [
    "available",
    "by_scope",
    "changes",
    "circuit",
    "close_circuit",
    "configure",
    "connections",
    "disable",
    "disable_expiry",
    "events",
    "failure",
    "force_open",
    "group_available",
    "group_failure",
    "group_status",
    "groups",
    "isolate",
    "listing",
    "metrics_only",
    "open_circuit",
    "overview",
    "register",
    "register_group",
    "replay",
    "reset_circuit",
    "reset_expiry",
    "set_expiry",
    "status",
    "subscribe",
    "subscriptions",
    "success",
    "trail",
    "unregister",
    "unregister_group",
    "unsubscribe",
    "why",
]


def circuit(
    name: str,
    *,
    scope: str | None = None,
    policy: Policy | None = None,
    kind: ConnectionKind | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    pinned: bool = False,
    **options: Unpack[Options],
) -> Circuit:
    """The circuit of that name; it is made and registered if there is none.

    Example:
        >>> payments = brama.circuit("payment_api", scope="payments", expiry=30.0)
        >>> brama.circuit("payment_api", scope="payments") is payments
        True

    Args:
        name: of the connection, 1 to 255 printable characters.
        scope: equal names in different scopes are different connections.
        policy: all the rules at once, a `Policy`; or
        options: single ones, see `Policy`. What is not given follows `configure`, then the
            environment (``BRAMA_EXPIRY``, …), then the defaults.
        kind: what kind of connection it is: ``"session"``, ``"device"``, ``"service"``,
            ``"database"`` or ``"other"`` (the default), see `ConnectionKind`. Events carry it, and
            are filtered by it. One that is unknown is taken for ``"other"`` and counted
            (`System.unknown_kinds`).
        metadata: what `Circuit.status` and the data of its events should carry along.
        pinned: never removed for being idle.

    Raises:
        ConfigError: a wrong name, kind or option, or one (or metadata) that contradicts those of
            the circuit that is there.

    Threads: any; so for all functions here.
    """
    return default_system().circuit(
        name, scope=scope, policy=policy, kind=kind, metadata=metadata, pinned=pinned, **options
    )


register = circuit


def unregister(name: str, *, scope: str | None = None, strict: bool = False) -> bool:
    """Remove a circuit; False if there is none.

    Calls that are under way end as late results. A function that the circuit guards registers it
    again on its next call.

    Raises:
        UnknownConnectionError: `strict`, and no such circuit is registered.
    """
    return default_system().unregister(name, scope=scope, strict=strict)


def available(name: str, *, scope: str | None = None) -> bool:
    """Whether a call would be admitted now; False if no such circuit is registered."""
    return default_system().available(name, scope=scope)


def success(name: str, *, scope: str | None = None) -> None:
    """Report a success that was seen elsewhere; see `Circuit.success`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().success(name, scope=scope)


def failure(
    name: str,
    *,
    scope: str | None = None,
    reason: Reason = None,
    error_type: str | None = None,
    error_code: str | int | None = None,
) -> None:
    """Report a failure that was seen elsewhere; see `Circuit.failure`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().failure(
        name, scope=scope, reason=reason, error_type=error_type, error_code=error_code
    )


def status(name: str, *, scope: str | None = None) -> Status:
    """A frozen snapshot of a circuit.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    return default_system().status(name, scope=scope)


def connections(
    *,
    scope: str | EllipsisType | None = ...,
    state: State | str | None = None,
    kind: ConnectionKind | str | None = None,
) -> tuple[Circuit, ...]:
    """The circuits that are registered at this instant.

    Example:
        >>> [circuit.name for circuit in brama.connections(scope="payments", state="open")]
        []

    Args:
        scope: only those of that scope; None: only those without one.
        state: only those in that `State`, which may be given as its word.
        kind: only those of that `ConnectionKind`, likewise.

    Raises:
        ConfigError: a wrong scope or an unknown state.
    """
    return default_system().connections(scope=scope, state=state, kind=kind)


def overview(*, worst: int = 5, recent: int = 20, within: float | timedelta = 60.0) -> Overview:
    """All circuits at a glance: how many are in which state, the worst, and what has happened.

    Example:
        >>> brama.overview().states["open"]
        0

    Args:
        worst: how many of those that fail: they are not closed, or have failed of late. Highest
            error rate first, of equal ones that with more calls.
        recent: how many of the last transitions, newest first.
        within: seconds; what "of late" is.

    A hundred thousand circuits take some 30 ms, in which other threads get their turns; the sums of
    their calls are added up over several looks. From an event loop call it in a thread.
    """
    return default_system().overview(worst=worst, recent=recent, within=within)


def listing(
    *,
    state: State | str | None = None,
    query: str | None = None,
    scope: str | EllipsisType | None = ...,
    limit: int = 200,
    cursor: str | None = None,
    order: Literal["name", "error_rate"] = "name",
) -> Listing:
    """A page of the circuits, in short.

    Example:
        >>> page = brama.listing(state="open", query="payment*")
        >>> page.matching, page.cursor
        (0, None)

    Args:
        state: only those in that `State`, which may be given as its word.
        query: only those whose name contains this, in whatever case; with ``*``, ``?`` or ``[`` a
            pattern for the whole name.
        scope: only those of that scope; None: only those without one.
        limit: circuits on the page, at most 200.
        cursor: that of the page before this one.
        order: ``"name"``, and of equal names by scope; or ``"error_rate"``, the highest first and
            of equal ones those with more calls, which is one page, without those that are closed
            and have never failed. Of more than a thousand such, those with the longest rows of
            failures are compared.

    Raises:
        ConfigError: one of them is wrong.
    """
    return default_system().listing(
        state=state, query=query, scope=scope, limit=limit, cursor=cursor, order=order
    )


def changes(since: int | None = None, *, limit: int = 200) -> Changes:
    """The circuits that have changed their state or its end, or have come or gone, since a version.

    Example:
        >>> seen = brama.overview().version
        >>> brama.circuit("newcomer").open_circuit()
        >>> news = brama.changes(since=seen)
        >>> [(one.connection, one.state.value) for one in news.circuits], news.complete
        ([('newcomer', 'open')], True)

    To be asked again and again, with the version of the last answer; once a second is plenty. Each
    circuit comes once, however often it has changed, as it is now.

    Args:
        since: the version of an overview, a listing or the last changes. None, or one that is too
            old (4 096 changes are remembered) or of another process: the answer is not `complete`,
            and the circuits are to be listed anew.
        limit: circuits at once; `more` says that there are others.
    """
    return default_system().changes(since, limit=limit)


@overload
def by_scope() -> dict[str | None, dict[str, Status]]: ...
@overload
def by_scope(scope: str | None) -> dict[str, Status]: ...
def by_scope(
    scope: str | EllipsisType | None = ...,
) -> dict[str, Status] | dict[str | None, dict[str, Status]]:
    """The status of every circuit of a scope by its name, or without an argument of all scopes.

    Example:
        >>> {name: status.state for name, status in brama.by_scope("payments").items()}
        {}

    Args:
        scope: the scope; None asks for the circuits without one.
    """
    return default_system().by_scope() if scope is ... else default_system().by_scope(scope)


def register_group(
    name: str,
    members: Iterable[str | tuple[str | None, str] | Circuit],
    *,
    scope: str | None = None,
    mode: str = "all",
) -> Group:
    """Name some connections as a group: those that one operation needs, or that do the same.

    Example:
        >>> brama.register_group("checkout", ["payment_api", ("shop", "stock")]).mode
        'all'
        >>> brama.register_group("mirrors", ["mirror_1", "mirror_2"], mode="any").name
        'mirrors'

    A member that is not registered counts as unavailable. Members are not removed for being idle.

    Args:
        name: of the group, 1 to 255 printable characters.
        members: names (in the scope of the group), (scope, name) pairs, or circuits.
        scope: equal names in different scopes are different groups.
        mode: ``"all"``: the group is available while all members are; ``"any"``: while at least
            one is.

    Raises:
        ConfigError: a wrong argument, or another group of that name is there.
    """
    return default_system().register_group(name, members, scope=scope, mode=mode)


def unregister_group(name: str, *, scope: str | None = None) -> bool:
    """Forget a group, not its members; False if there is none."""
    return default_system().unregister_group(name, scope=scope)


def groups() -> tuple[Group, ...]:
    """All groups at this instant."""
    return default_system().groups()


def group_available(name: str, *, scope: str | None = None) -> bool:
    """Whether a group is available, as its mode says; False if no such group is registered."""
    return default_system().group_available(name, scope=scope)


def group_status(name: str, *, scope: str | None = None) -> GroupStatus:
    """The status of all members of a group: a frozen mapping from member to `Status`.

    Raises:
        UnknownGroupError: no such group is registered.
    """
    return default_system().group_status(name, scope=scope)


def group_failure(name: str, *, scope: str | None = None, reason: Reason = None) -> int:
    """Report a failure to every registered member of a group: what they have in common is down.

    Each counts it as one failure, as if reported by `failure`; whether it opens is its own policy's
    matter.

    Returns:
        How many members have counted it.

    Raises:
        UnknownGroupError: no such group is registered.
    """
    return default_system().group_failure(name, scope=scope, reason=reason)


def open_circuit(
    name: str,
    *,
    scope: str | None = None,
    reason: Reason = "manually opened",
    expires_in: float | timedelta | None = None,
) -> None:
    """Open a circuit now; see `Circuit.open_circuit`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().open_circuit(name, scope=scope, reason=reason, expires_in=expires_in)


def close_circuit(
    name: str, *, scope: str | None = None, reason: Reason = "manually closed"
) -> None:
    """Close a circuit now and forget its failures.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().close_circuit(name, scope=scope, reason=reason)


def reset_circuit(
    name: str, *, scope: str | None = None, reason: Reason = "manually reset"
) -> None:
    """Close a circuit now and forget all that led here.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().reset_circuit(name, scope=scope, reason=reason)


def force_open(name: str, *, scope: str | None = None, reason: Reason = "forced open") -> None:
    """Refuse every call until another order; no clock and no probe ends it.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().force_open(name, scope=scope, reason=reason)


def disable(name: str, *, scope: str | None = None, reason: Reason = "disabled") -> None:
    """Let every call pass, counted and not judged, until another order.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().disable(name, scope=scope, reason=reason)


def metrics_only(name: str, *, scope: str | None = None, reason: Reason = "metrics only") -> None:
    """Let every call pass and judge it, but never open; see `Circuit.metrics_only`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().metrics_only(name, scope=scope, reason=reason)


def isolate(name: str, *, scope: str | None = None, reason: Reason = "isolated") -> Isolation:
    """Refuse every call until this handle and those of all others are released.

    Example:
        >>> with brama.isolate("payment_api", scope="payments", reason="deploy"):
        ...     brama.available("payment_api", scope="payments")
        False

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    return default_system().isolate(name, scope=scope, reason=reason)


def set_expiry(name: str, expiry: float | timedelta, *, scope: str | None = None) -> None:
    """Stay open for `expiry` seconds in the policy's place; see `Circuit.set_expiry`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().set_expiry(name, expiry, scope=scope)


def reset_expiry(name: str, *, scope: str | None = None) -> None:
    """Go by the policy's expiry again; that of an open circuit is over now.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().reset_expiry(name, scope=scope)


def disable_expiry(name: str, *, scope: str | None = None) -> None:
    """Stay open until somebody closes the circuit; see `Circuit.disable_expiry`.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    default_system().disable_expiry(name, scope=scope)


def why(name: str, *, scope: str | None = None) -> Why:
    """The evidence behind the present state of a circuit; its text is for people.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    return default_system().why(name, scope=scope)


def configure(
    name: str | None = None, *, scope: str | None = None, **options: Unpack[RuntimeOptions]
) -> None:
    """Change options at run time, and only those that are given.

    Example:
        >>> brama.configure(expiry=30.0)                       # circuits made from now on
        >>> brama.configure("payment_api", scope="payments", expiry=5.0)    # one that is there

    Args:
        name, scope: the circuit; without a name, the defaults of circuits that are made later.
        options: see `Policy`; without a name also ``cleanup_interval``, ``inactive_threshold`` and
            ``severity``, a list of `SeverityRule` that replaces the one before: it holds for what
            happens from now on.

    Raises:
        UnknownConnectionError: no such circuit is registered.
        ConfigError: a wrong option.
    """
    default_system().configure(name, scope=scope, **options)


def subscribe(handler: Any = None, **options: Unpack[Subscribing]) -> Subscription:
    """Have `handler` called with every event that matches all that is given.

    Every transition that begins after this has returned is seen; the events of one connection come
    in order. The same handler with the same options is the same subscription.

    Args:
        handler: a function of one event (on a worker thread), an ``async def`` (on the loop it was
            subscribed from, or Brama's own), `brama.notifier.inline` of a function that never
            blocks, a `brama.notifier.HandlerActor` class, the ref of an actor (it receives the
            event itself), a trio send channel, an asyncio queue or one of `queue`. Without one,
            the actor that calls this.
        options: those of `brama.notifier.Options`: what to match (``events``, ``connection``,
            ``scope``, ``kind``, ``filter``), how much may wait (``backlog``, ``overflow``), how to
            begin (``snapshot``, ``durable``), how often to try (``max_redeliveries``), and how many
            at a time (``batch``, ``batch_age``).

    Returns:
        The subscription; ``close()`` ends it, as does leaving it as a context manager.

    Raises:
        ConfigError: an unknown event or option, a wrong name, or a handler that is none.
        SystemStoppedError: the system was stopped.
    """
    return default_system().subscribe(handler, **options)


def unsubscribe(what: Any = None, **options: Unpack[Choosing]) -> int:
    """End subscriptions: one, those of a handler, or of the caller's those of a filter, or all.

    Example:
        >>> brama.unsubscribe(subscription)
        >>> brama.unsubscribe(page)                        # the handler, with whatever filters
        >>> brama.unsubscribe(connection="payment_api")    # those that asked for just that
        >>> brama.unsubscribe()                            # all

    Args:
        what: what `subscribe` returned, or the handler that it was given: these end, whoever has
            subscribed them, also from another thread or task, and in the handler itself. None is
            any of the caller's own.
        options: only those that were given just these options.

    Returns:
        How many have ended. Without a handler never another owner's; the owner is the actor, the
        handler, the task or else the thread that has subscribed.
    """
    return default_system().unsubscribe(what, **options)


def subscriptions() -> tuple[SubscriptionStatus, ...]:
    """All subscriptions that have not ended, each as a frozen snapshot: queue, lag, losses."""
    return default_system().subscriptions()


def replay(
    *,
    since: datetime | timedelta | float | None = None,
    until: datetime | timedelta | float | None = None,
    events: Iterable[str] | None = None,
    connection: str | Circuit | None = None,
    scope: str | None = None,
    kind: ConnectionKind | str | None = None,
    timeout: float | timedelta = 5.0,
) -> Replay:
    """The events in the journal, in the order in which they were appended, to iterate over.

    Example:
        >>> for event in brama.replay(since=timedelta(hours=1), events=["circuit_opened"]):
        ...     print(event.timestamp, event.connection, event.data["reason"])

    Args:
        since: the first moment: a time with its zone, a POSIX time, or a duration before now. None
            is the beginning.
        until: the moment before which it ends; None is now.
        events: names or wildcards, as for `subscribe`; None is any.
        connection: a name, a glob or a circuit; None is any.
        scope: None is any.
        kind: of connection; None is any.
        timeout: seconds to wait until what has happened so far is in the file.

    Raises:
        ConfigError: there is no journal, or a wrong argument.
        brama.notifier.JournalError: while iterating, the file cannot be read.
    """
    return default_system().replay(
        since=since,
        until=until,
        events=events,
        connection=connection,
        scope=scope,
        kind=kind,
        timeout=timeout,
    )


def trail(
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
    """The audit trail in the journal: who has ordered, subscribed, got or tried to change what.

    Example:
        >>> for entry in brama.trail(since=timedelta(days=1), entries=["order_given"]):
        ...     print(entry.timestamp, entry.by, entry.subject, entry.connection)

    Args:
        since, until: as for `replay`.
        entries: names from `brama.notifier.ENTRIES`, or wildcards; None is all.
        connection: a name, a glob or a circuit; None is any.
        scope: None is any.
        subject: only of this: a durable subscription, an order, a table; see `ENTRIES`.
        by: only on behalf of this person; see `acting_as`.
        event: only what concerns this event, given as itself or by its id: which durable
            subscription has got it, when and after how many tries, or why not.
        timeout: seconds to wait until what has happened so far is in the file.

    Raises:
        ConfigError: there is no journal, or a wrong argument.
        brama.notifier.JournalError: while iterating, the file cannot be read.
    """
    return default_system().trail(
        since=since,
        until=until,
        entries=entries,
        connection=connection,
        scope=scope,
        subject=subject,
        by=by,
        event=event,
        timeout=timeout,
    )


def events(**options: Unpack[Choosing]) -> EventStream:
    """The events that match, to iterate over in a thread, on asyncio or on trio.

    Example:
        >>> with brama.events(events=["circuit_opened"]) as events:
        ...     for event in events: ...

    Args:
        options: those of `brama.notifier.Options` that need no handler: ``events``, ``connection``,
            ``scope``,
            ``kind``, ``filter``, ``backlog``, ``overflow`` and ``snapshot``.
    """
    return default_system().events(**options)
