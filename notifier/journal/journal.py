"""The journal of one system: what its store works on, and what outlives that store."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import attrs

from brama.circuits import (
    EVENTS,
    ConnectionKind,
    Event,
    Fields,
    Order,
    acting_person,
    check_name,
    seconds,
)
from brama.telemetry import ConfigError

from .entries import Entry, plain
from .errors import JournalError
from .file import Claim, JournalFile
from .follower import Follower, Target
from .intake import JOURNALED, Intake
from .options import JournalOptions
from .owners import Owner
from .positions import Positions

__all__ = ["Journal", "JournalStatus", "Tap"]

logger = logging.getLogger("brama.notifier")


@attrs.frozen
class JournalStatus:
    """How a journal does at one instant.

    Attributes:
        path: of its file.
        source: the name under which this process writes; empty while it has none.
        waiting: events that are not in the file yet.
        appended: events that this system has appended.
        lost: events that were dropped because too many waited.
        failing: why the file cannot be written, or None.
        failing_for: seconds since that began.
        durable: the durable subscriptions here, and whether it is this process that delivers.
    """

    path: Path
    source: str
    waiting: int
    appended: int
    lost: int
    failing: str | None
    failing_for: float
    durable: Mapping[str, bool]


class Tap:
    """The journal's own entry in the index: what is kept even if nobody asks for it."""

    name = "the journal"
    connection: str | None = None
    scope: str | None = None
    kind: ConnectionKind | None = None

    def __init__(self, events: tuple[str, ...] | None, intake: Intake) -> None:
        self.events = events
        self.born = 0
        self._intake = intake

    def offer(self, event: Event) -> bool:
        """The registry has an event for it."""
        self._intake.want(event)
        return False


class Journal:
    """An append-only store of events in one SQLite file.

    It belongs to the system: what waits to be written, who follows, and how far the file has come
    all outlive the store actor that does the work.

    Args:
        options: the file and its rules.
        run: names this process in the ids of events.
        wall: POSIX time in seconds.

    Threads: from any.
    """

    def __init__(
        self, options: JournalOptions, run: str, wall: Callable[[], float] = time.time
    ) -> None:
        self.options = options
        self.run = run
        self.wall = wall
        self.file = JournalFile(options)
        self.positions = Positions(self.file)
        self.owner = Owner(options.path)
        self.intake = Intake(options.backlog, self.gap, self._trail_gap)
        self.tap = Tap(JOURNALED, self.intake)
        self.claim: Claim | None = None
        self.base = self.done = 0  # of what was taken in: before this place, and in the file
        self.appended = 0
        self.checked = False
        self.begun_anew = False
        # Invariant: held for a whole turn of the store. One that was given up on may still be in
        # the middle of its own.
        self.turn = threading.RLock()
        self.followers: dict[str, Follower] = {}
        self.leaving: deque[Follower] = deque()  # ended, and their last position not yet kept
        self.failing: JournalError | None = None
        self.failing_since = 0.0
        self.lamented: int | None = None  # how many the last stop could not write, and said so
        self._numbers = count(1)
        self._held = False
        self.settle: Callable[[], float | None] = lambda: None
        """Puts on the trail what was kept back; seconds until there is more to put there."""

    @property
    def source(self) -> str:
        """The name under which this process writes; empty while it has none."""
        return "" if self.claim is None else self.claim.source

    def open(self) -> dict[tuple[str | None, str], tuple[int, int]]:
        """Take a place among the writers, and close the file again.

        Returns:
            Where the numbers of each connection go on, by scope and name: the epoch, 0 for a new
            one, and the last number. A new epoch begins where the last process of this name did
            not end in good order, because handlers may have seen numbers that never reached the
            file. None of the file's faults is raised here: the store meets and reports them.
        """
        try:
            claim = self.take_place()
        except JournalError as error:
            logger.warning("%s; it is tried again once there is something to write", error)
            return {}
        finally:
            self.file.close()
        return {
            (scope or None, connection): (epoch if claim.clean else 0, seq)
            for (scope, connection), (epoch, seq) in claim.heads.items()
        }

    def take_place(self) -> Claim:
        """The claim on a place among the writers, made if there is none. Raises `JournalError`."""
        claim = self.claim
        if claim is None:
            claim = self.file.claim(self.owner, self._joined())
            if claim.fresh:
                self.base = self.done
            self.claim = claim
        return claim

    def renew(self) -> None:
        """The file is lost: the next use begins a new one, from which the followers are fed."""
        self.claim = None
        self.begun_anew = True
        for follower in self.followers.values():
            follower.claimed = False

    def leave(self) -> None:
        """Give the place back: all that was published is in the file, if nothing waits."""
        claim, self.claim = self.claim, None
        if claim is not None:
            clean = self.intake.idle
            left = self.entry("writer_left", subject=claim.source, clean=clean)
            self.file.leave(claim.source, self.owner, clean=clean, entry=left)
        self.owner.release()

    def follow(self, name: str, target: Target) -> Follower:
        """Feed `target` from where the durable subscription `name` stopped, for ever after.

        Raises:
            ConfigError: the name is in use in this system.
        """
        check_name("durable", name)
        follower = Follower(name, target, self.intake, wall=self.wall)
        present = self.followers.setdefault(name, follower)
        if present is not follower:
            raise ConfigError(
                "durable", "a name that no other subscription of this system has", name
            )
        return follower

    def spill(self, target: Target, waiting: int) -> Follower:
        """Feed `target` from the file from now on, because its own queue is full.

        What is published after this call, the present event included, comes to it from the file,
        but for the events of single calls. The caller puts the follower into the place of the
        subscription in the index, and has it claimed (`order`).

        Args:
            target: the subscription.
            waiting: how many events it has and has not finished; it handles them first.

        Threads: on the loop thread, while the registry offers an event.
        """
        name = f"\0{next(self._numbers)}"  # no durable one can have it
        follower = Follower(name, target, self.intake, lasting=False, waiting=waiting)
        self.followers[name] = follower
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Its subscription has ended; another may take the name."""
        follower.ended = True
        if self.followers.get(follower.name) is follower:
            del self.followers[follower.name]
            self.leaving.append(follower)
            self.intake.ring()

    def forget(self, name: str) -> bool:
        """Forget how far a durable subscription has come, so that it begins anew.

        Returns:
            False if the name is unknown, or in use.
        """
        return name not in self.followers and self.positions.forget(
            name, self.source or None, acting_person()
        )

    def wait(self, timeout: float | timedelta = 5.0) -> bool:
        """Wait until all that was published is in the file; False if that takes longer."""
        return self.intake.wait(seconds("timeout", timeout, zero=True))

    def status(self) -> JournalStatus:
        """A frozen snapshot."""
        failing = self.failing
        return JournalStatus(
            path=self.options.path,
            source=self.source,
            waiting=self.intake.waiting,
            appended=self.appended,
            lost=self.intake.lost,
            failing=None if failing is None else str(failing),
            failing_for=0.0 if failing is None else time.monotonic() - self.failing_since,
            durable={
                name: one.claimed for name, one in list(self.followers.items()) if one.lasting
            },
        )

    def reasons(self) -> tuple[str, ...]:
        """What the health says of it; nothing while all is well."""
        failing = self.failing
        return () if failing is None else (f"journal: {failing}",)

    def gap(self, lost: int) -> Event:
        """The event that tells how many are missing in its place."""
        return self.event("gap", {"lost": lost})

    def event(self, name: str, data: dict[str, Any]) -> Event:
        """An event of the system itself, of no connection."""
        now = self.wall()
        return Event(
            event=name,
            connection="",
            scope=None,
            timestamp=datetime.fromtimestamp(now, UTC),
            monotonic=time.monotonic(),
            epoch=0,
            seq=None,
            event_id=f"{self.run}-{name}-{next(self._numbers)}",
            severity=EVENTS[name].severity,
            data=Fields(data),
            source=self.source,
        )

    # The trail

    def entry(
        self,
        entry: str,
        *,
        by: str | None = None,
        subject: str | None = None,
        scope: str | None = None,
        connection: str | None = None,
        event_id: str | None = None,
        first: int | None = None,
        last: int | None = None,
        **fields: Any,
    ) -> Entry:
        """An entry of the audit trail, of now.

        Args:
            entry: a key of `ENTRIES`.
            by, subject, scope, connection, event_id, first, last: see `Entry`.
            fields: its data; what is None is left out.
        """
        return Entry(
            entry=entry,
            at=int(self.wall() * 1_000_000),
            process=os.getpid(),
            by=by,
            subject=subject,
            scope=scope,
            connection=connection,
            event_id=event_id,
            first=first,
            last=last,
            data={name: plain(value) for name, value in fields.items() if value is not None},
        )

    def _joined(self) -> Entry:
        rules = attrs.asdict(self.options, filter=lambda field, _: field.name != "path")
        return self.entry(
            "writer_joined",
            host=os.uname().nodename if hasattr(os, "uname") else None,
            program=Path(sys.argv[0]).name if sys.argv else None,
            rules=rules,
        )

    def note(self, entry: str, **fields: Any) -> None:
        """Put an entry on the trail, behind all that was published. Never waits."""
        self.intake.note(self.entry(entry, **fields))

    def rouse(self) -> None:
        """Have the store look whether there is something to do. Never waits."""
        self.intake.ring()

    def ordered(self, order: Order) -> None:
        """Put an order on the trail. Never waits."""
        self.note(
            "order_given",
            by=order.by,
            subject=order.order,
            connection=order.connection,
            scope=order.scope,
            reason=order.reason,
            options=order.options or None,
        )

    def _trail_gap(self, lost: int) -> Entry:
        return self.entry("trail_gap", lost=lost)

    # Around a fork

    def before_fork(self) -> None:
        """Hold the file, if it can be had in time."""
        self._held = self.file.before_fork()

    def after_fork_in_parent(self) -> None:
        """Let it go."""
        self.file.after_fork_in_parent(self._held)

    def after_fork_in_child(self, run: str) -> None:
        """The child is a writer of its own; what waits is the parent's to write."""
        self.file.after_fork_in_child(self._held)
        self.owner.after_fork()
        self.owner = Owner(self.options.path)
        self.run = run
        self.turn = threading.RLock()
        self.intake.clear()
        self.claim = None
        self.base = self.done = self.appended = 0
        self.failing = None
        for follower in list(self.followers.values()):
            if follower.lasting:
                follower.after_fork()
            else:  # what it was behind with is the parent's
                del self.followers[follower.name]
