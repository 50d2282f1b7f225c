"""The store actor: the one that writes, on a thread of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from brama.actors import ActorDeadError, ActorRef, BlockingActor
from brama.telemetry import Throttle

from .appending import append_waiting
from .errors import JournalDamagedError, JournalError, JournalGoneError
from .feeding import Feeding
from .journal import Journal
from .removal import RETENTION, extent, remove
from .retention import plan

__all__ = ["Store"]

logger = logging.getLogger("brama.notifier")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
SWEEP_EVERY = 60.0


class Work:
    """To the store: something waits, or a follower has room for more."""


class Retry:
    """To the store: try again what has failed."""


class Poll:
    """To the store: another process may have written."""


class Sweep:
    """To the store: look for what may be forgotten."""


WORK, RETRY, POLL, SWEEP = Work(), Retry(), Poll(), Sweep()


class Store(BlockingActor):
    """Appends what waits, feeds the durable subscriptions, removes what is too old.

    A file that cannot be written is no crash: it tries again, ever more slowly up to every 5 s, and
    says so by an alarm event, in the health, and in one line of the log a minute. What waits, waits
    in the `Journal`, which outlives this actor.

    Args:
        journal: what it works on.
        alarm: publishes that the journal fails, or works again.
    """

    def __init__(self, journal: Journal, alarm: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._journal = journal
        self._feeding = Feeding(journal)
        self._alarm = alarm
        self._pause = FIRST_PAUSE
        self._throttle = Throttle(60.0)
        # Whether the log knows of the present failure; one that a predecessor met, it may know.
        self._told = journal.failing is not None

    def on_start(self) -> None:
        self._journal.intake.ring = _bell(self.actor_ref)
        self.every(SWEEP_EVERY, SWEEP)
        self.actor_ref.tell(RETRY if self._journal.failing else SWEEP)

    def on_receive(self, message: Any) -> None:
        journal = self._journal
        if journal.failing is not None and message is not RETRY:
            return  # the next attempt has its time
        # Whoever was given up on over a hanging disk may still be in its turn.
        if not journal.turn.acquire(timeout=1.0):
            self.after(FIRST_PAUSE, message, key="again")
            return
        try:
            self._turn(message)
        except JournalError as error:
            self._failed(error)
        else:
            self._worked()
        finally:
            journal.turn.release()

    def _turn(self, message: Any) -> None:
        journal = self._journal
        if not journal.checked:
            journal.file.check()
            journal.checked = True
        journal.take_place()
        wait = journal.settle()
        if wait is not None:
            self.after(wait, WORK, key="settle")
        append_waiting(journal)
        if self._feeding.needed:
            if message is POLL and not self._feeding.elsewhere():
                self._feeding.save()
            elif self._feeding.feed():
                self.actor_ref.tell(WORK)
            self.after(journal.options.poll_interval, POLL, key="poll")
        if message is SWEEP:
            self._sweep()

    def _sweep(self) -> None:
        journal = self._journal
        file = journal.file
        for table in RETENTION:
            todo = plan(journal.options, extent(file, journal.wall(), table))
            if todo is not None:
                remove(file, todo, table, journal.source)

    def _failed(self, error: JournalError) -> None:
        journal = self._journal
        first = journal.failing is None
        if first:
            journal.failing_since = time.monotonic()
            self._pause = FIRST_PAUSE
        journal.failing = error
        if isinstance(error, JournalDamagedError | JournalGoneError):
            self._begin_anew(error)
        held_back = self._throttle.admit()
        if held_back is not None:
            self._told = True
            logger.error(
                "%s; %d events wait, and it is tried again (%d such failures before this line)",
                error,
                journal.intake.waiting,
                held_back,
            )
        if first:
            self._alarm(
                {"subject": "journal", "status": "failing", "reason": str(error), "since": 0.0}
            )
        self.after(self._pause, RETRY, key="again")
        self._pause = min(LONGEST_PAUSE, self._pause * 2)

    def _begin_anew(self, error: JournalError) -> None:
        """The next attempt makes a new file, and durable subscriptions begin with it."""
        journal = self._journal
        aside = None
        if isinstance(error, JournalDamagedError):
            try:
                aside = journal.file.set_aside()
            except OSError as problem:
                logger.error("the damaged journal could not be set aside: %s", problem)
                return
            logger.error("the damaged journal is kept as %s, a new one is begun", aside)
        journal.renew()
        kept = None if aside is None else aside.name
        journal.note("journal_begun", subject=journal.options.path.name, reason=error, aside=kept)

    def _worked(self) -> None:
        journal = self._journal
        failing = journal.failing
        if failing is None:
            return
        journal.failing = None
        self._pause = FIRST_PAUSE
        since = time.monotonic() - journal.failing_since
        if self._told:  # or a disk that comes and goes would fill the log with its coming
            logger.warning("the journal works again, after %.1f s: %s", since, failing)
        self._told = False
        self._alarm(
            {
                "subject": "journal",
                "status": "recovered",
                "reason": str(failing),
                "since": round(since, 3),
            }
        )
        self.actor_ref.tell(SWEEP)


def _bell(ref: ActorRef[Any]) -> Callable[[], None]:
    def ring() -> None:
        try:
            ref.tell(WORK)
        except ActorDeadError:
            pass  # its successor looks for work first of all

    return ring
