"""Whether anybody may be tracing, for paths on which even asking `tracing()` is too dear.

Read it in place, for a call costs more than the reading:

    if beacon.ours._tracer_provider is not None or beacon.api._TRACER_PROVIDER is not None:
        context = capture()     # decides for certain

Both None means for certain that nobody is, once `watch` was called.
"""

from __future__ import annotations

from typing import Any

from . import providers

__all__ = ["Beacon", "beacon"]


class _Dark:
    _TRACER_PROVIDER: None = None


class Beacon:
    """The two places where a tracer provider may stand. A slot each, to be read fast."""

    __slots__ = ("api", "ours")

    def __init__(self) -> None:
        self.ours: Any = providers
        self.api: Any = _Dark

    def watch(self) -> None:
        """Load OpenTelemetry's API (6 ms), so that a provider is seen as soon as it is set."""
        from opentelemetry import trace

        self.api = trace


beacon = Beacon()
"""The one of this process."""
