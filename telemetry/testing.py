"""See your telemetry arrive: an OTLP receiver for tests, demonstrations and curiosity.

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

from .received import Event, Link, Log, Measurement, Scope, Span
from .receiver import Fault, OtlpReceiver, Request
from .tree import render_tree

__all__ = [
    "Event",
    "Fault",
    "Link",
    "Log",
    "Measurement",
    "OtlpReceiver",
    "Request",
    "Scope",
    "Span",
    "render_tree",
]
