"""Every name under which Brama's telemetry appears: scopes, attributes, spans, metrics, events.

Each stands here once, or in `hook_names` and `metric_names`, which this module hands on. The code
takes its names from here, and so does the table in the documentation; nothing else may spell one
out.

Attributes are of two kinds. Those of *metrics* are bounded: `POOL`, the states, the events.
Those of *spans* may name a single connection, for a span is kept or dropped, never summed.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import attrs

from .hook_names import HOOKS, HookName
from .metric_names import (
    ACTOR,
    ACTOR_CLASS,
    CIRCUIT,
    ERROR_TYPE,
    EVENT,
    METRICS,
    NOTIFICATION,
    OUTCOME,
    POOL,
    PUBLISHED,
    REASON_DROPPED,
    STATE,
    STATE_FROM,
    SUBSCRIPTION,
    TELEMETRY,
    TRANSITIONS,
    WHAT,
    MetricName,
)

__all__ = [
    "ACTOR",
    "ACTOR_CLASS",
    "ATTRIBUTES",
    "CALL",
    "CHECK",
    "CHECK_SPAN",
    "CIRCUIT",
    "ERROR_TYPE",
    "EVENT",
    "EXCEPTION",
    "HOOKS",
    "LOG_EVENTS",
    "METRICS",
    "NOTIFICATION",
    "OUTCOME",
    "POOL",
    "PROCESS",
    "PUBLISH",
    "PUBLISHED",
    "REASON_DROPPED",
    "RESTART",
    "SCHEMA_URL",
    "SPANS",
    "STATE",
    "STATE_CHANGED",
    "STATE_FROM",
    "SUBSCRIPTION",
    "TELEMETRY",
    "TRANSITION",
    "TRANSITIONS",
    "WHAT",
    "HookName",
    "LogEventName",
    "MetricName",
    "SpanName",
]

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.43.0"
"""The version of OpenTelemetry's semantic conventions that shared names (`error.type`) follow."""

# Attributes of spans and log events; those that metrics have, too, stand in `metric_names`.
CIRCUIT_NAME: Final = "brama.circuit.name"
CIRCUIT_SCOPE: Final = "brama.circuit.scope"
STATE_DURATION: Final = "brama.circuit.state.duration"
REASON: Final = "brama.circuit.reason"
GENERATION: Final = "brama.circuit.generation"
PROBE: Final = "brama.circuit.probe"
FAILURES: Final = "brama.circuit.failure_count"
RETRY_AFTER: Final = "brama.circuit.retry_after"
HELD_BACK: Final = "brama.held_back"
LINK: Final = "brama.link"
EVENT_ID: Final = "brama.notification.id"
MATCHED: Final = "brama.notification.fanout.matched"
QUEUED: Final = "brama.notification.fanout.queued"
LAG: Final = "brama.notification.lag"
DELIVERY: Final = "brama.notification.delivery.n"
REDELIVERED: Final = "brama.notification.delivery.redelivered"
BATCH_SIZE: Final = "brama.notification.batch.size"
ACTOR_NAME: Final = "brama.actor.name"
SUPERVISOR: Final = "brama.actor.supervisor"
STRATEGY: Final = "brama.actor.supervisor.strategy"
RESTARTS: Final = "brama.actor.restart.count"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

ATTRIBUTES: Final = MappingProxyType(
    {
        POOL: "the connection's name while there are at most 200 of them, then `other`",
        CIRCUIT_NAME: "the connection",
        CIRCUIT_SCOPE: "its scope; absent for the default scope",
        STATE: "the state; of a transition, the new one; of a call, the one that let it in or not",
        STATE_FROM: "the state that a transition left",
        STATE_DURATION: "seconds that the circuit had been in the state it left",
        REASON: "why, in the words of whoever caused it",
        FAILURES: "failures that were counted when the state changed",
        GENERATION: "number of the stay in that state; a result of an earlier one is late",
        PROBE: "true when the call is a probe of a half-open circuit",
        OUTCOME: "`success`, `failure` (time-outs among them), `ignored` or `rejected`",
        RETRY_AFTER: "seconds until a call may be admitted again",
        HELD_BACK: "spans of this kind that were not made since the last one",
        LINK: "what a link leads to: `evidence`, `transition`, `publish` or `crash`",
        EVENT: "the event's name, such as `state_change`",
        EVENT_ID: "the event's id",
        MATCHED: "subscriptions that wanted the event",
        QUEUED: "subscriptions whose mailbox took it",
        SUBSCRIPTION: "the subscription's name",
        LAG: "seconds from the event to the start of its handler",
        DELIVERY: "the delivery's number in its subscription",
        REDELIVERED: "true when the handler is given the event again",
        BATCH_SIZE: "events that the handler is given together; absent for a single one",
        REASON_DROPPED: "why events were lost or held back: one of a fixed list",
        ACTOR_CLASS: "the actor's class",
        ACTOR_NAME: "the name under which it is found; absent if it has none",
        SUPERVISOR: "the supervisor's name or class",
        STRATEGY: "its strategy, such as `one_for_one`",
        RESTARTS: "how often the child has been started again",
        WHAT: "what it is about: `transition`, `refused`, `traces`, `metrics`, …",
        ERROR_TYPE: "the exception's class; `brama.CircuitOpenError` for ours",
        EXCEPTION_TYPE: "the exception's class",
        EXCEPTION_MESSAGE: "its text",
        EXCEPTION_STACKTRACE: "its traceback",
    }
)
"""What each attribute says, by its name."""


@attrs.frozen
class SpanName:
    """A kind of span. Its name is `verb` and one word of a bounded list, never a connection's id.

    `links` says what it points at besides its parent, `events` what happens during it.
    """

    verb: str
    word: str
    scope: str
    kind: str
    when: str
    attributes: tuple[str, ...]
    links: str = ""
    events: str = ""
    # One text for all spans of that name: a full queue holds thousands of them.
    _made: dict[str, str] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    def of(self, word: str) -> str:
        """The name of a span: ``TRANSITION.of("open")`` is ``"transition open"``."""
        made = self._made.get(word)
        if made is None:
            made = self._made[word] = f"{self.verb} {word}"
        return made


CALL: Final = SpanName(
    verb="call",
    word="pool",
    scope=CIRCUIT,
    kind="INTERNAL",
    when="a guarded call was refused, or a probe failed; every call and every report with "
    '`spans="calls"`',
    attributes=(
        CIRCUIT_NAME,
        CIRCUIT_SCOPE,
        POOL,
        STATE,
        GENERATION,
        PROBE,
        OUTCOME,
        REASON,
        RETRY_AFTER,
        HELD_BACK,
        ERROR_TYPE,
    ),
    links="of a refused call: the transition that closed the gate",
    events="`exception`, but for a refusal; `brama.circuit.state.changed`, once the call has moved "
    "the circuit",
)
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
        HELD_BACK,
    ),
    links="the failing calls that were its evidence, the last five of them",
)
PUBLISH: Final = SpanName(
    verb="publish",
    word="event",
    scope=NOTIFICATION,
    kind="PRODUCER",
    when="the registry gave an event to the subscriptions that match; child of its cause",
    attributes=(EVENT, EVENT_ID, CIRCUIT_NAME, CIRCUIT_SCOPE, STATE, STATE_FROM, MATCHED, QUEUED),
)
PROCESS: Final = SpanName(
    verb="process",
    word="event",
    scope=NOTIFICATION,
    kind="CONSUMER",
    when="a handler ran; child of the publish span up to a fan-out of 64, a root beyond, and of "
    "several events together",
    attributes=(
        EVENT,
        SUBSCRIPTION,
        CIRCUIT_NAME,
        CIRCUIT_SCOPE,
        LAG,
        DELIVERY,
        REDELIVERED,
        BATCH_SIZE,
        ERROR_TYPE,
    ),
    links="the publish span; of several events together each of theirs, at most 128",
)
RESTART: Final = SpanName(
    verb="restart",
    word="actor class",
    scope=ACTOR,
    kind="INTERNAL",
    when="a supervisor started a child again; a root",
    attributes=(ACTOR_CLASS, ACTOR_NAME, SUPERVISOR, STRATEGY, RESTARTS, HELD_BACK, ERROR_TYPE),
    links="the span in which the child crashed: of a handler, its `process` span",
)
SPANS: Final = (CALL, TRANSITION, PUBLISH, PROCESS, RESTART)


# What `brama check-telemetry` sends.
CHECK: Final = "brama.telemetry.check"
CHECK_SPAN: Final = "brama check-telemetry"


@attrs.frozen
class LogEventName:
    """A log record with an `event_name`: for machines its attributes, for people its body."""

    name: str
    scope: str
    when: str
    severity: str
    attributes: tuple[str, ...]


STATE_CHANGED: Final = LogEventName(
    name="brama.circuit.state.changed",
    scope=CIRCUIT,
    when="a circuit changed its state; correlated with the transition's span",
    severity="WARN to open, else INFO",
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
EXCEPTION: Final = LogEventName(
    name="brama.actor.process.exception",
    scope=ACTOR,
    when="an actor crashed, a handler raised, or a call that has a span failed; with "
    "`OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs` or `logs/dup`",
    severity="ERROR for an actor, WARN for a handler or a call",
    attributes=(
        ACTOR_CLASS,
        ACTOR_NAME,
        SUBSCRIPTION,
        EVENT,
        EXCEPTION_TYPE,
        EXCEPTION_MESSAGE,
        EXCEPTION_STACKTRACE,
        ERROR_TYPE,
    ),
)
LOG_EVENTS: Final = (STATE_CHANGED, EXCEPTION)
