"""Whether anybody may be tracing, for paths on which even asking `tracing()` is too dear.

Read it in place, for a call costs more than the reading:

    if beacon.api._TRACER_PROVIDER is not None:
        context = capture()     # decides for certain

None means for certain that nobody is, once `Beacon.watch` was called.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Beacon", "beacon"]


class _StandIn:
    """In the place of OpenTelemetry's API: not loaded yet, or overruled by a provider of ours."""

    def __init__(self, provider: Any) -> None:
        self._TRACER_PROVIDER = provider


class Beacon:
    """The place where a tracer provider would stand. One slot, to be read fast.

    The API's own module stands in it, because the API keeps its provider in a module variable and
    tells nobody when it is set.
    """

    __slots__ = ("_module", "api")

    def __init__(self) -> None:
        self._module: Any = _StandIn(None)
        self.api: Any = self._module

    def watch(self) -> None:
        """Load OpenTelemetry's API (6 ms), so that a provider is seen as soon as it is set."""
        from opentelemetry import trace

        if not hasattr(trace, "_TRACER_PROVIDER"):
            # A child that was forked while a thread was loading it has half of it for ever.
            return
        if self.api is self._module:
            self.api = trace
        self._module = trace

    def choose(self, provider: Any) -> None:
        """`provider` counts and not the API's; None: the API's again."""
        self.api = self._module if provider is None else _StandIn(provider)


beacon = Beacon()
"""The one of this process."""
