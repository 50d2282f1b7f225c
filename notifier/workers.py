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
Job = tuple[Callable[[], None], str]
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
        on_hanging: told when jobs wait behind others that hang, and when that is over: whether it
            is so, the names of those that hang, and since how many seconds.

    Threads: `submit` from any.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        hangs: float = HANGS,
        on_hanging: Callable[[bool, tuple[str, ...], float], object] | None = None,
    ) -> None:
        self._limit = limit
        self._hangs = hangs
        self._on_hanging = on_hanging
        self._lock = threading.Lock()
        # Invariant: all below is read and written under the lock.
        self._waiting: deque[Job] = deque()
        # The threads, when each began its job, and the name of that.
        self._since: dict[object, tuple[float, str]] = {}
        self._crowded = False

    def submit(self, run: Callable[[], None], name: str = "") -> None:
        """Run a job, which must not raise, on a thread as soon as one may be had.

        Args:
            run: the job.
            name: for people.
        """
        watch = False
        job = run, name
        with self._lock:
            thread = self._thread(name)
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

    def _thread(self, name: str) -> object | None:
        """A thread that may be had now for this job, by its key. Under the lock."""
        now = time.monotonic()
        hanging = len(self._hanging(now)) if len(self._since) >= self._limit else 0
        if len(self._since) >= self._limit + min(hanging, self._limit):
            return None
        thread = object()
        self._since[thread] = now, name
        return thread

    def _hanging(self, now: float) -> list[tuple[float, str]]:
        """Since when jobs hang, and which. Under the lock."""
        return [began for began in self._since.values() if now - began[0] >= self._hangs]

    def _start(self, thread: object, job: Job) -> None:
        try:
            start_thread_soon(lambda: self._run(thread, job), _delivered, "brama worker")
        except BaseException:
            with self._lock:
                del self._since[thread]
            raise

    def _run(self, thread: object, job: Job | None) -> None:
        while job is not None:
            job[0]()
            with self._lock:
                if self._waiting:
                    job = self._waiting.popleft()
                    self._since[thread] = time.monotonic(), job[1]
                else:
                    job = None
                    del self._since[thread]

    def _watch(self) -> None:
        """While jobs wait, look for others that hang."""
        pause = threading.Event()
        told: tuple[str, ...] = ()
        since = 0.0
        while True:
            pause.wait(self._hangs / 5)
            now = time.monotonic()
            with self._lock:
                hanging = self._hanging(now)
                thread = job = None
                if not self._waiting:
                    self._crowded = False
                    break
                thread = self._thread(self._waiting[0][1])
                job = None if thread is None else self._waiting.popleft()
            if hanging and not told:
                told = tuple(name for _, name in hanging)
                since = min(hanging)[0]
                self._tell(True, told, now - since)
            if thread is not None and job is not None:
                logger.warning("handlers hang: one more worker thread makes up for one of them")
                self._start(thread, job)
        if told:
            self._tell(False, told, now - since)

    def _tell(self, hanging: bool, names: tuple[str, ...], since: float) -> None:
        if self._on_hanging is not None:
            self._on_hanging(hanging, names, since)


def _delivered(_outcome: object) -> None:
    """The thread cache reports the end of a job; nobody waits for it here."""
