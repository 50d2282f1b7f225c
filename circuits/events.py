"""The events of a connection: their names, their data, and the one class that carries them.

`EVENTS` is the only list of them; the documentation and the checks are made from it.
The first thirteen names are those of the Brama notification specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

import attrs

from brama.telemetry import ConfigError, unknown

from .connection_kind import ConnectionKind, check_kind
from .fields import Fields
from .state import State
from .wire import VERSION, dump, dump_json, load, load_json

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

SCHEMA_VERSION = VERSION


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
        data: the keys of `Event.data`, which `DATA` explains.
        per_call: it tells of a single call, so there may be very many.
        bit: this kind in a mask of wanted kinds.
    """

    name: str
    critical: bool
    severity: Severity
    when: str
    data: tuple[str, ...]
    per_call: bool = False
    bit: int = 0


_MOVE = (
    "previous_state",
    "new_state",
    "reason",
    "failure_count",
    "generation",
    "retry_after",
    "duration",
    "error_type",
    "error_code",
    "attempts",
)
_CALL = ("state", "failure_count", "reason")
_LIFE = ("state", "failure_threshold", "expiry")

_KINDS = (
    EventKind(
        "state_change", True, Severity.INFO, "the circuit went from one state to another", _MOVE
    ),
    EventKind("registration", False, Severity.INFO, "a connection was registered", _LIFE),
    EventKind(
        "failure",
        False,
        Severity.WARNING,
        "a failure was counted and did not trip",
        (*_CALL, "error_type", "error_code", "attempts"),
        per_call=True,
    ),
    EventKind("success", False, Severity.DEBUG, "a call succeeded", _CALL, per_call=True),
    EventKind("expiry", False, Severity.INFO, "the open time of a circuit is over", _CALL),
    EventKind(
        "cleanup", False, Severity.DEBUG, "idle connections were removed", ("removed", "remaining")
    ),
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
    EventKind("connected", False, Severity.INFO, "a session, socket or pool was opened", _CALL),
    EventKind(
        "disconnected",
        False,
        Severity.INFO,
        "a session, socket or pool was closed",
        (*_CALL, "error_type", "error_code"),
    ),
    EventKind("heartbeat_missed", False, Severity.WARNING, "a peer has fallen silent", _CALL),
    EventKind("heartbeat_resumed", False, Severity.INFO, "a silent peer is back", _CALL),
    EventKind(
        "value_changed",
        False,
        Severity.INFO,
        "a polled value is another than before",
        ("previous", "current", *_CALL),
    ),
    EventKind(
        "quality_changed",
        False,
        Severity.WARNING,
        "a connection works worse than it should, or well again",
        ("quality", "previous", "measure", "value", "limit", *_CALL),
    ),
    EventKind(
        "health_check",
        False,
        Severity.DEBUG,
        "the health check of an open circuit has answered",
        ("healthy", *_CALL),
    ),
    EventKind(
        "slow_call",
        False,
        Severity.WARNING,
        "a call took longer than `slow_after`",
        _CALL,
        per_call=True,
    ),
    EventKind(
        "local_stall",
        False,
        Severity.WARNING,
        "a failure during a pause of our own did not count",
        _CALL,
        per_call=True,
    ),
    EventKind(
        "threshold_exceeded",
        False,
        Severity.WARNING,
        "a circuit in metrics_only would have opened",
        _CALL,
    ),
    EventKind(
        "call_rejected",
        False,
        Severity.DEBUG,
        "a call was refused",
        ("retry_after", *_CALL),
        per_call=True,
    ),
    EventKind(
        "call_ignored",
        False,
        Severity.DEBUG,
        "a call ended that says nothing about the connection",
        _CALL,
        per_call=True,
    ),
    EventKind(
        "late_result",
        False,
        Severity.DEBUG,
        "a call ended that began before the present state, or a probe that was given up",
        ("outcome", *_CALL),
        per_call=True,
    ),
    EventKind("configured", False, Severity.INFO, "the policy was changed", ("state", "changed")),
    EventKind(
        "snapshot",
        False,
        Severity.INFO,
        "a subscription with `snapshot=True` began: how the connection was then",
        ("state", "new_state", "reason", "failure_count", "generation", "retry_after"),
    ),
    EventKind("gap", False, Severity.WARNING, "events before this one were lost", ("lost",)),
    EventKind(
        "alarm",
        False,
        Severity.CRITICAL,
        "a part of Brama itself fails, or works again",
        ("subject", "status", "reason", "since"),
    ),
)

EVENTS: Mapping[str, EventKind] = {
    kind.name: attrs.evolve(kind, bit=1 << place) for place, kind in enumerate(_KINDS)
}
"""Every event by its name."""

CRITICAL: frozenset[str] = frozenset(kind.name for kind in _KINDS if kind.critical)
"""The events that are delivered at least once."""

ALL: int = (1 << len(_KINDS)) - 1
"""The mask that wants every kind."""

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

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
    if isinstance(events, bytes | bytearray):  # lists of numbers, to those who iterate
        raise ConfigError("events", "a list of names", events)
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


def _exactly(kind: type | tuple[type, ...], expected: str) -> Any:
    def check(_event: Any, field: attrs.Attribute[Any], value: Any) -> None:
        wrong = isinstance(value, bool) and kind is not bool
        if wrong or not isinstance(value, kind):
            raise ConfigError(field.name, expected, value)

    return check


_text = _exactly(str, "a text")
_text_or_none = _exactly((str, type(None)), "a text or None")
_number = _exactly((int, float), "a number")
_whole = _exactly(int, "a whole number")


def _in_utc(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None or value.utcoffset() is None:
        raise ConfigError(
            "timestamp",
            "a datetime with its zone",
            value,
            hint="Write datetime.now(UTC), or .replace(tzinfo=UTC) if it is in UTC.",
        )
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _severity(value: Any) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        raise unknown("severity", value, tuple(Severity)) from None


def _read_only(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError("data", "a mapping by texts", value)
    return value if isinstance(value, Fields) else Fields(value)


def _kind(value: Any) -> ConnectionKind:
    return check_kind(value) or ConnectionKind.OTHER


@attrs.frozen(
    slots=False
)  # a delivery is a copy with two fields replaced: one dict copy is cheapest
class Event:
    """Something that happened to a connection: a frozen value that pickles.

    Brama makes them; who makes one by hand, for a test, gets a `ConfigError` for a wrong value.

    Attributes:
        event: the kind, a key of `EVENTS`, or any text with a `schema_version` that is not ours.
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
        source: the system that it happened in; stable across restarts where there is a journal.
        kind: what kind of connection it is, as `brama.circuit` was told.
        n: number of this delivery in its subscription, without a gap; 0 outside one.
        redelivered: an earlier attempt at this delivery did not end well.
    """

    event: str = attrs.field(validator=_text)
    connection: str = attrs.field(validator=_text)
    scope: str | None = attrs.field(validator=_text_or_none)
    timestamp: datetime = attrs.field(converter=_in_utc)
    monotonic: float = attrs.field(validator=_number)
    epoch: int = attrs.field(validator=_whole)
    seq: int | None = attrs.field(validator=_exactly((int, type(None)), "a whole number or None"))
    event_id: str = attrs.field(validator=_text)
    severity: Severity = attrs.field(converter=_severity)
    data: Mapping[str, Any] = attrs.field(hash=False, converter=_read_only)
    trace: str | None = attrs.field(default=None, validator=_text_or_none)
    source: str = attrs.field(default="", validator=_text)
    kind: ConnectionKind = attrs.field(default=ConnectionKind.OTHER, converter=_kind)
    schema_version: str = attrs.field(default=SCHEMA_VERSION, validator=_text)
    n: int = attrs.field(default=0, validator=_whole)
    redelivered: bool = attrs.field(default=False, validator=_exactly(bool, "True or False"))

    def __attrs_post_init__(self) -> None:
        # A later 1.x may have kinds that we do not know; whoever asks for kinds does not get them.
        if self.event not in EVENTS and self.schema_version == SCHEMA_VERSION:
            raise unknown("event", self.event, tuple(EVENTS))

    @property
    def critical(self) -> bool:
        """Whether it is delivered at least once."""
        return self.seq is not None

    @property
    def timestamp_ms(self) -> int:
        """`timestamp` as milliseconds since 1970, as in Elixir's Brama."""
        return (self.timestamp - _1970) // _MILLISECOND

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the published JSON Schema says; see `brama.notifier.event_schema`."""
        return dump(self)

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return dump_json(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The event that `to_dict` described. Fields of a later 1.x that we do not know are left.

        Raises:
            EventFormatError: a field is missing or wrong, or the schema is another than 1.x.
        """
        return load(cls, fields)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The event that `to_json` described.

        Raises:
            EventFormatError: as `from_dict`, or it is no JSON.
        """
        return load_json(cls, text)

    def delivery(self, n: int, *, redelivered: bool = False) -> Self:
        """This event as the `n`-th delivery of a subscription; once redelivered, always so."""
        # Every delivery makes one: a dict is copied faster than it is merged into a new one.
        fields = self.__dict__.copy()
        fields["n"] = n
        if redelivered:
            fields["redelivered"] = True
        copy = _new(self.__class__)
        _set(copy, "__dict__", fields)
        return copy

    def placed(self, source: str) -> Self:
        """This event as one of `source`: it happened before its system knew what it is called."""
        return self._copy({**self.__dict__, "source": source})

    def _copy(self, fields: dict[str, Any]) -> Self:
        """Not made by the class, which would check once more what has been checked."""
        copy = _new(self.__class__)
        _set(copy, "__dict__", fields)
        return copy


# Bound once: every delivery makes an event.
_new = object.__new__
_set = object.__setattr__


def assembled(fields: dict[str, Any]) -> Event:
    """An event of `fields`, which must be all of them, as its class would have made it.

    For whoever makes very many: a frozen class sets each field by a call.
    """
    made = _new(Event)
    _set(made, "__dict__", fields)
    return made


def severity_of(name: str, new_state: State | None) -> Severity:
    """The severity of an event: that of the state it leads to, else that of its kind."""
    if new_state is not None and name in ("state_change", "circuit_reset", "snapshot"):
        return _BY_STATE[new_state]
    return EVENTS[name].severity


def utc(timestamp: float) -> datetime:
    """A POSIX time in seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp, UTC)
