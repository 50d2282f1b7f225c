"""The expectations: what must have held in a demonstration, each checked against the evidence."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import pairwise
from typing import Final

import attrs

import brama.telemetry
from brama.circuits import Event, State

from .callers import RUNTIMES
from .collector import Arrival
from .evidence import Evidence, counted, roots
from .script import Act

__all__ = ["Expectation", "Verdict", "check"]


class Verdict(StrEnum):
    """Whether an expectation held."""

    OK = "ok"
    FAILED = "FAILED"
    UNCHECKED = "not checked"


@attrs.frozen
class Expectation:
    """One thing that must have held, the verdict, and the figures behind it."""

    text: str
    verdict: Verdict
    detail: str


Finding = tuple[bool, str]


def check(evidence: Evidence) -> list[Expectation]:
    """All expectations with their verdicts, in the order of the story."""
    found = [_held(text, test, evidence) for text, test in _OF_THE_SERVICE]
    if evidence.arrivals.arrival is Arrival.SEEN:
        return [*found, *(_held(text, test, evidence) for text, test in _OF_ARRIVAL)]
    why = {
        Arrival.ACCEPTED: f"{evidence.arrivals.endpoint} took the spans; look there",
        Arrival.LOST: f"{evidence.arrivals.endpoint} did not take the spans",
        Arrival.OFF: "telemetry is switched off",
    }[evidence.arrivals.arrival]
    return [*found, *(Expectation(text, Verdict.UNCHECKED, why) for text, _ in _OF_ARRIVAL)]


def _held(text: str, test: Callable[[Evidence], Finding], evidence: Evidence) -> Expectation:
    try:
        held, detail = test(evidence)
    except Exception as error:  # noqa: BLE001 - evidence that lacks what is looked for
        held, detail = False, f"could not be told: {error!r}"
    return Expectation(text, Verdict.OK if held else Verdict.FAILED, detail)


# The service


def _healthy(evidence: Evidence) -> Finding:
    status = evidence.statuses["catalog"]
    return (
        not evidence.transitions("catalog") and status.successes > 0,
        f"{status.successes:,} calls went well, {status.failures} failed",
    )


def _opened_by_errors(evidence: Evidence) -> Finding:
    return _opened(evidence, Act.FAIL, "payments", ("UpstreamError: HTTP 500",))


def _opened_by_silence(evidence: Evidence) -> Finding:
    # The words of the three runtimes for a deadline that has passed.
    return _opened(evidence, Act.HANG, "search", ("Timeout", "TooSlow"))


def _opened(evidence: Evidence, act: Act, name: str, reasons: tuple[str, ...]) -> Finding:
    broken = evidence.moments[act, name]
    openings = [event for event in evidence.transitions(name) if _to(event) is State.OPEN]
    after = openings[0].monotonic - broken
    allowed = 5 * evidence.options.deadline + 0.75
    why = str(openings[0].data["reason"])
    right = all(any(word in str(one.data["reason"]) for word in reasons) for one in openings)
    return right and 0 < after < allowed, f"{after * 1e3:,.0f} ms after it began, by {why}"


def _refused(evidence: Evidence) -> Finding:
    made = evidence.statuses
    right = all(
        made[name].refused > 0 and evidence.hits[name] <= made[name].calls
        for name in ("payments", "search")
    )
    refused = sum(made[name].refused for name in made)
    return right, f"{refused:,} were refused, none reached an upstream"


def _every_runtime(evidence: Evidence) -> Finding:
    troubled = [caller for caller in evidence.callers if caller.upstream.name != "catalog"]
    return (
        all(caller.succeeded and caller.refused for caller in troubled)
        and {caller.runtime for caller in troubled} == set(RUNTIMES),
        ", ".join(
            f"{runtime} {sum(c.attempts for c in evidence.callers if c.runtime == runtime):,}"
            for runtime in RUNTIMES
        ),
    )


def _exact(evidence: Evidence) -> Finding:
    differences: list[str] = []
    for name, status in evidence.statuses.items():
        callers = [caller for caller in evidence.callers if caller.upstream.name == name]
        ours = [sum(c.succeeded for c in callers), sum(c.failed for c in callers)]
        ours.append(sum(c.refused for c in callers))
        theirs = [status.successes, status.failures, status.refused]
        if ours != theirs:
            differences.append(f"{name}: callers counted {ours}, the circuit {theirs}")
    total = sum(caller.attempts for caller in evidence.callers)
    return not differences, "; ".join(differences) or f"{total:,} calls, no difference"


def _healed(evidence: Evidence) -> Finding:
    times: list[str] = []
    for name in ("payments", "search"):
        last = evidence.transitions(name)[-1]
        closed = evidence.statuses[name].state is State.CLOSED and _to(last) is State.CLOSED
        after = last.monotonic - evidence.moments[Act.HEAL, name]
        if not closed or after < 0:
            return False, f"{name} is {evidence.statuses[name].state}"
        times.append(f"{name} {after:.1f} s")
    return True, f"{' and '.join(times)} after healing"


def _chain(evidence: Evidence) -> Finding:
    for name in evidence.statuses:
        path = [State.CLOSED]
        for event in evidence.transitions(name):
            if event.data["previous_state"] is not path[-1]:
                return False, f"{name} went from {event.data['previous_state']}, was {path[-1]}"
            path.append(_to(event))
        if not all(step in _LEGAL for step in pairwise(path)):
            return False, f"{name}: {' → '.join(path)}"
    return True, f"{len(evidence.transitions())} changes of state"


_LEGAL: Final = {
    (State.CLOSED, State.OPEN),
    (State.OPEN, State.HALF_OPEN),
    (State.HALF_OPEN, State.OPEN),
    (State.HALF_OPEN, State.CLOSED),
}


def _filters(evidence: Evidence) -> Finding:
    handlers = evidence.handlers
    searches = evidence.transitions("search")
    paged = [
        event
        for event in evidence.transitions("payments")
        if _to(event) in (State.OPEN, State.CLOSED)
    ]
    right = (
        [event.event_id for event in handlers.dashboard.events]
        == [event.event_id for event in searches]
        and {event.event for event in handlers.pager.events} == {"circuit_opened", "circuit_closed"}
        and {event.connection for event in handlers.pager.events} == {"payments"}
        and len(handlers.pager.events) == len(paged)
    )
    return right, f"Pager {len(handlers.pager.events)}, Dashboard {len(handlers.dashboard.events)}"


def _at_home(evidence: Evidence) -> Finding:
    dashboard = evidence.handlers.dashboard
    return (
        dashboard.home is not None and dashboard.threads == {dashboard.home},
        f"{len(dashboard.events)} events, all on its asyncio loop",
    )


def _raised(evidence: Evidence) -> Finding:
    pager = evidence.handlers.pager
    first = pager.events[0]
    assert pager.failed is not None
    return (
        first.event_id == pager.failed.event_id
        and first.redelivered
        and first.n == pager.failed.n
        and sum(event.redelivered for event in pager.events) == 1
        and evidence.restarts("Pager") == 1,
        f"delivery {first.n} came again, before {pager.events[1].n}",
    )


def _killed(evidence: Evidence) -> Finding:
    book = evidence.handlers.book
    assert book.interrupted is not None
    again = [event for event in book.entries if event.redelivered]
    return (
        [event.event_id for event in again] == [book.interrupted.event_id]
        and book.openings == 2
        and evidence.restarts("Ledger") == 1,
        f"{again[0].event} came again to its successor",
    )


def _carried_on(evidence: Evidence) -> Finding:
    registry = evidence.tree.find("registry")
    restarts = 0 if registry is None else registry.restarts
    killed = evidence.moments[Act.KILL_ACTOR, "registry"]
    after = [event for event in evidence.handlers.book.entries if event.monotonic > killed]
    return restarts == 1 and bool(after), f"{len(after)} events went through its successor"


def _nothing_lost(evidence: Evidence) -> Finding:
    book = evidence.handlers.book
    numbers = {
        name: [event.seq for event in book.entries if event.connection == name]
        for name in evidence.statuses
    }
    # Two critical events for each change of state: state_change and circuit_….
    right = all(
        numbers[name] == list(range(1, 2 * len(evidence.transitions(name)) + 1)) for name in numbers
    )
    shown = ", ".join(f"{name} 1–{seqs[-1]}" for name, seqs in numbers.items() if seqs)
    return right, f"seq gapless: {shown}"


def _well(evidence: Evidence) -> Finding:
    health = evidence.health
    return health.status == "ok" and health.dead_letters == 0, f"health {health.status}"


def _stopped(evidence: Evidence) -> Finding:
    problems = [*evidence.stop.killed, *evidence.stop.unstoppable, *evidence.faults]
    return (
        evidence.stop.complete and not problems,
        "; ".join(problems) or f"the tree ended in {evidence.stop.elapsed * 1e3:.0f} ms",
    )


_OF_THE_SERVICE: Final = (
    ("the healthy upstream was never refused", _healthy),
    ("an upstream that answers 500 opened its circuit", _opened_by_errors),
    ("an upstream that hangs opened its circuit", _opened_by_silence),
    ("open circuits refused calls, and made none", _refused),
    ("threads, asyncio and trio were served, and refused", _every_runtime),
    ("every call was counted exactly", _exact),
    ("healed upstreams were probed and their circuits closed", _healed),
    ("every change of state was told, in order", _chain),
    ("subscribers received what they asked for, no more", _filters),
    ("an async handler ran on its own loop", _at_home),
    ("a handler that raised got the event again", _raised),
    ("a handler actor that was killed was restarted", _killed),
    ("the registry was killed, and its successor carried on", _carried_on),
    ("nothing critical was lost to either", _nothing_lost),
    ("the system was well until the end", _well),
    ("everything stopped in order", _stopped),
)


# What arrived at the receiver


def _failing_roots(evidence: Evidence) -> Finding:
    root_of = roots(evidence.arrivals.spans)
    openings = [span for span in evidence.arrivals.spans if span.name == "transition open"]
    above = [root_of[span.span_id] for span in openings]
    right = all(root.name.startswith("request ") and root.status == "ERROR" for root in above)
    return bool(openings) and right, f"{len(openings)} openings"


def _transition_spans(evidence: Evidence) -> Finding:
    spans = [span for span in evidence.arrivals.spans if span.name.startswith("transition ")]
    arrived = counted(span.name.removeprefix("transition ") for span in spans)
    told = counted(_to(event).value for event in evidence.transitions())
    return bool(told) and arrived == told, f"{sum(arrived.values())} of {sum(told.values())}"


def _publish_spans(evidence: Evidence) -> Finding:
    spans = evidence.arrivals.spans
    transitions = {span.span_id for span in spans if span.name.startswith("transition ")}
    publications = [span for span in spans if span.name.startswith("publish ")]
    right = all(span.parent_id in transitions for span in publications)
    told = 2 * len(evidence.transitions())
    return right and 0 < len(publications) == told, f"{len(publications)} of {told}"


def _process_spans(evidence: Evidence) -> Finding:
    spans = [span for span in evidence.arrivals.spans if span.name.startswith("process ")]
    arrived = counted(str(span.attributes[brama.telemetry.names.SUBSCRIPTION]) for span in spans)
    made = counted(delivery.subscriber for delivery in evidence.handlers.tail.since(0))
    right = bool(made) and arrived == made
    shown = f"{sum(arrived.values())} of {sum(made.values())}"
    return right, shown if right else f"arrived {arrived}, made {made}"


def _metric(evidence: Evidence) -> Finding:
    latest = {
        tuple(sorted(point.attributes.items())): point.value
        for point in evidence.arrivals.metrics
        if point.name == brama.telemetry.names.TRANSITIONS.name
    }
    told = len(evidence.transitions())
    return sum(latest.values()) == told, f"{sum(latest.values()):.0f} of {told}"


_OF_ARRIVAL: Final = (
    ("each opening hangs below the call that failed", _failing_roots),
    ("a span of every change of state arrived", _transition_spans),
    ("a span of every publication arrived below it", _publish_spans),
    ("a span of every delivery arrived", _process_spans),
    ("the transition counter agrees", _metric),
)


def _to(event: Event) -> State:
    return State(event.data["new_state"])
