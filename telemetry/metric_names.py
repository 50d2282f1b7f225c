"""The metrics that Brama shows, and the bounded attributes that they have.

Units are UCUM's; names have no ``_total``, for exporters add it where it belongs.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

__all__ = [
    "ACTORS",
    "ACTOR_CLASS",
    "CALLS",
    "CIRCUITS",
    "CRASHES",
    "DEAD_LETTERS",
    "DELIVERED",
    "DROPPED",
    "DURATION",
    "LAG",
    "MAILBOX",
    "METRICS",
    "PROCESSED",
    "PUBLISHED",
    "RESTARTED",
    "STATUS",
    "TRANSITIONS",
    "MetricName",
]

# Scopes, so that an operator can switch one part of Brama off by its scope.
CIRCUIT: Final = "brama.circuit"
NOTIFICATION: Final = "brama.notification"
ACTOR: Final = "brama.actor"
TELEMETRY: Final = "brama.telemetry"

POOL: Final = "pool"
STATE: Final = "brama.circuit.state"
STATE_FROM: Final = "brama.circuit.state.from"
OUTCOME: Final = "brama.circuit.call.outcome"
EVENT: Final = "brama.notification.event"
SUBSCRIPTION: Final = "brama.notification.subscription"
REASON_DROPPED: Final = "brama.notification.drop.reason"
ACTOR_CLASS: Final = "brama.actor.class"
WHAT: Final = "brama.telemetry.what"
ERROR_TYPE: Final = "error.type"

Kind = Literal["counter", "updowncounter", "histogram"]

BOUNDARIES: Final = (
    0.00001,
    0.0001,
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
)
"""Of the histograms, in seconds: the conventions' own, and three decades below for what does not
leave the process."""


@attrs.frozen
class MetricName:
    """A metric: its name, its unit, what it counts, its bounded attributes and its instrument.

    ``counter`` and ``updowncounter`` are observable ones, read when metrics are collected.
    """

    name: str
    scope: str
    unit: str
    description: str
    attributes: tuple[str, ...]
    kind: Kind = "counter"


CALLS: Final = MetricName(
    name="brama.circuit.calls",
    scope=CIRCUIT,
    unit="{call}",
    description="Guarded calls that are over, and those that were refused.",
    attributes=(POOL, OUTCOME),
)
DURATION: Final = MetricName(
    name="brama.circuit.call.duration",
    scope=CIRCUIT,
    unit="s",
    description='How long guarded calls took; of those that have a span, with `spans="calls"`.',
    attributes=(POOL, OUTCOME, ERROR_TYPE),
    kind="histogram",
)
TRANSITIONS: Final = MetricName(
    name="brama.circuit.transitions",
    scope=CIRCUIT,
    unit="{transition}",
    description="State changes of circuits.",
    attributes=(POOL, STATE, STATE_FROM),
)
STATUS: Final = MetricName(
    name="brama.circuit.status",
    scope=CIRCUIT,
    unit="1",
    description="1 for the state that a circuit is in, 0 for the others; up to 200 circuits.",
    attributes=(POOL, STATE),
    kind="updowncounter",
)
CIRCUITS: Final = MetricName(
    name="brama.circuit.count",
    scope=CIRCUIT,
    unit="{breaker}",
    description="Registered circuits.",
    attributes=(STATE,),
    kind="updowncounter",
)
PUBLISHED: Final = MetricName(
    name="brama.notification.published",
    scope=NOTIFICATION,
    unit="{event}",
    description="Events given to the subscriptions that match.",
    attributes=(EVENT,),
)
DELIVERED: Final = MetricName(
    name="brama.notification.delivered",
    scope=NOTIFICATION,
    unit="{event}",
    description="Deliveries that a handler has dealt with.",
    attributes=(),
)
DROPPED: Final = MetricName(
    name="brama.notification.dropped",
    scope=NOTIFICATION,
    unit="{event}",
    description="Events that were lost on their way to a handler, or held back from it.",
    attributes=(REASON_DROPPED,),
)
LAG: Final = MetricName(
    name="brama.notification.lag",
    scope=NOTIFICATION,
    unit="s",
    description="From the event to the start of its handler.",
    attributes=(EVENT,),
    kind="histogram",
)
PROCESSED: Final = MetricName(
    name="brama.notification.process.duration",
    scope=NOTIFICATION,
    unit="s",
    description="How long handlers took.",
    attributes=(EVENT, ERROR_TYPE),
    kind="histogram",
)
ACTORS: Final = MetricName(
    name="brama.actor.count",
    scope=ACTOR,
    unit="{actor}",
    description="Actors that are alive.",
    attributes=(ACTOR_CLASS,),
    kind="updowncounter",
)
MAILBOX: Final = MetricName(
    name="brama.actor.mailbox.depth",
    scope=ACTOR,
    unit="{message}",
    description="Messages that wait in mailboxes.",
    attributes=(ACTOR_CLASS,),
    kind="updowncounter",
)
CRASHES: Final = MetricName(
    name="brama.actor.crashes",
    scope=ACTOR,
    unit="{crash}",
    description="Actors that ended by an exception.",
    attributes=(ACTOR_CLASS, ERROR_TYPE),
)
RESTARTED: Final = MetricName(
    name="brama.actor.restarts",
    scope=ACTOR,
    unit="{restart}",
    description="Children that a supervisor started again.",
    attributes=(ACTOR_CLASS, ERROR_TYPE),
)
DEAD_LETTERS: Final = MetricName(
    name="brama.actor.dead_letters",
    scope=ACTOR,
    unit="{message}",
    description="Messages that had no one left to take them.",
    attributes=(ACTOR_CLASS,),
)
HELD_BACK: Final = MetricName(
    name="brama.telemetry.held_back",
    scope=TELEMETRY,
    unit="{span}",
    description="Spans and log events that were not made, to bound their number.",
    attributes=(WHAT,),
)
LOST: Final = MetricName(
    name="brama.telemetry.export.lost",
    scope=TELEMETRY,
    unit="{item}",
    description="Spans, metrics and log records whose export failed for good.",
    attributes=(WHAT,),
)
ERRORS: Final = MetricName(
    name="brama.telemetry.errors",
    scope=TELEMETRY,
    unit="{error}",
    description="Faults of telemetry that the service did not notice.",
    attributes=(ERROR_TYPE,),
)
SKEWED: Final = MetricName(
    name="brama.telemetry.clock_skew",
    scope=TELEMETRY,
    unit="{event}",
    description="Lags that a clock set back would have made negative; they count as 0.",
    attributes=(),
)
TRUNCATED: Final = MetricName(
    name="brama.notification.truncated",
    scope=NOTIFICATION,
    unit="{event}",
    description="Events whose data was cut to 20 kB when they left the process or were stored.",
    attributes=(),
)
UNKNOWN_KINDS: Final = MetricName(
    name="brama.circuit.unknown_kinds",
    scope=CIRCUIT,
    unit="{circuit}",
    description="Kinds of connections that there are not, and that were taken for `other`.",
    attributes=(),
)
METRICS: Final = (
    CALLS,
    DURATION,
    TRANSITIONS,
    STATUS,
    CIRCUITS,
    PUBLISHED,
    DELIVERED,
    DROPPED,
    LAG,
    PROCESSED,
    ACTORS,
    MAILBOX,
    CRASHES,
    RESTARTED,
    DEAD_LETTERS,
    HELD_BACK,
    LOST,
    ERRORS,
    SKEWED,
    TRUNCATED,
    UNKNOWN_KINDS,
)
