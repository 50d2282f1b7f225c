"""The sections of the page with the figures: which contests stand together, and what they tell."""

from __future__ import annotations

import attrs

__all__ = ["GUARDS", "OTHERS", "SECTIONS", "Section"]


@attrs.frozen
class Section:
    """A part of the page.

    Attributes:
        name: of its chart.
        title: its heading.
        text: what the reader should know.
        benches: the contests, in this order.
    """

    name: str
    title: str
    text: str
    benches: tuple[str, ...]


SECTIONS = (
    Section(
        "calls",
        "Guarded calls",
        "A closed circuit of a started system that nobody listens to, with the default policy and "
        "a function that counts its calls. circuitbreaker's `with` block and its `call` only "
        "count: they refuse nothing when it is open.",
        ("sync", "call", "guard", "async", "async-with", "failure", "threads", "by-threads"),
    ),
    Section(
        "policies",
        "Windows and slow calls",
        "circuitbreaker has neither; interlock always keeps a window of 100 calls and times them.",
        ("count-window", "time-window", "slow-timing", "all-timed", "by-window"),
    ),
    Section(
        "refusals",
        "Refused calls",
        "An open circuit. `try_acquire()` has no counterpart in the other libraries.",
        ("refusal", "refusal-raised", "refusal-async"),
    ),
    Section(
        "actors",
        "Actors",
        "pykka's actors are `ThreadingActor`; Erlang's are processes without OTP's behaviours. A "
        "bare deque in one thread is what no mailbox can undercut.",
        ("tell", "burst", "ping-pong", "ask", "start", "stop", "idle-actor"),
    ),
    Section(
        "dispatch",
        "Dispatch of events",
        "Ten subscribers match, all others do not. blinker calls its receivers there and then, in "
        "the sender's thread, without queue or redelivery; Elixir's Registry sends to processes.",
        ("dispatch", "dispatch-workers", "by-subscribers", "by-matches"),
    ),
    Section(
        "transitions",
        "Transitions",
        "What the failing call pays that opens a circuit, and when a handler has been told.",
        ("transition", "transition-lone", "heard"),
    ),
    Section(
        "end-to-end",
        "End to end",
        "The upstream is a server on loopback. Time begins when it hangs up on its caller: the "
        "client's read, the guarded call and the transition are in it.",
        ("upstream-handler", "upstream-journal", "sustained"),
    ),
    Section(
        "lag",
        "Lag of the loop",
        "An actor wants to wake each 2 ms, while another thread keeps its system busy, or the "
        "interpreter: CPython hands over every 5 ms at the latest, to whoever waits.",
        ("lag",),
    ),
    Section(
        "journal",
        "The journal",
        "With the disk's confirmation, as by default, and without.",
        ("journal", "journal-append"),
    ),
    Section(
        "telemetry",
        "Telemetry",
        "The same work with an OpenTelemetry SDK and without (`off`).",
        (
            "call-traced",
            "refusal-traced",
            "transition-traced",
            "delivery-traced",
            "encode-traced",
            "collection",
            "kept-traced",
            "outage",
        ),
    ),
    Section(
        "footprint",
        "Memory and start",
        "Resident memory, in a fresh interpreter each.",
        ("import", "idle-circuit", "open-circuit", "register", "exit"),
    ),
    Section(
        "connections",
        "Up to a million circuits",
        "One process, one run for each number, in a fresh interpreter. A sweep looks for idle "
        "circuits in slices, between which the loop has its turn.",
        (
            "by-connections-bytes",
            "by-connections-register",
            "by-connections-call",
            "by-connections-snapshot",
            "by-connections-sweep",
            "by-connections-slice",
            "overview",
        ),
    ),
)

GUARDS = (
    ("decorated function", "sync"),
    ("decorated coroutine function", "async"),
    ("`with` block", "guard"),
    ("`async with` block", "async-with"),
    ("`call(function)`", "call"),
    ("the call fails", "failure"),
    ("refused, raised", "refusal-raised"),
    ("refused, in a coroutine", "refusal-async"),
    ("refused, `try_acquire()`", "refusal"),
    ("8 threads at once", "threads"),
    ("window of calls", "count-window"),
    ("window of time, slow calls", "all-timed"),
)
"""The rows of the README's table of guards."""

OTHERS = (
    ("tell an actor, from another thread", "tell"),
    ("tells from actor to actor", "burst"),
    ("ask, from another thread", "ask"),
    ("start an actor", "start"),
    ("an idle actor", "idle-actor"),
    ("deliveries, 10 of 10 000 subscribers match", "dispatch"),
    ("the call that opens a circuit", "transition"),
    ("… until an inline handler runs, p50", "heard"),
    ("upstream hangs up until a handler runs, p50", "upstream-handler"),
    ("… until the event is on disk, p50", "upstream-journal"),
    ("transitions through handler and journal", "sustained"),
    ("events into the journal, confirmed by the disk", "journal"),
    ("a registered circuit", "idle-circuit"),
    ("… with its connection actor", "open-circuit"),
    ("a circuit among a million", "by-connections-bytes"),
    ("`import brama`", "import"),
)
"""The rows of the README's other table."""
