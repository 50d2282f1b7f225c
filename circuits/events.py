"""The events of a connection: their names, their data, and the one class that carries them.

`EVENTS` is the only list of them; the documentation and the checks are made from it.
The first thirteen names are those of the Brama notification specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, Self

import attrs

from brama.telemetry import ConfigError, unknown

from .state import State

__all__ = [
    "ALL",
    "CRITICAL",
    "EVENTS",
    "Event",
    "EventKind",
    "Severity",
    "check_events",
    "mask_of",
]

SCHEMA_VERSION = "1.0"


class Severity(StrEnum):
    """How much an event matters to the person who reads it."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@attrs.frozen
class EventKind:
    """One row of the list of events.

    Attributes:
        name: the name to subscribe to.
        critical: delivered at least once and numbered without a gap.
        severity: unless the new state says otherwise (see `Event.severity`).
        when: what has happened, as a clause.
        data: the keys of `Event.data`.
        bit: this kind in a mask of wanted kinds.
    """

    name: str
    critical: bool
    severity: Severity
    when: str
    data: tuple[str, ...]
    bit: int = 0


_MOVE = ("previous_state", "new_state", "reason", "failure_count", "generation", "retry_after")
_CALL = ("state", "failure_count", "reason")
_LIFE = ("state", "failure_threshold", "expiry")

_KINDS = (
    EventKind(
        "state_change", True, Severity.INFO, "the circuit went from one state to another", _MOVE
    ),
    EventKind("registration", False, Severity.INFO, "a connection was registered", _LIFE),
    EventKind("failure", False, Severity.WARNING, "a failure was counted and did not trip", _CALL),
    EventKind("success", False, Severity.DEBUG, "a call succeeded", _CALL),
    EventKind("expiry", False, Severity.INFO, "the open time of a circuit is over", _CALL),
    EventKind("cleanup", False, Severity.DEBUG, "idle connections were removed", ("removed",)),
    EventKind("circuit_opened", True, Severity.ERROR, "the circuit opened", _MOVE),
    EventKind("circuit_closed", True, Severity.INFO, "the circuit closed", _MOVE),
    EventKind("circuit_reset", True, Severity.INFO, "somebody reset the circuit", _MOVE),
    EventKind("connection_registered", False, Severity.INFO, "a connection was registered", _LIFE),
    EventKind(
        "connection_unregistered", False, Severity.INFO, "a connection was unregistered", _LIFE
    ),
    EventKind("circuit_half_opened", True, Severity.WARNING, "probes are admitted", _MOVE),
    EventKind("connection_removed", False, Severity.INFO, "an idle connection was removed", _LIFE),
    EventKind("probe_lost", False, Severity.WARNING, "a probe ended without an outcome", _CALL),
)

EVENTS: Mapping[str, EventKind] = {
    kind.name: attrs.evolve(kind, bit=1 << place) for place, kind in enumerate(_KINDS)
}
"""Every event by its name."""

CRITICAL: frozenset[str] = frozenset(kind.name for kind in _KINDS if kind.critical)
"""The events that are delivered at least once."""

ALL: int = (1 << len(_KINDS)) - 1
"""The mask that wants every kind."""

_BY_STATE = {
    State.OPEN: Severity.ERROR,
    State.HALF_OPEN: Severity.WARNING,
    State.CLOSED: Severity.INFO,
    State.FORCED_OPEN: Severity.ERROR,
    State.DISABLED: Severity.WARNING,
    State.METRICS_ONLY: Severity.INFO,
}


def check_events(events: Iterable[str] | None) -> tuple[str, ...] | None:
    """`events` as a tuple of known names; None wants all.

    Raises:
        ConfigError: not a list of names, an empty one, or a name that is unknown.
    """
    if events is None:
        return None
    if isinstance(events, str):
        raise ConfigError("events", "a list of names", events, hint=f"Write events=[{events!r}].")
    try:
        names = tuple(dict.fromkeys(events))
    except TypeError:
        raise ConfigError("events", "a list of names", events) from None
    if not names:
        raise ConfigError("events", "a list with at least one name", events)
    for name in names:
        if name not in EVENTS:
            raise unknown("an event", name, tuple(EVENTS))
    return names


def mask_of(names: Iterable[str] | None) -> int:
    """The kinds in `names` as bits; None is all of them."""
    return ALL if names is None else sum(EVENTS[name].bit for name in names)


class Fields(dict[str, Any]):
    """The data of an event: a dict that all its readers share, so nobody may change it."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError(
            "the data of an event is shared and cannot be changed; copy it: dict(event.data)"
        )

    if not TYPE_CHECKING:  # every way to change a dict, refused alike; to checkers it is a dict
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return Fields, (dict(self),)


@attrs.frozen(
    slots=False
)  # a delivery is a copy with two fields replaced: one dict copy is cheapest
class Event:
    """Something that happened to a connection: a frozen value that pickles.

    Attributes:
        event: the kind, a key of `EVENTS`.
        connection: name of the connection; empty for an event of the whole system.
        scope: its scope, or None.
        timestamp: when it happened, in UTC.
        monotonic: the same on the monotonic clock of the process, in seconds.
        epoch: the incarnation of the circuit in which `seq` counts.
        seq: number of a critical event, without a gap for each connection and epoch; None for
            the other kinds.
        event_id: the same on every delivery of this event, and of no other.
        schema_version: version of this set of fields.
        severity: how much it matters.
        data: what `EVENTS` documents for the kind; shared, not to be changed.
        trace: W3C ``traceparent`` of its cause while tracing is on, else None.
        n: number of this delivery in its subscription, without a gap; 0 outside one.
        redelivered: an earlier attempt at this delivery did not end well.
    """

    event: str
    connection: str
    scope: str | None
    timestamp: datetime
    monotonic: float
    epoch: int
    seq: int | None
    event_id: str
    severity: Severity
    data: Mapping[str, Any] = attrs.field(hash=False)
    trace: str | None = None
    schema_version: str = SCHEMA_VERSION
    n: int = 0
    redelivered: bool = False

    @property
    def critical(self) -> bool:
        """Whether it is delivered at least once."""
        return self.seq is not None

    def delivery(self, n: int, *, redelivered: bool) -> Self:
        """This event as the `n`-th delivery of a subscription."""
        fields = self.__dict__.copy()
        fields["n"] = n
        fields["redelivered"] = redelivered
        copy = object.__new__(type(self))
        object.__setattr__(copy, "__dict__", fields)
        return copy


def severity_of(name: str, new_state: State | None) -> Severity:
    """The severity of an event: that of the state it leads to, else that of its kind."""
    if new_state is not None and name in ("state_change", "circuit_reset"):
        return _BY_STATE[new_state]
    return EVENTS[name].severity


def utc(timestamp: float) -> datetime:
    """A POSIX time in seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp, UTC)
