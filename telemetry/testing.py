"""See your telemetry: in memory for tests, or as it arrives over a socket.

In memory, as plain dicts with small numbers for ids and without times:

    >>> from brama.telemetry.testing import capture_telemetry
    >>> with capture_telemetry() as told:
    ...     brama.circuit("stock").open_circuit("a test")
    ...     span, = told.spans.wait_for("transition open")
    >>> span["attributes"]["brama.circuit.reason"]
    'a test'

pytest finds the fixtures ``brama_spans``, ``brama_logs`` and ``brama_metrics`` by itself. What an
exporter really sends, an OTLP receiver takes:

    import brama.telemetry
    from brama.telemetry.testing import OtlpReceiver, render_tree

    with OtlpReceiver() as receiver:
        with brama.telemetry.configure(endpoint=receiver.endpoint):
            ...                                   # what you want to see; it is flushed at the end
        for spans in receiver.traces().values():
            print(render_tree(spans))

It is a real one: exporters send to it over a socket, and it keeps kinds, links, scopes and
resources, which some backends drop. It can also be down, broken or silent for a while.
"""

from .captured import CapturedLogs, CapturedSpans
from .captured_metrics import CapturedMetrics
from .capturing import CapturedTelemetry, capture_telemetry
from .received import Event, Link, Log, Measurement, Scope, Span
from .receiver import Fault, OtlpReceiver, Request
from .tree import render_tree

__all__ = [
    "CapturedLogs",
    "CapturedMetrics",
    "CapturedSpans",
    "CapturedTelemetry",
    "Event",
    "Fault",
    "Link",
    "Log",
    "Measurement",
    "OtlpReceiver",
    "Request",
    "Scope",
    "Span",
    "capture_telemetry",
    "render_tree",
]
