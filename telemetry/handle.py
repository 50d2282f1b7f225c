"""The handle on exporting that `configure()` returns, and its bounded end.

The SDK's own end is not bounded: with a dead collector it takes seven seconds for one span and
thirty for a full queue, and its `force_flush` ignores its timeout and returns True for a failed
export. So every call into it runs in a thread of ours, is waited for until a deadline, then its
exporter is told to give up, and what still does not return is left behind: a daemon.

That thread is parked from the beginning. Since Python 3.12 none can be started at exit, which is
exactly when it is needed.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from queue import SimpleQueue
from typing import Final, Self

from .errors import ConfigError
from .faults import LOGGER
from .forks import renew_after_fork
from .health import ExportHealth
from .turns import Turn

__all__ = ["Outlet", "Telemetry", "check_deadline"]

_EXIT_MARGIN: Final = 0.25
"""Seconds of the deadline that are left to the rest of the interpreter's exit."""


def check_deadline(deadline: object) -> float:
    """`deadline` in seconds; raises `ConfigError` unless it is a finite number above 0."""
    seconds = deadline.total_seconds() if isinstance(deadline, timedelta) else deadline
    if (
        not isinstance(seconds, int | float)
        or isinstance(seconds, bool)
        or not 0 < seconds < math.inf
    ):
        raise ConfigError("deadline", "a number of seconds above 0", deadline)
    return float(seconds)


class _Errand:
    """One call into the SDK, made by an outlet's thread."""

    __slots__ = ("_work", "done", "failed")

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.done = threading.Event()
        self.failed = False

    def run(self) -> None:
        try:
            self._work()
        except Exception:  # noqa: BLE001 - whatever it was, the caller gets it as "not delivered"
            self.failed = True
            LOGGER.debug("the SDK failed to flush or shut down", exc_info=True)
        finally:
            self.done.set()


class Outlet:
    """One signal's way out of the process: the SDK's provider behind a parked thread.

    Args:
        signal: ``"traces"`` or ``"metrics"``.
        flush: the provider's `force_flush`; may block for long.
        shutdown: the provider's `shutdown`; may block for long.
        abort: tells the exporters to give up what they are doing; returns at once.
        health: what became of the exports.
    """

    def __init__(
        self,
        signal: str,
        *,
        flush: Callable[[], object],
        shutdown: Callable[[], object],
        abort: Callable[[], object],
        health: ExportHealth,
    ) -> None:
        self.flush = flush
        self.shutdown = shutdown
        self.abort = abort
        self.health = health
        self._signal = signal
        self._park()
        renew_after_fork(self)

    def begin(self, work: Callable[[], object]) -> _Errand:
        """Have the thread do `work`, after what it is doing now."""
        errand = _Errand(work)
        self._errands.put(errand)
        return errand

    def end(self) -> None:
        """Let the thread go when it has done its work."""
        self._errands.put(None)

    def after_fork(self) -> None:
        """The thread stayed in the parent; the SDK starts its own anew in the same way."""
        self._park()

    def _park(self) -> None:
        self._errands: SimpleQueue[_Errand | None] = SimpleQueue()
        threading.Thread(
            target=_serve, args=(self._errands,), name=f"brama-{self._signal}-outlet", daemon=True
        ).start()


def _serve(errands: SimpleQueue[_Errand | None]) -> None:
    while (errand := errands.get()) is not None:
        errand.run()


class Telemetry:
    """What `brama.telemetry.configure` set up: flush it, shut it down, or leave that to exit.

    Example:
        >>> with Telemetry() as telemetry:      # what configure() returns when it set up nothing
        ...     telemetry.force_flush(deadline=1.0)
        True

    A handle that owns no exporters, because the application has its own provider or telemetry
    is disabled, does nothing: what the application owns, Brama never flushes nor shuts down.

    At exit it is shut down within its deadline. `shutdown` may be called any number of times.

    Threads: any, but neither from an actor nor from an event loop: both methods block up to
    their deadline. From a loop: ``await asyncio.to_thread(telemetry.shutdown)``, or trio's
    ``to_thread.run_sync``.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet] = (),
        *,
        deadline: float | timedelta = 2.0,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._outlets = tuple(outlets)
        self._deadline = check_deadline(deadline)
        self._release = release
        self._complete: bool | None = None
        self._turn = Turn()  # Invariant: whoever has it sets _complete; one shutdown runs.
        if self._outlets:
            atexit.register(self._at_exit)

    @property
    def exporting(self) -> bool:
        """Whether this handle owns exporters, and has not been shut down."""
        return bool(self._outlets) and self._complete is None

    def force_flush(self, deadline: float | timedelta | None = None) -> bool:
        """Send what is waiting, within `deadline` seconds (default: that of `configure`).

        Returns:
            Whether everything was sent and accepted in time.
        """
        end = self._end(deadline)
        if not self.exporting:
            return True
        failures = sum(outlet.health.failures for outlet in self._outlets)
        errands = [outlet.begin(outlet.flush) for outlet in self._outlets]
        finished = [_wait(errand, end) for errand in errands]
        return all(finished) and failures == sum(o.health.failures for o in self._outlets)

    def shutdown(self, deadline: float | timedelta | None = None) -> bool:
        """Send what is waiting and stop, within `deadline` seconds (default: `configure`'s).

        Returns:
            Whether everything was sent and accepted in time. What was not is lost. False in the
            middle of another shutdown in the same thread, as in a handler of a signal.
        """
        end = self._end(deadline)
        with self._turn as mine:
            if not mine:
                return False
            if self._complete is None:
                self._complete = self._shut_down(end)
            return self._complete

    def _shut_down(self, end: float) -> bool:
        self._release()
        atexit.unregister(self._at_exit)
        failures = sum(outlet.health.failures for outlet in self._outlets)
        errands = [outlet.begin(outlet.shutdown) for outlet in self._outlets]
        for outlet in self._outlets:
            outlet.end()
            outlet.health.hide()
        # The last quarter is for those who need to be told: an exporter that backs off between
        # two attempts returns as soon as it is.
        first = end - (end - time.monotonic()) / 4
        finished = [_wait(errand, first) for errand in errands]
        if all(finished):
            return failures == sum(o.health.failures for o in self._outlets)
        for outlet, done in zip(self._outlets, finished, strict=True):
            if not done:
                outlet.abort()
        for errand in errands:
            _wait(errand, end)
        return False

    def _at_exit(self) -> None:
        self.shutdown(max(self._deadline - _EXIT_MARGIN, self._deadline / 2))

    def _end(self, deadline: float | timedelta | None) -> float:
        return time.monotonic() + (self._deadline if deadline is None else check_deadline(deadline))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Telemetry {'exporting' if self.exporting else 'not exporting'}>"


def _wait(errand: _Errand, end: float) -> bool:
    return errand.done.wait(max(0.0, end - time.monotonic())) and not errand.failed
