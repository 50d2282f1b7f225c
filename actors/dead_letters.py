"""Messages that reached nobody: counted, announced, and logged at a bounded rate."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from brama.telemetry import ConfigError, attached, execute, hook_names, line

from .mailbox import unwrapped
from .whose import running_in

__all__ = ["DeadLetter", "DeadLetterReason", "DeadLetters", "type_name"]

logger = logging.getLogger("brama.actors")

_BURST = 10
_SILENCE = 300.0


class DeadLetterReason(StrEnum):
    """Why a message reached nobody."""

    STOPPED = "stopped"
    """It was queued, and its actor ended before its turn came."""
    MAILBOX_FULL = "mailbox_full"
    """A full mailbox refused it."""
    EVICTED = "evicted"
    """A full mailbox gave it up for a later one."""
    NO_NAME = "no_name"
    """Nobody held the name that it was sent to."""
    LATE_REPLY = "late_reply"
    """The reply to a request whose sender had stopped waiting."""
    EXITING = "exiting"
    """The process was exiting."""


def type_name(message: object) -> str:
    """A message in a word that holds nothing of what is in it."""
    return type(message).__qualname__


@frozen
class DeadLetter:
    """A message that reached nobody."""

    system: str
    """The name of the actor system."""
    target: object = field(repr=str)
    """The ref or the text of whom it was for; of a late reply, whose reply it was."""
    message: object = field(repr=False)
    """The message itself; not in the repr, for it may hold what must not be in a log."""
    reason: DeadLetterReason
    text: str
    """The message as `DeadLetters.describe` shows it; by default, its type."""
    sender: object = field(default=None, repr=str)
    """The ref of the actor that sent it, where that is known."""
    timestamp: float = field(factory=time.time)
    """Seconds since the epoch."""

    @property
    def message_type(self) -> str:
        """The qualified name of the message's class."""
        return type_name(self.message)


class DeadLetters:
    """The dead letters of one system: ``system.dead_letters``.

    Example:
        >>> system.dead_letters.subscribe(lambda letter: print(letter.reason, letter.target))

    A dead letter is a message that was accepted and could not be handled (its actor ended first),
    that a full mailbox dropped, that was sent to a name nobody holds, or that came as a reply when
    nobody waited any more. A tell that raised `ActorDeadError`, and an ask that failed, are none:
    their senders know.

    Each is counted and announced: to subscribers, and as `brama.actor.dead_letter` on the hook bus
    of `brama.telemetry`. Ten are logged one by one, then one line says that the log falls silent
    for five minutes; the rest goes on. (The rate is Akka's ``log-dead-letters`` and
    ``log-dead-letters-suspend-duration``.)

    Threads: any. Subscribers are called where the letter died, and must be quick.

    Failure: a subscriber that raises is removed and the error is logged.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        self._lock = threading.Lock()  # Invariant: guards all below
        self._counts: dict[DeadLetterReason, int] = {}
        self._subscribers: tuple[Callable[[DeadLetter], object], ...] = ()
        self._logged = 0
        self._silent_until = 0.0
        self.quiet = False  # while its system goes down: mail for the dying is no news
        self.describe: Callable[[Any], str] = type_name
        """How a message is shown in logs and events. The default, its type, reveals nothing."""

    @property
    def count(self) -> int:
        """How many since the system was made."""
        return sum(self.counts.values())

    @property
    def counts(self) -> Mapping[DeadLetterReason, int]:
        """How many since the system was made, by reason."""
        with self._lock:
            return MappingProxyType(dict(self._counts))

    def subscribe(self, callback: Callable[[DeadLetter], object]) -> None:
        """Call ``callback(letter)`` for each dead letter from now on, ``ref.tell`` for example.

        Raises:
            ConfigError: it cannot be called.
        """
        if not callable(callback):
            raise ConfigError("callback", "something to call with the dead letter", callback)
        with self._lock:
            if callback not in self._subscribers:
                self._subscribers = (*self._subscribers, callback)

    def unsubscribe(self, callback: Callable[[DeadLetter], object]) -> bool:
        """Undo `subscribe`; returns whether it was subscribed."""
        with self._lock:
            before = self._subscribers
            self._subscribers = tuple(one for one in before if one != callback)
            return len(before) != len(self._subscribers)

    def after_fork(self) -> None:
        """In the child of a fork: no thread of the parent holds the lock any more."""
        self._lock = threading.Lock()

    def record(self, target: object, message: object, reason: DeadLetterReason) -> None:
        """Count one, announce it, and log it if the rate allows. Never raises."""
        message = unwrapped(message)
        last = None
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + 1
            subscribers = self._subscribers
            if not self.quiet:
                last = self._admit(time.monotonic())
        # What only few want is made only when they do: letters may come by the hundred thousand. A
        # letter about a letter would be the first of an endless row.
        announced = subscribers or attached(hook_names.ACTOR_DEAD_LETTER)
        if (last is None and not announced) or isinstance(message, DeadLetter):
            return
        letter = self._letter(target, message, reason)
        if last is not None:
            line(
                logger,
                hook_names.ACTOR_DEAD_LETTER,
                "warning",
                _about(letter),
                "%s: dead letter for %s: %s (%s)%s",
                self._system,
                target,
                letter.text,
                reason,
                f"; no more such lines for {_SILENCE:.0f} s" if last else "",
            )
        self._execute(letter, 1)
        self._tell(letter, subscribers)

    def record_all(
        self, target: object, messages: Sequence[object], reason: DeadLetterReason
    ) -> None:
        """`record` what an actor left unread at its end: it may be half a million messages.

        The first ten one by one. Of the rest, subscribers are still told each; the hook bus is told
        once, with their number as ``count``.
        """
        for message in messages[:_BURST]:
            self.record(target, message, reason)
        rest = [one for one in map(unwrapped, messages[_BURST:]) if not isinstance(one, DeadLetter)]
        if not rest:
            return
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + len(rest)
            subscribers = self._subscribers
        if attached(hook_names.ACTOR_DEAD_LETTER):
            self._execute(self._letter(target, rest[0], reason), len(rest))
        if subscribers:
            for message in rest:
                self._tell(self._letter(target, message, reason), subscribers)

    def _letter(self, target: object, message: object, reason: DeadLetterReason) -> DeadLetter:
        return DeadLetter(
            self._system, target, message, reason, self._text(message), _sender(reason)
        )

    def _admit(self, now: float) -> bool | None:
        """None: not to be logged; True: to be logged, and nothing after it for a while."""
        if now < self._silent_until:
            return None
        if self._silent_until:
            self._silent_until, self._logged = 0.0, 0
        self._logged += 1
        if self._logged < _BURST:
            return False
        self._silent_until = now + _SILENCE
        return True

    def _text(self, message: object) -> str:
        try:
            return self.describe(message)
        except Exception:
            logger.exception("%s: describing a dead letter failed", self._system)
            return type_name(message)

    def _execute(self, letter: DeadLetter, count: int) -> None:
        execute(
            hook_names.ACTOR_DEAD_LETTER,
            {"count": count, "system_time": letter.timestamp},
            _about(letter),
        )

    def _tell(
        self, letter: DeadLetter, subscribers: tuple[Callable[[DeadLetter], object], ...]
    ) -> None:
        for subscriber in subscribers:
            try:
                subscriber(letter)
            except (
                BaseException
            ):  # also SystemExit: it may be the end of an actor that it cuts short
                self.unsubscribe(subscriber)
                logger.exception(
                    "%s: a subscriber of dead letters failed and was removed: %r",
                    self._system,
                    subscriber,
                )


def _about(letter: DeadLetter) -> dict[str, Any]:
    cls = _class_name(letter.target)
    return {
        "actor_class": cls,
        "name": None if cls else str(letter.target),
        "actor": str(letter.target) if cls else None,
        "system": letter.system,
        "reason": str(letter.reason),
        "message": letter.text,
        "message_type": letter.message_type,
        "sender": None if letter.sender is None else str(letter.sender),
    }


def _class_name(target: object) -> str | None:
    cls = getattr(target, "actor_class", None)
    return None if cls is None else str(cls.__name__)


def _sender(reason: DeadLetterReason) -> Any:
    # Only where the letter dies in its sender's own frame; in a mailbox that closes, it is the
    # receiver whose hook may be running.
    if reason in (DeadLetterReason.STOPPED, DeadLetterReason.EVICTED, DeadLetterReason.LATE_REPLY):
        return None
    running = running_in(sys._getframe())
    return None if running is None else running.cell.ref
