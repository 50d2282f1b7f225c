"""The occurrences that Brama announces on its hook bus, each once, with what it tells.

Those who announce take the name from here, those who listen find here what they are given, and
the table in the documentation is made from it. A *measurement* is a number that can be summed or
averaged; *metadata* says whom it is about. Times are in seconds: `system_time` since the epoch,
`monotonic_time` by the monotonic clock, `duration` between two readings of it.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = [
    "ACTOR_CRASH",
    "ACTOR_DEAD_LETTER",
    "ACTOR_RESTART",
    "ACTOR_STALL",
    "ACTOR_START",
    "ACTOR_STOP",
    "CALL_FAILED",
    "CALL_REFUSED",
    "CALL_SUCCEEDED",
    "CHILD_QUARANTINED",
    "CIRCUIT_REGISTERED",
    "CIRCUIT_TRANSITION",
    "CIRCUIT_UNREGISTERED",
    "EVENT_DROPPED",
    "EVENT_PROCESS",
    "EVENT_PUBLISHED",
    "HANDLER_FAILURE",
    "HOOKS",
    "METRICS_OVERFLOW",
    "REGISTRY_DISPATCH_FAILED",
    "SUBSCRIPTION_QUARANTINED",
    "SUPERVISOR_EXHAUSTED",
    "TREE_LOST",
    "HookName",
]


@attrs.frozen
class HookName:
    """One kind of occurrence: its name, when it is announced, and what comes with it.

    `span` marks the prefix of three: ``.start``, ``.stop`` and ``.exception``.
    """

    name: str
    when: str
    measurements: tuple[str, ...]
    metadata: tuple[str, ...]
    span: bool = False


ACTOR_START: Final = "brama.actor.start"
ACTOR_STOP: Final = "brama.actor.stop"
ACTOR_CRASH: Final = "brama.actor.crash"
ACTOR_RESTART: Final = "brama.actor.restart"
ACTOR_STALL: Final = "brama.actor.stall"
ACTOR_DEAD_LETTER: Final = "brama.actor.dead_letter"
REGISTRY_DISPATCH_FAILED: Final = "brama.registry.dispatch_failed"
SUPERVISOR_EXHAUSTED: Final = "brama.supervisor.exhausted"
CHILD_QUARANTINED: Final = "brama.supervisor.quarantined"
TREE_LOST: Final = "brama.supervisor.tree_lost"
CIRCUIT_TRANSITION: Final = "brama.circuit.transition"
CIRCUIT_REGISTERED: Final = "brama.circuit.registered"
CIRCUIT_UNREGISTERED: Final = "brama.circuit.unregistered"
CALL_REFUSED: Final = "brama.circuit.call.refused"
CALL_FAILED: Final = "brama.circuit.call.failed"
CALL_SUCCEEDED: Final = "brama.circuit.call.succeeded"
EVENT_PUBLISHED: Final = "brama.notification.publish"
EVENT_PROCESS: Final = "brama.notification.process"
EVENT_DROPPED: Final = "brama.notification.drop"
SUBSCRIPTION_QUARANTINED: Final = "brama.notification.quarantined"
HANDLER_FAILURE: Final = "brama.telemetry.handler_failure"
METRICS_OVERFLOW: Final = "brama.telemetry.pools_exhausted"

# `name` is what it is registered as, or None; `actor` is its ref as text.
_ACTOR: Final = ("actor_class", "name", "actor", "system")

HOOKS: Final = (
    HookName(
        ACTOR_START,
        "an actor has started: its `on_start` has returned",
        ("system_time", "duration"),
        _ACTOR,
    ),
    HookName(
        ACTOR_STOP,
        "an actor has ended in order; `duration` is how long it lived",
        ("system_time", "duration"),
        (*_ACTOR, "reason"),
    ),
    HookName(
        ACTOR_CRASH,
        "an actor has ended by an exception",
        ("system_time", "duration"),
        (*_ACTOR, "reason", "error_type", "context"),
    ),
    HookName(
        ACTOR_RESTART,
        "a supervisor has started a child again; `count` is its restarts so far, `duration` how "
        "long it was away",
        ("system_time", "count", "duration"),
        (*_ACTOR, "supervisor", "strategy", "reason", "error_type", "context"),
    ),
    HookName(
        ACTOR_STALL,
        "a hook has held its loop for longer than it may; `duration` is how long it has so far",
        ("system_time", "duration"),
        (*_ACTOR, "hook", "message_type", "task", "stack"),
    ),
    HookName(
        ACTOR_DEAD_LETTER,
        "a message had no one left to take it",
        ("system_time", "count"),
        (*_ACTOR, "reason", "message", "message_type", "sender"),
    ),
    HookName(
        REGISTRY_DISPATCH_FAILED,
        "an entry of a duplicate registry, or its filter, has raised while others were served",
        ("count",),
        ("actor_class", "key", "error_type"),
    ),
    HookName(
        SUPERVISOR_EXHAUSTED,
        "a supervisor has seen more restarts than its intensity allows, and gives up",
        ("system_time", "count", "seconds"),
        (*_ACTOR, "supervisor", "strategy", "reason", "error_type", "context"),
    ),
    HookName(
        CHILD_QUARANTINED,
        "a child has ended too often and is set aside; its supervisor goes on",
        ("system_time", "count", "seconds"),
        (*_ACTOR, "supervisor", "strategy", "reason", "error_type", "context"),
    ),
    HookName(
        TREE_LOST,
        "a whole supervision tree is gone, by exhaustion of its root or because its loop died, "
        "and starts again after a pause; `count` is how often so far",
        ("system_time", "count"),
        ("system", "reason"),
    ),
    HookName(
        CIRCUIT_TRANSITION,
        "a circuit has changed its state; `duration` is how long it was in the state it left",
        ("system_time", "duration", "failure_count"),
        ("connection", "scope", "pool", "previous_state", "new_state", "reason", "context"),
    ),
    HookName(
        CIRCUIT_REGISTERED,
        "a circuit was registered: it admits calls and counts from nothing",
        ("system_time",),
        ("connection", "scope", "pool"),
    ),
    HookName(
        CIRCUIT_UNREGISTERED,
        "a circuit was taken out, by `unregister` or because it was idle; the next call registers "
        "it again",
        ("system_time",),
        ("connection", "scope", "pool", "reason"),
    ),
    HookName(
        CALL_REFUSED,
        "a guarded call was refused",
        ("system_time",),
        ("connection", "scope", "pool", "state", "reason"),
    ),
    HookName(
        CALL_FAILED,
        "a guarded call has failed and was counted so; `timed_out` says whether it took too long. "
        "While anyone listens, all calls are timed",
        ("system_time", "duration"),
        ("connection", "scope", "pool", "state", "reason", "error_type", "probe", "timed_out"),
    ),
    HookName(
        CALL_SUCCEEDED,
        "a guarded call has gone well; while anyone listens, each of them pays for it",
        ("system_time", "duration"),
        ("connection", "scope", "pool", "state"),
    ),
    HookName(
        EVENT_PUBLISHED,
        "the registry has given an event to the subscriptions that match",
        ("system_time", "matched", "queued"),
        ("event", "event_id", "connection", "scope"),
    ),
    HookName(
        EVENT_PROCESS,
        "a handler is given an event; `lag` is how long the event was on its way",
        ("lag",),
        ("event", "subscription", "connection", "scope", "n", "redelivered"),
        span=True,
    ),
    HookName(
        EVENT_DROPPED,
        "events were lost on their way to a subscription, or held back from it",
        ("system_time", "count"),
        ("event", "subscription", "reason"),
    ),
    HookName(
        SUBSCRIPTION_QUARANTINED,
        "a handler has crashed too often and is given nothing any more",
        ("system_time",),
        ("subscription", "reason"),
    ),
    HookName(
        HANDLER_FAILURE,
        "a listener, enricher or severity provider has raised and was detached; `role` says which",
        ("system_time", "monotonic_time"),
        ("id", "role", "event", "events", "handler", "config", "kind", "reason", "stacktrace"),
    ),
    HookName(
        METRICS_OVERFLOW,
        "more connections than metrics tell apart; told once",
        ("system_time", "count"),
        ("connection",),
    ),
)
"""Every occurrence that Brama announces."""
