"""Threads for handlers that may block: one for each busy subscription, at most so many."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from trio.lowlevel import start_thread_soon

__all__ = ["Workers"]

logger = logging.getLogger("brama.notifier")

LIMIT = 64
HANGS = 5.0
"""Seconds after which a job counts as one that hangs."""


class Workers:
    """Runs jobs on trio's cached daemon threads; jobs beyond the limit wait in line.

    A job that hangs holds up no other: while some wait, each that has run for `hangs` seconds is
    made up for by one more thread, until there are twice as many as the limit.

    The threads are daemons because a handler that never returns must not keep the process alive.

    Args:
        limit: of threads whose jobs do not hang.
        hangs: seconds.

    Threads: `submit` from any.
    """

    def __init__(self, limit: int = LIMIT, hangs: float = HANGS) -> None:
        self._limit = limit
        self._hangs = hangs
        self._lock = threading.Lock()
        # Invariant: all below is read and written under the lock.
        self._waiting: deque[Callable[[], None]] = deque()
        self._since: dict[object, float] = {}  # the threads, and when each began its job
        self._crowded = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job`, which must not raise, on a thread as soon as one may be had."""
        watch = False
        with self._lock:
            thread = self._thread()
            if thread is None:
                self._waiting.append(job)
                watch = not self._crowded
                self._crowded = True
        if thread is not None:
            self._start(thread, job)
        elif watch:
            logger.warning(
                "all %d worker threads are busy with handlers, and others wait for one: "
                "a handler hangs, or more are slow than there are threads",
                self._limit,
            )
            start_thread_soon(self._watch, _delivered, "brama worker")

    def _thread(self) -> object | None:
        """A thread that may be had now, by its key. Under the lock."""
        now = time.monotonic()
        hanging = 0
        if len(self._since) >= self._limit:
            hanging = sum(now - since >= self._hangs for since in self._since.values())
        if len(self._since) >= self._limit + min(hanging, self._limit):
            return None
        thread = object()
        self._since[thread] = now
        return thread

    def _start(self, thread: object, job: Callable[[], None]) -> None:
        try:
            start_thread_soon(lambda: self._run(thread, job), _delivered, "brama worker")
        except BaseException:
            with self._lock:
                del self._since[thread]
            raise

    def _run(self, thread: object, job: Callable[[], None] | None) -> None:
        while job is not None:
            job()
            with self._lock:
                if self._waiting:
                    job = self._waiting.popleft()
                    self._since[thread] = time.monotonic()
                else:
                    job = None
                    del self._since[thread]

    def _watch(self) -> None:
        """While jobs wait, look for others that hang."""
        pause = threading.Event()
        while True:
            pause.wait(self._hangs / 5)
            with self._lock:
                if not self._waiting:
                    self._crowded = False
                    return
                thread = self._thread()
                job = None if thread is None else self._waiting.popleft()
            if thread is not None and job is not None:
                logger.warning("handlers hang: one more worker thread makes up for one of them")
                self._start(thread, job)


def _delivered(_outcome: object) -> None:
    """The thread cache reports the end of a job; nobody waits for it here."""
