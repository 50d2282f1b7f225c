"""What a system has recorded: its journal, to wait for and to read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta

from brama.circuits import Circuit, ConnectionKind, named, seconds
from brama.notifier import Event, Journal, Replay, Trail
from brama.telemetry import ConfigError

from .composition import Composition

__all__ = ["Recorded"]


class Recorded(Composition):
    """The journal of a `System`, if it keeps one."""

    @property
    def journal(self) -> Journal | None:
        """The store of events, if the settings name one."""
        return self._journal

    def replay(
        self,
        *,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
        events: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        kind: ConnectionKind | str | None = None,
        timeout: float | timedelta = 5.0,
    ) -> Replay:
        """The events in the journal, oldest first; see `brama.replay`.

        Raises:
            ConfigError: there is no journal, or a wrong argument.
        """
        journal = self._kept("events are to be replayed")
        connection, scope = named(connection, scope, self._shared)
        made = Replay(
            journal.options.path,
            since=since,
            until=until,
            events=events,
            connection=connection,
            scope=scope,
            kind=kind,
        )
        if journal.failing is None:  # else it could be long until it works again
            self.flush(timeout)
        return made

    def trail(
        self,
        *,
        since: datetime | timedelta | float | None = None,
        until: datetime | timedelta | float | None = None,
        entries: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        subject: str | None = None,
        by: str | None = None,
        event: Event | str | None = None,
        timeout: float | timedelta = 5.0,
    ) -> Trail:
        """The audit trail in the journal, oldest first; see `brama.trail`.

        Raises:
            ConfigError: there is no journal, or a wrong argument.
        """
        journal = self._kept("its trail is to be read")
        connection, scope = named(connection, scope, self._shared)
        made = Trail(
            journal.options.path,
            since=since,
            until=until,
            entries=entries,
            connection=connection,
            scope=scope,
            subject=subject,
            by=by,
            event=event,
        )
        if journal.failing is None:
            self.flush(timeout)
        return made

    def _kept(self, where: str) -> Journal:
        """The journal. Raises `ConfigError` if there is none."""
        if self._journal is None:
            raise ConfigError(
                "journal",
                f"set where {where}",
                None,
                hint='Make one: brama.Settings(journal="sqlite:///path"), or set BRAMA_JOURNAL.',
            )
        return self._journal

    def flush(self, timeout: float | timedelta = 5.0) -> bool:
        """Wait until all that has happened so far is in the journal.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether it is; at once and True without a journal.

        Threads: any. On a loop of yours it blocks, so call it in a thread. On Brama's own loop,
            which would wait for itself, and after `stop`, when nobody writes, it only looks.
        """
        deadline = time.monotonic() + seconds("timeout", timeout, zero=True)
        journal = self._journal
        if journal is None:
            return True
        if self.actors.stopped or self.actors.on_loop_thread():
            deadline = 0.0
        tick = threading.Event()
        while not self._bells.published():
            if time.monotonic() >= deadline:
                return False
            tick.wait(0.001)
        return journal.wait(max(0.0, deadline - time.monotonic()))
