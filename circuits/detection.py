"""What tells how a connection does without a guarded call, as part of a circuit."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, overload

from .breaker import Breaker
from .heartbeat import Heartbeat
from .link import Link
from .polling import Poll
from .quality import Quality
from .sources import Source

__all__ = ["Detecting"]

R = TypeVar("R")
S = TypeVar("S", bound=Source)


class Detecting:
    """The side of a `Circuit` that detects: heartbeats, polls, quality, and links.

    Each feeds the same circuit and the same events as its calls do. Sources look on Brama's loop
    and go on until they are closed or the circuit is unregistered; a circuit with a source is never
    removed for being idle.

    Threads: from any.
    """

    __slots__ = ()

    _breaker: Breaker

    def heartbeat(
        self,
        *,
        every: float | timedelta,
        misses: int = 3,
        ping: Callable[[], object] | None = None,
        timeout: float | timedelta | None = None,
    ) -> Heartbeat:
        """Take the peer for down when it falls silent.

        Example:
            >>> heart = feed.heartbeat(every=5.0)
            >>> heart.beat()    # whenever the peer gives a sign of life

        After `misses` intervals without a beat comes the event ``heartbeat_missed``, and one
        failure, with the reason ``heartbeat-missed``, for each interval that the silence goes on.
        The next beat is ``heartbeat_resumed`` and a success.

        Args:
            every: seconds in which a beat is expected.
            misses: intervals without one that are forgiven.
            ping: a function that asks the peer, called once in each interval; it beats unless it
                raises or returns False. Plain (on a worker thread) or async.
            timeout: seconds that a ping may take; half of `every` by default.

        Raises:
            ConfigError: `every` is not above 0, or `timeout` not below it.
        """
        return self._watch(
            Heartbeat(self._breaker, every=every, misses=misses, ping=ping, timeout=timeout)
        )

    def poll(
        self,
        function: Callable[[], Any],
        *,
        every: float | timedelta,
        timeout: float | timedelta | None = None,
        same: Callable[[Any, Any], object] = operator.eq,
        up: Callable[[Any], object] | None = None,
    ) -> Poll:
        """Ask for a value again and again, and tell when it is another than before.

        Example:
            >>> mode = turbine.poll(read_mode, every=10.0, up=lambda mode: mode != "OFF")

        A change is the event ``value_changed``; the first answer is none. A poll that raises or
        takes too long says nothing about the connection; it is counted as unknown.

        Args:
            function: gives the value. Plain (on a worker thread) or async.
            every: seconds from one poll to the next.
            timeout: seconds that one may take; half of `every` by default.
            same: whether two values are the same; ``==`` by default. On Brama's loop, as is `up`.
            up: whether a value means that the connection is up: each that does not is a failure,
                and the first that does again a success.

        Raises:
            ConfigError: `every` is not above 0, or `timeout` not below it.
        """
        return self._watch(
            Poll(self._breaker, function, every=every, timeout=timeout, same=same, up=up)
        )

    def quality(
        self,
        measure: str = "latency",
        *,
        upper: float | timedelta,
        lower: float | timedelta | None = None,
        window: float | timedelta = 60.0,
        percentile: float = 0.95,
        minimum: int = 10,
        every: float | timedelta | None = None,
    ) -> Quality:
        """Tell when the connection becomes slow or lossy, and when it is well again.

        Example:
            >>> quality = search.quality(upper=2.0, lower=1.0)
            >>> with quality.timed():
            ...     fetch()
            >>> search.quality("errors", upper=0.2)     # counted by the circuit itself

        Each change is one event ``quality_changed``; between the two limits nothing changes. The
        state of the circuit stays as it is.

        Args:
            measure: ``"latency"``: a percentile of the durations given to `Quality.observe`;
                ``"errors"``: the share of failures among the calls of the circuit.
            upper: seconds, or a share: above it, the quality is ``degraded``.
            lower: below it, it is ``ok`` again; half of `upper` by default.
            window: seconds that the value is taken from.
            percentile: of the durations, as a share.
            minimum: fewer calls in the window say nothing.
            every: seconds from one look to the next; a twelfth of the window by default.

        Raises:
            ConfigError: `lower` is not below `upper`, or another value is out of its bounds.
        """
        return self._watch(
            Quality(
                self._breaker,
                measure,
                upper=upper,
                lower=lower,
                window=window,
                percentile=percentile,
                minimum=minimum,
                every=every,
            )
        )

    @overload
    def link(
        self,
        resource: None = None,
        *,
        on_connect: Callable[[], object] | None = None,
        on_disconnect: Callable[[], object] | None = None,
    ) -> Link[Any]: ...
    @overload
    def link(
        self,
        resource: R,
        *,
        on_connect: Callable[[], object] | None = None,
        on_disconnect: Callable[[], object] | None = None,
    ) -> Link[R]: ...
    def link(
        self,
        resource: Any = None,
        *,
        on_connect: Callable[[], object] | None = None,
        on_disconnect: Callable[[], object] | None = None,
    ) -> Link[Any]:
        """Tell when a session, a socket or a pool of this connection is opened and closed.

        Example:
            >>> async with search.link(aiohttp.ClientSession()) as session: ...
            >>> with stock.link(socket.create_connection(address)) as sock: ...

        The events are ``connected`` and ``disconnected``, one each. It guards no calls.

        Args:
            resource: what is entered and left; without it, `Link.open` and `Link.close` tell.
            on_connect, on_disconnect: functions to call then. One that raises is logged and
                counted.
        """
        return Link(self._breaker, resource, on_connect=on_connect, on_disconnect=on_disconnect)

    def _watch(self, source: S) -> S:
        self._breaker.shared.sources.add(source)
        return source
