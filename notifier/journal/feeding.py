"""How the store feeds the durable subscriptions: claims, reads, positions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from .follower import Follower
from .journal import Journal
from .positions import Position

__all__ = ["Feeding", "claim", "farewell", "order"]

READ = 512
"""Rows that a follower is shown at once."""

ROUNDS = 16
"""How often in one turn, before the appends have their turn again."""


class Feeding:
    """Shows the followers of a journal what they have not seen. Used in the store's turn only."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen = -1

    @property
    def needed(self) -> bool:
        """Whether anybody follows."""
        return bool(self._journal.followers or self._journal.leaving)

    def elsewhere(self) -> bool:
        """Whether another process has written since the last look, or somebody waits for a name."""
        version = self._journal.file.data_version()
        changed, self._seen = version != self._seen, version
        return changed or any(not one.claimed for one in self._journal.followers.values())

    def feed(self) -> bool:
        """Give out what there is room for; whether there is more."""
        journal = self._journal
        _dismiss(journal)
        for follower in list(journal.followers.values()):
            if not follower.claimed and follower.ordered:
                claim(journal, follower)
        more = False
        for follower in list(journal.followers.values()):
            if follower.claimed:
                more = self._show(follower) or more
        self.save()
        return more

    def save(self) -> None:
        """Keep the positions that have changed."""
        journal = self._journal
        changed = [one for one in _lasting(journal) if one.changed]
        if changed:
            _keep(journal, [(one, one.position()) for one in changed])

    def _show(self, follower: Follower) -> bool:
        file = self._journal.file
        for _ in range(ROUNDS):
            room = follower.room()
            if not room:
                return False  # it rings when it has handled a good part
            rows = file.read(follower.read_to, READ)
            if not rows:
                return False
            seen = follower.read_to
            lost = follower.skip_to(rows[0].id - 1)
            if lost:  # retention was faster than the handler, which may have been away for weeks
                follower.gap(self._journal.gap(lost))
                if follower.lasting:
                    self._journal.note(
                        "events_lost",
                        subject=follower.name,
                        first=seen + 1,
                        last=seen + lost,
                        count=lost,
                        why="retention",
                    )
            chosen = follower.choose(rows, room)
            if chosen:
                # Kept before they are given out: after a kill it can be told what may be a repeat.
                if follower.lasting:
                    _keep(self._journal, [(follower, follower.position())])
                follower.give(chosen)
        return True


def claim(journal: Journal, follower: Follower) -> None:
    """Take the name of `follower`, unless another process delivers to it."""
    _dismiss(journal)  # its predecessor of the same name may have left a position behind
    if not follower.lasting:
        # All that was published before stands in the queue of the subscription.
        last = 0 if journal.begun_anew else journal.file.last()
        follower.ordered = True
        follower.start(Position(last, last, 0), fresh=False)
    elif not follower.claimed:
        found = journal.positions.claim(
            follower.name, journal.owner, journal.source, anew=journal.begun_anew
        )
        follower.ordered = True
        if found is not None:
            position, fresh = found
            follower.start(position, fresh=fresh)
    if follower.ended:
        _dismiss(journal)


def _dismiss(journal: Journal) -> None:
    """Keep where the subscriptions that have ended stopped, and give their names back."""
    for follower in list(journal.leaving):
        if not follower.ordered:
            continue  # even one that ends at once has said from where on it wants to hear
        if follower.claimed and follower.lasting:
            _keep(journal, [(follower, follower.farewell())])
            journal.positions.release(follower.name, journal.owner)
            follower.claimed = False
        journal.leaving.remove(follower)


def order(journal: Journal, follower: Follower) -> None:
    """Have the store claim, after all events that were published before now."""
    journal.intake.order(partial(claim, journal, follower))


def farewell(journal: Journal) -> None:
    """The system ends: keep every position as it is."""
    _dismiss(journal)
    _keep(journal, [(one, one.farewell()) for one in _lasting(journal)])


def _keep(journal: Journal, positions: Iterable[tuple[Follower, Position]]) -> None:
    """Write positions into the file, with what has become of the events up to there."""
    positions = list(positions)
    journal.positions.save(
        journal.owner, journal.source, [(one.name, position) for one, position in positions]
    )
    for one, position in positions:
        one.kept(position)


def _lasting(journal: Journal) -> list[Follower]:
    return [one for one in journal.followers.values() if one.claimed and one.lasting]
