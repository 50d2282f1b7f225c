"""Sphinx directives that make the tables of the documentation from the code's own lists.

``{brama-events}``, ``{brama-event-data}``, ``{brama-policy}``, ``{brama-spans}``,
``{brama-metrics}``: each list stands in one place of the code, and a page cannot fall behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from brama.circuits import DATA, EVENTS, Policy
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


def policy() -> str:
    defaults = Policy()
    derived = {"initial_expiry": "`expiry`", "max_expiry": "10 × `expiry`"}
    derived["half_open_timeout"] = "`expiry`"
    derived["health_timeout"] = "half of `health_interval`"
    derived["trip"] = "`ConsecutiveFailures(failure_threshold)`"
    return markdown(
        ("option", "default"),
        [
            (f"`{field.name}`", derived.get(field.name) or shown(getattr(defaults, field.name)))
            for field in attrs.fields(Policy)
            if field.init
        ],
    )


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`({code(kind.__name__ for kind in value).replace('`', '')})`"
    return f"`{value!r}`"


def spans() -> str:
    return markdown(
        ("span", "kind", "when", "attributes"),
        [
            (f"`{span.verb}` *{span.word}*", span.kind, span.when, code(span.attributes))
            for span in names.SPANS
        ],
    )


def metrics() -> str:
    return markdown(
        ("metric", "unit", "counts", "attributes"),
        [
            (f"`{metric.name}`", f"`{metric.unit}`", metric.description, code(metric.attributes))
            for metric in names.METRICS
        ],
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
        ("brama-policy", policy),
        ("brama-spans", spans),
        ("brama-metrics", metrics),
    ):
        app.add_directive(name, directive(table))
    return {"parallel_read_safe": True}
