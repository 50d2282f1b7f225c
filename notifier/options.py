"""What may be said of a subscription: the only list of its options, with their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypedDict

import attrs

from brama.circuits import (
    EVENTS,
    Circuit,
    ConnectionKind,
    Event,
    Shared,
    check_kind,
    check_name,
    check_scope,
    event_names,
    named,
    seconds,
    whole,
)
from brama.telemetry import ConfigError, unknown, unknown_option

from .backlog import OVERFLOWS, Overflow
from .kinds import is_plain

__all__ = ["Choosing", "Options", "Subscribing", "subscribing"]

BACKLOG = 1_000
BATCH = 1_000
BATCH_AGE = 1.0


class Choosing(TypedDict, total=False):
    """What `brama.events` takes; see `Options`."""

    events: Iterable[str] | None
    connection: str | Circuit | None
    scope: str | None
    kind: ConnectionKind | str | None
    filter: Callable[[Event], object] | None
    backlog: int
    overflow: Overflow
    snapshot: bool


class Subscribing(Choosing, total=False):
    """What `brama.subscribe` takes; see `Options`."""

    max_redeliveries: int
    durable: str | None
    batch: int | None
    batch_age: float | timedelta | None


def _events(value: Any) -> tuple[str, ...] | None:
    return event_names(value)


def _connection(value: Any) -> str | None:
    return None if value is None else check_name("connection", value)


def _durable(value: Any) -> str | None:
    return None if value is None else check_name("durable", value)


def _filter(value: Any) -> Any:
    if value is not None and not is_plain(value):
        raise ConfigError("filter", "a plain function of one event", value)
    return value


def _redeliveries(value: Any) -> int:
    return whole("max_redeliveries", value, least=0)


def _backlog(value: Any) -> int:
    return whole("backlog", value)


def _overflow(value: Any) -> Any:
    if value not in OVERFLOWS:
        raise unknown("overflow", value, OVERFLOWS)
    return value


def _snapshot(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("snapshot", "True or False", value)
    return value


def _batch(value: Any) -> int | None:
    return None if value is None else whole("batch", value)


def _batch_age(value: Any) -> float | None:
    return None if value is None else seconds("batch_age", value)


@attrs.frozen(kw_only=True)
class Options:
    """The options of one subscription.

    Attributes:
        events: names from `brama.notifier.EVENTS`, or wildcards, ``circuit_*``; None is all of
            them.
        connection: the name of a circuit, which need not exist yet, or a glob: in ``payment_*`` the
            ``*`` is any text, and ``?`` any one character; None is any. A circuit itself stands for
            its name and its scope.
        scope: None is any.
        kind: of connection, as it was registered: a `brama.ConnectionKind` or its word; None is
            any.
        filter: a further condition, called with the event. Over one at which it raises or takes
            longer than 0.25 s there is no match.
        backlog: how many events that are not critical may wait. Critical ones, 10 000 of them, wait
            apart.
        overflow: what to do beyond it: ``"drop_oldest"``, ``"drop_newest"``, ``"coalesce"`` (keep
            the newest of each kind and connection) or ``"disconnect"`` (end the subscription). What
            was lost arrives, in its place, as one event `gap`.
        snapshot: begin with an event `snapshot` for each circuit that matches and is there, and go
            on with what happens after it.
        max_redeliveries: how often a critical event is tried again when the handler raises.
        durable: a name under which the journal keeps how far the handler has come: what it missed
            while the process was away arrives first, in order. Of several processes that share the
            journal, one at a time delivers to a name, and it gets the events of all.
        batch: call the handler with lists of up to so many events. 1 000 with a `batch_age` alone.
            At least twice as many may wait. Lists of more than 5 000, or of more than 128 that come
            from the journal, go out when they have so many.
        batch_age: seconds after which a list goes out that is not full; 1 with a `batch` alone.
    """

    events: tuple[str, ...] | None = attrs.field(default=None, converter=_events)
    connection: str | None = attrs.field(default=None, converter=_connection)
    scope: str | None = attrs.field(default=None, converter=check_scope)
    kind: ConnectionKind | None = attrs.field(default=None, converter=check_kind)
    filter: Callable[[Event], object] | None = attrs.field(default=None, converter=_filter)
    backlog: int = attrs.field(default=BACKLOG, converter=_backlog)
    overflow: Overflow = attrs.field(default="drop_oldest", converter=_overflow)
    snapshot: bool = attrs.field(default=False, converter=_snapshot)
    max_redeliveries: int = attrs.field(default=3, converter=_redeliveries)
    durable: str | None = attrs.field(default=None, converter=_durable)
    batch: int | None = attrs.field(default=None, converter=_batch)
    batch_age: float | None = attrs.field(default=None, converter=_batch_age)

    def __attrs_post_init__(self) -> None:
        connected = not (self.connection is self.scope is self.kind is None)
        if connected and self.events is not None and set(self.events) <= UNCONNECTED:
            raise ConfigError(
                "events",
                "events of connections where a connection, a scope or a kind is given",
                ", ".join(self.events),
                hint="These are of the whole system, so that nothing could match.",
            )
        if self.durable is not None and self.snapshot:
            raise ConfigError(
                "snapshot",
                "not given together with durable",
                self.snapshot,
                hint="A durable subscription goes on where it stopped.",
            )

    @property
    def batching(self) -> tuple[int, float] | None:
        """How many at once, and after how many seconds at the latest; None is one by one."""
        if self.batch is None and self.batch_age is None:
            return None
        age = BATCH_AGE if self.batch_age is None else self.batch_age
        return self.batch or BATCH, age


UNCONNECTED = frozenset({"cleanup", "alarm"}) & EVENTS.keys()

WORDS = {"event_types": "events", "name": "connection", "circuit": "connection"}

REFUSED = {
    "exactly_once": (
        "not given: nobody can promise it across a crash",
        "Critical events are delivered at least once; tell repeats by event.event_id, or with "
        "brama.notifier.Receiver.",
    ),
    "at_least_once": (
        "not given: critical events always are, and across restarts with durable=",
        'Give durable="name", and the settings a journal.',
    ),
    "order": ("not given: it is total for each connection, and there is none across them", ""),
}


def subscribing(
    given: Mapping[str, Any], kind: type[Any] = Subscribing, *, home: Shared
) -> Options:
    """`given` as checked options.

    Args:
        given: by keyword.
        kind: `Subscribing`, or `Choosing` where there is no handler.
        home: of the system, whose circuits alone may stand for their names.

    Raises:
        ConfigError: an option that there is not, or a wrong value.
    """
    known = kind.__annotations__
    for name, value in given.items():
        if name in REFUSED:
            expected, hint = REFUSED[name]
            raise ConfigError(name, expected, value, hint=hint)
        if name not in known:
            raise unknown_option("an option of a subscription", name, tuple(known), WORDS)
    connection, scope = named(given.get("connection"), given.get("scope"), home)
    return Options(**{**given, "connection": connection, "scope": scope})
