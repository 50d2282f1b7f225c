"""How much an event matters: what rules say, and what holds where they are silent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from brama.telemetry import ConfigError, takes_only, unknown

from .connection_kind import ConnectionKind, check_kind
from .events import Severity, severity_of
from .globs import covers, event_names
from .options import check_name, check_scope
from .state import State, check_state

__all__ = ["Severities", "SeverityRule", "check_severities"]

REMEMBERED = 10_000


def _severity(value: Any) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        raise unknown("severity", value, tuple(Severity)) from None


def _events(value: Any) -> tuple[str, ...] | None:
    return event_names([value] if isinstance(value, str) else value)


def _state(value: Any) -> State | None:
    return None if value is None else check_state(value)


def _connection(value: Any) -> str | None:
    return None if value is None else check_name("connection", value)


@takes_only("a field of a severity rule")
@attrs.frozen
class SeverityRule:
    """Says how severe some events are; of a list of rules the first that fits decides.

    Example:
        >>> SeverityRule("critical", event="circuit_opened", connection="payment_*")
        ... # doctest: +ELLIPSIS
        SeverityRule(severity=<Severity.CRITICAL: 'critical'>, event=('circuit_opened',), ...)

    All that is given must fit; a rule of a severity alone fits every event.

    Attributes:
        severity: ``"debug"``, ``"info"``, ``"warning"``, ``"error"`` or ``"critical"``.
        event: the name of an event, a wildcard (``circuit_*``), or several; None is any.
        state: the state that the event leads to, else the one that it happened in; None is any.
        connection: a name or a glob, as for `brama.subscribe`; None is any.
        scope: None is any.
        kind: of connection; None is any.

    Raises:
        ConfigError: one of them is none.
    """

    severity: Severity = attrs.field(converter=_severity)
    event: tuple[str, ...] | None = attrs.field(default=None, converter=_events, kw_only=True)
    state: State | None = attrs.field(default=None, converter=_state, kw_only=True)
    connection: str | None = attrs.field(default=None, converter=_connection, kw_only=True)
    scope: str | None = attrs.field(default=None, converter=check_scope, kw_only=True)
    kind: ConnectionKind | None = attrs.field(default=None, converter=check_kind, kw_only=True)

    def fits(
        self,
        event: str,
        state: State | None,
        connection: str,
        scope: str | None,
        kind: ConnectionKind | None,
    ) -> bool:
        """Whether it is for such an event; one of no connection has an empty name and no kind."""
        return (
            (self.event is None or event in self.event)
            and self.state in (None, state)
            and covers(self.connection, connection)
            and self.scope in (None, scope)
            and self.kind in (None, kind)
        )


class Severities:
    """The rules of a system, with what they came to.

    Threads: any. What two threads find at once is the same.

    Attributes:
        rules: in their order.
    """

    __slots__ = ("_known", "rules")

    def __init__(self, rules: Iterable[SeverityRule]) -> None:
        self.rules = tuple(rules)
        self._known: dict[tuple[object, ...], Severity | None] = {}

    def ruled(
        self,
        event: str,
        data: Mapping[str, Any],
        connection: str,
        scope: str | None,
        kind: ConnectionKind | None,
    ) -> Severity | None:
        """What the first rule that fits says; None if none does."""
        state = data.get("new_state", data.get("state"))
        key = (event, state, connection, scope, kind)
        try:
            return self._known[key]
        except KeyError:
            pass
        found = next((rule.severity for rule in self.rules if rule.fits(*key)), None)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = found
        return found

    def of(
        self,
        event: str,
        data: Mapping[str, Any],
        connection: str,
        scope: str | None,
        kind: ConnectionKind | None,
    ) -> Severity:
        """The severity of an event with these data."""
        found = self.ruled(event, data, connection, scope, kind)
        return severity_of(event, data.get("new_state")) if found is None else found


def check_severities(value: Any) -> Severities | None:
    """`value` as rules; None if there are none.

    Raises:
        ConfigError: it is no list of rules.
    """
    if value is None:
        return None
    if isinstance(value, SeverityRule | Mapping):
        value = [value]
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError("severity", "a list of brama.SeverityRule", value)
    rules = [_rule(one) for one in value]
    return Severities(rules) if rules else None


def _rule(value: Any) -> SeverityRule:
    if isinstance(value, SeverityRule):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError("severity", "a list of brama.SeverityRule", value)
    known = tuple(field.name for field in attrs.fields(SeverityRule))
    for name in value:
        if name not in known:
            raise unknown("a field of a severity rule", name, known)
    if "severity" not in value:
        raise ConfigError("severity", "named in each rule", dict(value))
    return SeverityRule(**value)
