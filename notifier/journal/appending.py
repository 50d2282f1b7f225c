"""Takes what waits into the file, in order; and, at the end of a system, all that is left."""

from __future__ import annotations

import logging

from .errors import JournalError
from .feeding import farewell
from .intake import Command
from .journal import Journal

__all__ = ["append_waiting", "finish"]

logger = logging.getLogger("brama.notifier")

BATCH = 2_000
"""Events that one transaction appends at most."""


def append_waiting(journal: Journal) -> None:
    """Empty the intake into the file. In a turn of the store only. Raises `JournalError`."""
    intake = journal.intake
    while (work := intake.peek(BATCH)) is not None:
        if isinstance(work, Command):
            work.do()
            intake.obeyed(work)
            continue
        claim = journal.take_place()
        try:
            ids = journal.file.append(
                claim.source, journal.owner, work.number - journal.base, work.items
            )
        except LookupError:
            journal.claim = None  # the file is another one
            continue
        for follower in list(journal.followers.values()):
            # From behind: what was in the file already is at the front.
            for id, version in zip(reversed(ids), reversed(work.versions), strict=False):
                follower.appended(id, version)
        journal.done = work.end
        journal.appended += len(ids)
        intake.advance(work.end)


def finish(journal: Journal, timeout: float) -> bool:
    """The system has stopped: write what waits, keep all positions, give the place back.

    Args:
        journal: whose store has ended.
        timeout: seconds to wait for a file that is locked.

    Returns:
        Whether all is in the file; what is not is counted in the log.

    Threads: any, once the actors have stopped. Idempotent.
    """
    if not journal.turn.acquire(timeout=timeout):
        _lament(journal, "the journal hangs")
        return False
    try:
        journal.file.hurry(timeout)
        if journal.claim is not None or not journal.intake.idle:
            append_waiting(journal)
            farewell(journal)
            journal.leave()
        journal.owner.release()
        journal.lamented = None
        return True
    except JournalError as error:
        _lament(journal, error)
        return False
    finally:
        journal.file.close()
        journal.turn.release()


def _lament(journal: Journal, why: object) -> None:
    """Say what is lost, and not once more at the exit what the stop has said."""
    waiting = journal.intake.waiting
    if waiting != journal.lamented:
        journal.lamented = waiting
        logger.error("%s; %d events were not written", why, waiting)
