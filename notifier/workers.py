"""Threads for handlers that may block: one for each busy subscription, at most so many."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from trio.lowlevel import start_thread_soon

__all__ = ["Workers"]

logger = logging.getLogger("brama.notifier")

LIMIT = 64


class Workers:
    """Runs jobs on trio's cached daemon threads; jobs beyond the limit wait in line.

    The threads are daemons because a handler that never returns must not keep the process alive.

    Threads: `submit` from any.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        # Invariant: both are read and written under the lock.
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = 0
        self._crowded = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job`, which must not raise, on a thread as soon as one may be had."""
        with self._lock:
            if self._busy >= self._limit:
                self._waiting.append(job)
                if not self._crowded:
                    self._crowded = True
                    logger.warning(
                        "all %d worker threads are busy with handlers, and others wait for one: "
                        "a handler hangs, or more are slow than there are threads",
                        self._limit,
                    )
                return
            self._busy += 1
        try:
            start_thread_soon(lambda: self._run(job), _delivered, "brama worker")
        except BaseException:
            with self._lock:
                self._busy -= 1
            raise

    def _run(self, job: Callable[[], None] | None) -> None:
        while job is not None:
            job()
            with self._lock:
                if self._waiting:
                    job = self._waiting.popleft()
                else:
                    job = None
                    self._busy -= 1
                    self._crowded = False


def _delivered(_outcome: object) -> None:
    """The thread cache reports the end of a job; nobody waits for it here."""
