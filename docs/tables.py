"""Sphinx directives that make the tables of the documentation from the code's own lists.

``{brama-events}``, ``{brama-event-data}``, ``{brama-entries}``, ``{brama-connection-kinds}``,
``{brama-severities}``, ``{brama-policy}``,
``{brama-drawings}``, ``{brama-spans}``, ``{brama-metrics}``: each list stands in one place of the
code, and a page cannot fall behind it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from brama.circuits import (
    DATA,
    EVENTS,
    OPTIONS,
    ConnectionKind,
    CountWindow,
    Policy,
    State,
    TimeWindow,
    failing_for,
    intermittent,
    simulate,
    slow,
)
from brama.circuits.events import severity_of
from brama.notifier import ENTRIES
from brama.telemetry import names

# Kinds that can be subscribed to and that nothing sends yet.
LATER: frozenset[str] = frozenset()


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def events() -> str:
    return markdown(
        ("event", "when", "critical", "severity", "`data`"),
        [
            (
                f"`{kind.name}`",
                kind.when + (" (not sent yet)" if kind.name in LATER else ""),
                "yes" if kind.critical else "",
                kind.severity.value,
                code(kind.data),
            )
            for kind in EVENTS.values()
        ],
    )


def event_data() -> str:
    return markdown(("key", ""), [(f"`{field.name}`", field.meaning) for field in DATA.values()])


def connection_kinds() -> str:
    # An enumeration keeps no docstring of its members: they are where they are defined.
    lines = inspect.getsource(ConnectionKind).splitlines()
    meanings = {
        line.partition('"')[2].rstrip('"'): below.strip().strip('".').replace("``", "`")
        for line, below in pairwise(lines)
        if " = " in line
    }
    return markdown(
        ("kind", ""), [(f"`{kind.value}`", meanings[kind.value]) for kind in ConnectionKind]
    )


def entries() -> str:
    return markdown(
        ("entry", "when", "`subject`", "`data`"),
        [(f"`{kind.name}`", kind.when, kind.subject, code(kind.data)) for kind in ENTRIES.values()],
    )


def severities() -> str:
    by_state = [name for name in EVENTS if len({severity_of(name, one) for one in State}) > 1]
    return markdown(
        ("state", f"severity of {code(by_state)}"),
        [(f"`{state.value}`", severity_of(by_state[0], state).value) for state in State],
    )


def policy() -> str:
    defaults = Policy()
    derived = {"initial_expiry": "`expiry`", "max_expiry": "10 × `expiry`"}
    derived["half_open_timeout"] = "`expiry`"
    derived["health_timeout"] = "half of `health_interval`"
    derived["trip"] = "`ConsecutiveFailures(failure_threshold)`"
    meanings = arguments(Policy)
    return markdown(
        ("option", "default", "meaning"),
        [
            (
                f"`{option}`",
                derived.get(option) or shown(getattr(defaults, option)),
                meanings[option],
            )
            for option in OPTIONS
        ],
    )


def arguments(documented: type) -> dict[str, str]:
    """What the docstring of a class says of its arguments."""
    text = inspect.getdoc(documented) or ""
    section = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if not line.startswith("     "):
            name, _, line = line.strip().partition(":")
            meanings[name] = ""
        meanings[name] = f"{meanings[name]} {line.strip()}".strip()
    return {
        name: meaning.replace("``", "`").replace("|", "\\|") for name, meaning in meanings.items()
    }


POLICIES = {
    "`ConsecutiveFailures(5)`, the default": Policy(expiry=20.0),
    "`CountWindow(size=20, rate=0.5, minimum=10)`": Policy(
        trip=CountWindow(size=20, rate=0.5), expiry=20.0
    ),
    "`TimeWindow(seconds=10, rate=0.2, minimum=5)`": Policy(
        trip=TimeWindow(seconds=10, rate=0.2, minimum=5), expiry=20.0
    ),
    "the same, with `slow_after=2.0, slow_rate=0.5`": Policy(
        trip=TimeWindow(seconds=10, rate=0.2, minimum=5), slow_after=2.0, slow_rate=0.5, expiry=20.0
    ),
    '`expiry_strategy="progressive"`, from 5 s': Policy(
        expiry=5.0, expiry_strategy="progressive", jitter=0.0
    ),
}
SCENARIOS = (failing_for(45.0), intermittent(0.3), slow(5.0))


def drawings() -> str:
    """What each policy does to the same outages: simulated, and drawn."""
    parts: list[str] = []
    for scenario in SCENARIOS:
        parts.append(f"**{scenario.name.capitalize()}**, a call every {scenario.every:g} s\n")
        lines: list[str] = []
        rows: list[Sequence[str]] = []
        for number, (name, rules) in enumerate(POLICIES.items(), 1):
            happened = simulate(rules, scenario, seed=1)
            states, calls = happened.text().splitlines()
            lines += [f"{number} {states}", f"  {calls}", ""]
            rows.append(
                (
                    str(number),
                    name,
                    at(happened.opened_at),
                    str(happened.count("failure")),
                    str(happened.count("refused")),
                )
            )
        parts.append("```text\n" + "\n".join(lines[:-1]) + "\n```\n")
        head = ("", "policy", "opens at", "calls that failed", "refused")
        parts.append(markdown(head, rows) + "\n")
    return "\n".join(parts)


def at(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`({code(kind.__name__ for kind in value).replace('`', '')})`"
    return f"`{value!r}`"


def spans() -> str:
    return markdown(
        ("span", "kind", "when", "attributes", "links to", "events"),
        [
            (
                f"`{span.verb}` *{span.word}*",
                span.kind,
                span.when,
                code(span.attributes),
                span.links,
                span.events,
            )
            for span in names.SPANS
        ],
    )


def metrics() -> str:
    return markdown(
        ("metric", "kind", "unit", "counts", "attributes"),
        [
            (
                f"`{metric.name}`",
                metric.kind,
                f"`{metric.unit}`",
                metric.description,
                code(metric.attributes),
            )
            for metric in names.METRICS
        ],
    )


def log_events() -> str:
    return markdown(
        ("event", "severity", "when", "attributes"),
        [
            (f"`{event.name}`", event.severity, event.when, code(event.attributes))
            for event in names.LOG_EVENTS
        ],
    )


def hooks() -> str:
    return markdown(
        ("occurrence", "when", "measurements", "metadata"),
        [
            (
                f"`{hook.name}.*`" if hook.span else f"`{hook.name}`",
                hook.when,
                code(hook.measurements),
                code(hook.metadata),
            )
            for hook in names.HOOKS
        ],
    )


def attributes() -> str:
    return markdown(
        ("attribute", "says"),
        [(f"`{name}`", meaning) for name, meaning in names.ATTRIBUTES.items()],
    )


def directive(table: Callable[[], str]) -> type[SphinxDirective]:
    class Table(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes(table())

    return Table


def setup(app: Sphinx) -> dict[str, bool]:
    for name, table in (
        ("brama-events", events),
        ("brama-event-data", event_data),
        ("brama-entries", entries),
        ("brama-connection-kinds", connection_kinds),
        ("brama-severities", severities),
        ("brama-policy", policy),
        ("brama-drawings", drawings),
        ("brama-spans", spans),
        ("brama-metrics", metrics),
        ("brama-log-events", log_events),
        ("brama-hooks", hooks),
        ("brama-attributes", attributes),
    ):
        app.add_directive(name, directive(table))
    return {"parallel_read_safe": True}
