"""What a mailbox has seen so far, as a frozen snapshot."""

from __future__ import annotations

from attrs import frozen

__all__ = ["MailboxStatistics"]


@frozen
class MailboxStatistics:
    """The figures of one actor's mailbox, by ``ref.statistics()``.

    They are read without stopping anything: each is right, but they need not be of the same
    instant. After the actor's end they stay as they were.
    """

    length: int
    """Messages waiting, in both lanes."""
    control: int
    """Of them, those in the control lane."""
    peak: int
    """The most that were seen waiting."""
    limit: int | None
    """What the `MailboxPolicy` allows; None is no limit."""
    oldest_age: float | None
    """Seconds that the oldest waiting message has waited, at most; None when none waits. The time
    is noted once for each batch that the actor takes and not for each message, so within a batch
    it is the age of the oldest that was in it."""
    handled: int
    """Messages that the actor has been given, the present one among them."""
    busy: float
    """Seconds spent in hooks; of an `Actor`, its waiting in them included."""
    dropped: int
    """Messages that a full mailbox has refused or given up."""
    coalesced: int
    """Messages that a later one with the same key has replaced."""
    last_message_age: float | None
    """Seconds since messages were last taken up; None when none ever was."""
