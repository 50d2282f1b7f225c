"""Every name under which Brama's telemetry appears: scopes, attributes, spans, metrics.

Each stands here once. The code takes its names from here, and so does the table in the
documentation; nothing else may spell one out.

Attributes are of two kinds. Those of *metrics* are bounded: `POOL`, the states, the events.
Those of *spans* may name a single connection, for a span is kept or dropped, never summed.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import attrs

from .hook_names import HOOKS, HookName

__all__ = [
    "ATTRIBUTES",
    "CIRCUIT",
    "HOOKS",
    "METRICS",
    "NOTIFICATION",
    "PROCESS",
    "PUBLISH",
    "PUBLISHED",
    "SCHEMA_URL",
    "SPANS",
    "TRANSITION",
    "TRANSITIONS",
    "HookName",
    "MetricName",
    "SpanName",
]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.43.0"
"""The version of OpenTelemetry's semantic conventions that shared names (`error.type`) follow."""

# Scopes, so that an operator can switch one part of Brama off by its scope.
CIRCUIT: Final = "brama.circuit"
NOTIFICATION: Final = "brama.notification"

# Attributes.
POOL: Final = "pool"
CIRCUIT_NAME: Final = "brama.circuit.name"
CIRCUIT_SCOPE: Final = "brama.circuit.scope"
STATE: Final = "brama.circuit.state"
STATE_FROM: Final = "brama.circuit.state.from"
STATE_DURATION: Final = "brama.circuit.state.duration"
REASON: Final = "brama.circuit.reason"
FAILURES: Final = "brama.circuit.failure_count"
EVENT: Final = "brama.notification.event"
EVENT_ID: Final = "brama.notification.id"
MATCHED: Final = "brama.notification.fanout.matched"
QUEUED: Final = "brama.notification.fanout.queued"
SUBSCRIPTION: Final = "brama.notification.subscription"
LAG: Final = "brama.notification.lag"
DELIVERY: Final = "brama.notification.delivery.n"
REDELIVERED: Final = "brama.notification.delivery.redelivered"
ERROR_TYPE: Final = "error.type"

ATTRIBUTES: Final = MappingProxyType(
    {
        POOL: "the connection's name while there are at most 200 of them, then `other`",
        CIRCUIT_NAME: "the connection",
        CIRCUIT_SCOPE: "its scope; absent for the default scope",
        STATE: "the state; of a transition, the new one",
        STATE_FROM: "the state that a transition left",
        STATE_DURATION: "seconds that the circuit had been in the state it left",
        REASON: "why, in the words of whoever caused it",
        FAILURES: "failures that were counted when the state changed",
        EVENT: "the event's name, such as `state_change`",
        EVENT_ID: "the event's id",
        MATCHED: "subscriptions that wanted the event",
        QUEUED: "subscriptions whose mailbox took it",
        SUBSCRIPTION: "the subscription's name",
        LAG: "seconds from the event to the start of its handler",
        DELIVERY: "the delivery's number in its subscription",
        REDELIVERED: "true when the handler is given the event again",
        ERROR_TYPE: "the exception's class; `brama.CircuitOpenError` for ours",
    }
)
"""What each attribute says, by its name."""


@attrs.frozen
class SpanName:
    """A kind of span. Its name is `verb` and one word from a fixed list, never a connection."""

    verb: str
    word: str
    scope: str
    kind: str
    when: str
    attributes: tuple[str, ...]

    def of(self, word: str) -> str:
        """The name of a span: ``TRANSITION.of("open")`` is ``"transition open"``."""
        return f"{self.verb} {word}"


TRANSITION: Final = SpanName(
    verb="transition",
    word="new state",
    scope=CIRCUIT,
    kind="INTERNAL",
    when="a circuit changed its state; child of the call that caused it",
    attributes=(
        CIRCUIT_NAME,
        CIRCUIT_SCOPE,
        POOL,
        STATE,
        STATE_FROM,
        STATE_DURATION,
        REASON,
        FAILURES,
    ),
)
PUBLISH: Final = SpanName(
    verb="publish",
    word="event",
    scope=NOTIFICATION,
    kind="PRODUCER",
    when="the registry gave an event to the subscriptions that match; child of its cause",
    attributes=(EVENT, EVENT_ID, CIRCUIT_NAME, CIRCUIT_SCOPE, STATE, MATCHED, QUEUED),
)
PROCESS: Final = SpanName(
    verb="process",
    word="event",
    scope=NOTIFICATION,
    kind="CONSUMER",
    when="a handler ran; linked to the publish span, and its child up to a fan-out of 64",
    attributes=(
        EVENT,
        SUBSCRIPTION,
        CIRCUIT_NAME,
        CIRCUIT_SCOPE,
        LAG,
        DELIVERY,
        REDELIVERED,
        ERROR_TYPE,
    ),
)
SPANS: Final = (TRANSITION, PUBLISH, PROCESS)


@attrs.frozen
class MetricName:
    """A metric: its name, its unit (UCUM), what it counts, and its bounded attributes."""

    name: str
    scope: str
    unit: str
    description: str
    attributes: tuple[str, ...]


TRANSITIONS: Final = MetricName(
    name="brama.circuit.transitions",
    scope=CIRCUIT,
    unit="{transition}",
    description="State changes of circuits.",
    attributes=(POOL, STATE, STATE_FROM),
)
PUBLISHED: Final = MetricName(
    name="brama.notification.published",
    scope=NOTIFICATION,
    unit="{event}",
    description="Events given to the subscriptions that match.",
    attributes=(EVENT,),
)
METRICS: Final = (TRANSITIONS, PUBLISHED)
