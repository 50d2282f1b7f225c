"""Messages that reached nobody: counted, and logged at a bounded rate."""

from __future__ import annotations

import logging
import threading
import time

__all__ = ["DeadLetters"]

logger = logging.getLogger("brama.actors")

_BURST = 10
_SILENCE = 300.0


class DeadLetters:
    """The count of one system's undeliverable messages.

    A dead letter is a message that was accepted and could not be handled (its actor ended first),
    or that was sent to a name nobody holds. A tell that raised `ActorDeadError` is none: its sender
    knows.

    Ten are logged one by one, then one line says that the log falls silent for five minutes; the
    count goes on. (The rate is Akka's ``log-dead-letters`` and
    ``log-dead-letters-suspend-duration``.)

    Threads: any.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        self._lock = threading.Lock()  # Invariant: guards all below
        self._count = 0
        self._logged = 0
        self._silent_until = 0.0
        self.quiet = False  # while its system goes down: mail for the dying is no news

    @property
    def count(self) -> int:
        """How many since the system was made."""
        return self._count

    def after_fork(self) -> None:
        """In the child of a fork: no thread of the parent holds the lock any more."""
        self._lock = threading.Lock()

    def record(self, target: object, message: object, why: str) -> None:
        """Count one, and log it if the rate allows. Never raises."""
        now = time.monotonic()
        with self._lock:
            self._count += 1
            if self.quiet or now < self._silent_until:
                return
            if self._silent_until:
                self._silent_until, self._logged = 0.0, 0
            self._logged += 1
            last = self._logged >= _BURST
            if last:
                self._silent_until = now + _SILENCE
        # Only the type: a message may hold what must not be in a log.
        logger.warning(
            "%s: dead letter for %s: %s (%s)%s",
            self._system,
            target,
            type(message).__name__,
            why,
            f"; no more such lines for {_SILENCE:.0f} s" if last else "",
        )
