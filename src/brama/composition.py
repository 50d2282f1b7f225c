"""What a system is made of, and how the parts are put together."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from brama.actors import ActorDeadError, ActorSystem, ChildSpec, HostError, SystemStoppedError
from brama.circuits import (
    REGISTRY,
    Bells,
    Catalogue,
    Circuits,
    Cleanup,
    Groups,
    Publish,
    Shared,
    Sources,
    Survey,
    Tally,
    check_name,
    merge,
)
from brama.notifier import (
    Journal,
    JournalOptions,
    Registry,
    Store,
    Subscribers,
    Subscriptions,
    alarm,
    finish,
    keep,
)
from brama.telemetry import ConfigError

from .figures import Figures
from .forks import hold_around_forks
from .settings import Settings

__all__ = ["AT_EXIT", "Composition"]

logger = logging.getLogger("brama")

AT_EXIT = 1.0
"""Seconds that the journal may wait for its file at the exit of the process, and handlers may take
for what waits for them."""


class Composition:
    """The parts of a `System`, put together and not started.

    What must outlive the crash of an actor is held here; what the parts have to do with each other
    is said here, and nowhere else.

    Args: those of `System`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        name: str = "brama",
        journal: JournalOptions | str | Path | None = None,
    ) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigError("settings", "a brama.Settings", settings)
        check_name("name", name)  # before a journal is opened for it
        self.settings = Settings.from_environment() if settings is None else settings
        self._configured: dict[str, Any] = {}
        # Invariant: _configured is read, merged and replaced under it.
        self._configuring = threading.Lock()
        self._refused = False
        self._hosted = False  # in somebody else's loop, by `run`
        self._shared = Shared(clock=self.settings.clock)
        self._shared.severities = self.settings.severities
        self._shared.metadata = self.settings.metadata
        self._catalogue = Catalogue(self._shared, self._defaults)
        self._groups = Groups(self._catalogue.at)
        self._sources = Sources(self._call_soon)
        self._shared.sources = self._sources
        self._catalogue.held = lambda key: self._groups.holds(key) or self._sources.holds(key)
        if self.settings.testing_mode:
            self._catalogue.deactivate()
        self._cleanup = Cleanup(self._catalogue)
        self._cleanup.configure(**self.settings.cleanup)
        self._bells = Bells(self._call_soon)
        self._shared.bell = self._bells.ring
        self._journal: Journal | None = None
        kept = JournalOptions.parse(journal) or self.settings.journal
        if kept is not None:
            self._journal = Journal(kept, self._shared.source, wall=self._shared.wall)
            self._shared.resume(self._journal.open())
            self._shared.ordered = self._journal.ordered
            # Before any that the actors register, and so after them: exits go backwards.
            atexit.register(_finish_at_exit, weakref.ref(self))
        self._subscriptions = Subscriptions(
            self._shared,
            self._call_soon,
            lambda: self.actors.on_loop_thread(),  # noqa: PLW0108 - there is no `actors` yet
            self._journal,
            self._catalogue.snapshots,
            self._alarm,
        )
        self.actors = ActorSystem(
            name,
            children=self._children,
            stop_timeout=self.settings.stop_timeout,
            at_exit=lambda left: self._subscriptions.drain(time.monotonic() + min(left, AT_EXIT)),
        )
        # Alarms that nobody was there to publish; more than a few would say the same.
        self._unsaid: deque[dict[str, Any]] = deque(maxlen=10)
        self.actors.on_ready.append(self._say_alarms)
        self._tally = Tally(self._catalogue.pieces, self._shared)
        self._tally.show()
        self._survey = Survey(self._catalogue)
        self._figures = Figures(self.actors)
        hold_around_forks(self)

    def _defaults(self) -> Mapping[str, Any]:
        return merge(self.settings.options, self._configured)

    def _children(self) -> list[ChildSpec]:
        # Producers last: the tree stops from the bottom, so that what is under way drains
        # downwards.
        journal = self._journal
        store = (
            []
            if journal is None
            else [ChildSpec("store", Store, (journal, self._alarm), name="store")]
        )
        return [
            *store,
            ChildSpec("subscribers", Subscribers, (self._subscriptions,)),
            ChildSpec(
                "registry",
                Registry,
                (self._subscriptions.index, self._bells, journal),
                name=REGISTRY,
            ),
            ChildSpec("circuits", Circuits, (self._bells, self._cleanup, self._sources)),
        ]

    def _call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it on the loop; begin to start that if need be. Never waits, never raises."""
        if self.actors.call_soon(function, *args):
            return
        # What is lost because the loop is not up yet is found in the tables when it is.
        try:
            self.actors.start_soon()
        except SystemStoppedError:
            pass  # circuits protect all the same
        except HostError:
            if not self._refused:
                self._refused = True
                logger.exception(
                    "events of %r reach nobody; its circuits protect all the same", self
                )

    def _alarm(self, fields: dict[str, Any]) -> None:
        """Publish that a part of ours fails, or works again; at most once.

        What fails while the tree comes up is said when it stands.
        """
        registry = self.actors.names.whereis(REGISTRY)
        if registry is None:
            self._unsaid.append(fields)
            return
        try:
            registry.tell(Publish([alarm(self._shared, fields)], _nobody_waits))
        except ActorDeadError:
            pass

    def _say_alarms(self) -> None:
        while self._unsaid:
            self._alarm(self._unsaid.popleft())

    def _finish_journal(self, timeout: float) -> None:
        """The actors have ended: what they have not published is kept for the next time."""
        if self._journal is not None:
            keep(self._bells.unpublished(), self._subscriptions.index, self._journal)
            finish(self._journal, timeout)

    # Around a fork; see `forks`.

    def _before_fork(self) -> None:
        if self._journal is not None:
            self._journal.before_fork()
        self._catalogue.before_fork()

    def _after_fork_in_parent(self) -> None:
        self._catalogue.after_fork_in_parent()
        if self._journal is not None:
            self._journal.after_fork_in_parent()

    def _after_fork_in_child(self) -> None:
        self._configuring = threading.Lock()  # whoever held it is not there to release it
        self._bells.forget_all()
        self._subscriptions.after_fork()
        self._groups.after_fork()
        self._sources.after_fork()
        self._catalogue.after_fork_in_child()
        self._tally.after_fork()
        self._survey.after_fork()
        if self._journal is not None:
            self._journal.after_fork_in_child(self._shared.source)


def _finish_at_exit(found: weakref.ref[Composition]) -> None:
    system = found()
    if system is not None:
        system._finish_journal(AT_EXIT)


def _nobody_waits() -> None:
    """Of the publication of an alarm."""
