"""Actors beside pykka's threads: telling, bursts between actors, asking."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pykka

from bench.contest import WALL, Contender, Contest, Scale, WorkNotDone
from brama.actors import ActorSystem, InlineActor

from .work import looped

__all__ = ["ACTORS"]

PATIENCE = 30.0


class Tally:
    """What an actor has received, and the word that it has received all of it."""

    def __init__(self) -> None:
        self.received = 0
        self.expected = -1
        self.complete = threading.Event()

    def expect(self, times: int) -> None:
        self.complete.clear()
        self.expected = self.received + times

    def wait(self) -> None:
        if not self.complete.wait(PATIENCE):
            raise WorkNotDone(f"an actor received {self.received} of {self.expected} messages")


def _count(tally: Tally, message: Any) -> Any:
    tally.received += 1
    if tally.received == tally.expected:
        tally.complete.set()
    return message


class Receiver(InlineActor):
    """Counts what it is told."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> Any:
        tally = self._tally
        tally.received += 1
        if tally.received == tally.expected:
            tally.complete.set()


class ThreadReceiver(pykka.ThreadingActor):
    """The same on pykka's thread."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> Any:
        tally = self._tally
        tally.received += 1
        if tally.received == tally.expected:
            tally.complete.set()


class Sender(InlineActor):
    """Told a number, tells the receiver so often."""

    def __init__(self, receiver: Any) -> None:
        super().__init__()
        self._receiver = receiver

    def on_receive(self, message: int) -> None:
        _burst(self._receiver, message)


class ThreadSender(pykka.ThreadingActor):
    """The same on pykka's thread."""

    def __init__(self, receiver: Any) -> None:
        super().__init__()
        self._receiver = receiver

    def on_receive(self, message: int) -> None:
        _burst(self._receiver, message)


def _burst(receiver: Any, times: int) -> None:
    tell = receiver.tell
    for _ in repeat(None, times):
        tell("message")


class Echo(InlineActor):
    """Replies with what it was asked."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> Any:
        return _count(self._tally, message)


class ThreadEcho(pykka.ThreadingActor):
    """The same on pykka's thread."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> Any:
        return _count(self._tally, message)


@contextmanager
def _threaded(*actors: Any) -> Generator[None, None, None]:
    try:
        yield
    finally:
        for ref in actors:
            ref.stop()


def _told(name: str, begin: Callable[[int], object], tally: Tally) -> Contender:
    """A round is over when the last message has been handled."""

    def run(times: int) -> None:
        tally.expect(times)
        begin(times)
        tally.wait()

    return Contender(name, run, lambda: tally.received)


@contextmanager
def tell(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system:
        receiver = system.spawn(Receiver, ours)
        thread = ThreadReceiver.start(theirs)
        with _threaded(thread):
            yield [
                _told("brama", lambda times: _burst(receiver, times), ours),
                _told("pykka", lambda times: _burst(thread, times), theirs),
            ]


@contextmanager
def burst(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system:
        sender = system.spawn(Sender, system.spawn(Receiver, ours))
        receiver = ThreadReceiver.start(theirs)
        thread = ThreadSender.start(receiver)
        with _threaded(thread, receiver):
            yield [
                _told("brama", sender.tell, ours),
                _told("pykka", thread.tell, theirs),
            ]


@contextmanager
def ask(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system:
        echo = system.spawn(Echo, ours)
        thread = ThreadEcho.start(theirs)
        with _threaded(thread):
            yield [
                Contender("brama", looped(lambda: echo.ask("?")), lambda: ours.received),
                Contender("pykka", looped(lambda: thread.ask("?")), lambda: theirs.received),
            ]


ACTORS = (
    Contest(
        "tell", "tells of another thread, all handled", tell, unit="/s", clock=WALL, slice=0.04
    ),
    Contest(
        "burst", "tells of one actor to another, all handled", burst, "/s", clock=WALL, slice=0.04
    ),
    Contest("ask", "a blocking ask of another thread", ask, "us", clock=WALL, slice=0.02),
)
