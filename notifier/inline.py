"""Handlers that are declared not to block."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from brama.circuits import Event
from brama.telemetry import ConfigError

from .kinds import handles, is_async

__all__ = ["Inline", "inline"]


@attrs.frozen
class Inline:
    """A handler that runs on Brama's own loop."""

    handler: Callable[[Event], object]


def inline(handler: Callable[[Event], object]) -> Inline:
    """Declare that `handler` never blocks, so that it may run on Brama's own loop.

    That saves the way to a worker thread. A handler that blocks all the same holds up every
    timer and every other handler: use it for a counter, a queue's ``put_nowait``, a gauge.

    Example:
        >>> seen = []
        >>> subscription = brama.subscribe(brama.notifier.inline(seen.append))

    Raises:
        ConfigError: `handler` is not callable, or is async and therefore needs no such word.
    """
    if isinstance(handler, type) or not handles(handler):
        raise ConfigError("handler", "a function of one event", handler)
    if is_async(handler):
        raise ConfigError("handler", "a plain function; subscribe an async one as it is", handler)
    return Inline(handler)
