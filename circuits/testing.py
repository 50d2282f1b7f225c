"""For the tests of those who use circuits.

Time that passes when you say so, circuits in the state that a test needs, assertions, captured
events, and a switch that takes all circuits out of the way:

    >>> from brama.circuits.testing import assert_circuit_open, set_state
    >>> api = brama.circuit("api")
    >>> set_state("api", "open")
    >>> assert_circuit_open("api")

Circuits are given as they are, or by name (and ``scope=``); names are looked for in the default
system, or in ``system=``. pytest finds the fixtures ``brama_system``, ``brama_clock``,
``brama_events`` and ``brama_deactivated`` by itself, and those that `brama.pytest_plugin` lists
besides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import isfinite
from typing import overload

from brama.telemetry import ConfigError, is_real

from .circuit import Circuit
from .events import Event
from .options import seconds, whole
from .provider import Home, Stream, default_home
from .reason import Reason, check_reason
from .state import State, check_state

__all__ = [
    "CapturedEvents",
    "FakeClock",
    "add_failures",
    "assert_circuit_closed",
    "assert_circuit_half_open",
    "assert_circuit_open",
    "assert_circuit_state",
    "capture_events",
    "deactivated",
    "set_state",
    "simulate_failures",
    "simulate_recovery",
]


class FakeClock:
    """A monotonic clock that stands still until it is told to go on.

    It takes the place of `time.monotonic`: an expiry of a minute is over at once.

    Example:
        >>> from brama.circuits import Breaker, Circuit, Policy, Shared
        >>> clock = FakeClock()
        >>> breaker = Breaker("search", None, Policy(expiry=60.0), Shared(clock=clock))
        >>> _ = breaker.open_gate()
        >>> search = Circuit(breaker)
        >>> search.open_circuit()
        >>> search.available()
        False
        >>> clock.advance(60)
        60.0
        >>> search.available()
        True

    Args:
        start: the first reading, in seconds. Like that of `time.monotonic`, it means nothing.

    Raises:
        ConfigError: `start` is no finite number.

    Threads: from any; an advance is seen by all threads at once.
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = 0.0) -> None:
        if not is_real(start) or not isfinite(start):
            raise ConfigError("start", "a number of seconds", start)
        self._lock = threading.Lock()
        self._now = float(start)

    def __call__(self) -> float:
        """The present reading, in seconds."""
        return self._now

    def advance(self, by: float | timedelta) -> float:
        """Let that many seconds pass, and return the new reading.

        Raises:
            ConfigError: `by` is negative or no time at all; a monotonic clock never goes back.
        """
        step = seconds("by", by, zero=True)
        with self._lock:
            self._now += step
            return self._now

    def __repr__(self) -> str:
        return f"<FakeClock at {self._now} s>"


def _find(circuit: Circuit | str, scope: str | None, system: Home | None) -> Circuit:
    if isinstance(circuit, Circuit):
        return circuit
    return (default_home() if system is None else system).get(circuit, scope=scope)


def set_state(
    circuit: Circuit | str,
    state: State | str,
    *,
    scope: str | None = None,
    reason: Reason = "test setup",
    system: Home | None = None,
) -> Circuit:
    """Bring a circuit into a state, with the events that go with it; returns the circuit.

    Example:
        >>> set_state(brama.circuit("api"), "half_open").state
        <State.HALF_OPEN: 'half_open'>

    Args:
        circuit: itself or its name, with `scope`.
        state: any `State`, which may be given as its word. Half-open has no probe out.
        reason: appears in events and refusals.
        system: where the name is looked for; the default system if left out.

    Raises:
        ConfigError: there is no such state.
        UnknownConnectionError: no such circuit is registered.
    """
    found = _find(circuit, scope, system)
    wanted = check_state(state)
    if wanted is State.CLOSED:
        found.close_circuit(reason)
    elif wanted is State.OPEN:
        found.open_circuit(reason)
    elif wanted is State.HALF_OPEN:
        found._breaker.half_open(check_reason(reason))
    elif wanted is State.FORCED_OPEN:
        found.force_open(reason)
    elif wanted is State.DISABLED:
        found.disable(reason)
    else:
        found.metrics_only(reason)
    return found


def add_failures(
    circuit: Circuit | str,
    count: int,
    *,
    scope: str | None = None,
    reason: Reason = "test failure",
    system: Home | None = None,
) -> Circuit:
    """Report exactly `count` failures, which may be 0; returns the circuit.

    Raises:
        ConfigError: `count` is no whole number >= 0.
        UnknownConnectionError: no such circuit is registered.
    """
    whole("count", count, least=0)
    found = _find(circuit, scope, system)
    for _ in range(count):
        found.failure(reason)
    return found


simulate_failures = add_failures


def simulate_recovery(
    circuit: Circuit | str, *, scope: str | None = None, system: Home | None = None
) -> Circuit:
    """Have the remote answer again: half-open if it is open, then as many successes as close it.

    A closed circuit gets one success. Returns the circuit.

    Raises:
        UnknownConnectionError: no such circuit is registered.
    """
    found = _find(circuit, scope, system)
    if found.state is State.OPEN:
        found._breaker.half_open("test recovery")
    found.success()
    for _ in range(found._breaker.policy.success_threshold):
        if found.state is not State.HALF_OPEN:
            break
        found.success()
    return found


def assert_circuit_state(
    circuit: Circuit | str,
    state: State | str,
    *,
    scope: str | None = None,
    system: Home | None = None,
) -> None:
    """Fail the test unless the circuit is in that state; the text says what led to the other."""
    __tracebackhide__ = True
    found = _find(circuit, scope, system)
    wanted = check_state(state)
    status = found.status()
    if status.state is not wanted:
        raise AssertionError(
            f"circuit {found.name!r} is {status.state} and not {wanted}: "
            f"reason {status.reason!r}, {status.failure_count} of {status.failure_threshold} "
            f"failures in a row, {status.retry_after:g} s until it may be called"
        )


def assert_circuit_open(
    circuit: Circuit | str, *, scope: str | None = None, system: Home | None = None
) -> None:
    """Fail the test unless the circuit is open."""
    __tracebackhide__ = True
    assert_circuit_state(circuit, State.OPEN, scope=scope, system=system)


def assert_circuit_closed(
    circuit: Circuit | str, *, scope: str | None = None, system: Home | None = None
) -> None:
    """Fail the test unless the circuit is closed."""
    __tracebackhide__ = True
    assert_circuit_state(circuit, State.CLOSED, scope=scope, system=system)


def assert_circuit_half_open(
    circuit: Circuit | str, *, scope: str | None = None, system: Home | None = None
) -> None:
    """Fail the test unless the circuit is half-open."""
    __tracebackhide__ = True
    assert_circuit_state(circuit, State.HALF_OPEN, scope=scope, system=system)


class CapturedEvents(Sequence[Event]):
    """The events that have arrived so far, in order; `capture_events` makes it.

    They arrive a moment after what they tell of, in another thread: `wait` for them.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seen: list[Event] = []

    def wait(self, count: int = 1, timeout: float | timedelta = 5.0) -> list[Event]:
        """The first `count` events, once they are there.

        Raises:
            TimeoutError: there are fewer after `timeout` seconds; the text names them.
        """
        end = time.monotonic() + seconds("timeout", timeout, zero=True)
        while len(self) < count:
            try:
                self._seen.append(self._stream.get(timeout=max(0.0, end - time.monotonic())))
            except TimeoutError:
                raise TimeoutError(
                    f"{len(self._seen)} of {count} events after {timeout} s: {self.names}"
                ) from None
        return self._seen[:count]

    async def arrive(self, count: int = 1) -> list[Event]:
        """`wait` on asyncio or trio; bound it by a time-out of these."""
        while len(self) < count:
            self._seen.append(await self._stream.aget())
        return self._seen[:count]

    @property
    def names(self) -> list[str]:
        """The kinds, in the order of arrival."""
        return [event.event for event in self]

    def of(self, *names: str) -> list[Event]:
        """Those of these kinds."""
        return [event for event in self if event.event in names]

    def clear(self) -> None:
        """Forget those that have arrived."""
        self._take()
        self._seen.clear()

    def _take(self) -> list[Event]:
        while True:
            try:
                self._seen.append(self._stream.get(timeout=0))
            except TimeoutError:
                return self._seen

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._take()[index]

    def __len__(self) -> int:
        return len(self._take())

    def __repr__(self) -> str:
        return f"<CapturedEvents {self.names}>"


@contextmanager
def capture_events(
    *,
    events: Iterable[str] | None = None,
    connection: str | None = None,
    scope: str | None = None,
    system: Home | None = None,
) -> Generator[CapturedEvents, None, None]:
    """Keep the events of the block that match, as `brama.events` has them.

    Example:
        >>> with capture_events(events=["circuit_opened"]) as events:
        ...     brama.circuit("api").open_circuit()
        ...     [event.connection for event in events.wait()]
        ['api']
    """
    home = default_home() if system is None else system
    with home.events(events=events, connection=connection, scope=scope) as stream:
        yield CapturedEvents(stream)


@contextmanager
def deactivated(system: Home | None = None) -> Generator[None, None, None]:
    """Take all circuits of a system out of the way: every call passes, and nothing is counted.

    For tests of the code behind the circuits. States stay as they are and show nothing; calls that
    were under way before, and reports, are not judged either. Blocks may be nested.
    """
    home = default_home() if system is None else system
    home.deactivate()
    try:
        yield
    finally:
        home.activate()
