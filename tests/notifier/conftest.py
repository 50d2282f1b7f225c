"""A system for one test, and what waits for it without sleeping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import brama

WITHIN = 10.0
"""Seconds after which a wait has failed."""


class Recorder:
    """A handler that keeps what it got, and lets a test wait for it."""

    def __init__(self, fail: Callable[[Any], bool] = lambda _event: False) -> None:
        self.events: list[Any] = []
        self.threads: set[int] = set()
        self._fail = fail
        self._changed = threading.Condition()

    def __call__(self, event: Any) -> None:
        with self._changed:
            self.events.append(event)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()
        if self._fail(event):
            raise ValueError("the handler fails")

    async def awaited(self, event: Any) -> None:
        self(event)

    def wait(self, count: int) -> list[Any]:
        """The first `count` events, once they are there."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, WITHIN), self.events
            return self.events[:count]

    def wait_until(self, condition: Callable[[list[Any]], bool]) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.events), WITHIN), self.events
            return list(self.events)

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what only another thread can bring about and nothing announces."""
    ticks = threading.Event()
    for _ in range(int(WITHIN / 0.005)):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("it did not come true in time")


@pytest.fixture
def system() -> Iterator[brama.System]:
    system = brama.System(brama.Settings())
    yield system
    system.stop()


@pytest.fixture(name="until")
def _until() -> Callable[[Callable[[], bool]], None]:
    return until


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
