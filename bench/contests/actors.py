"""Actors beside pykka's threads and the BEAM's processes: telling, asking, starting, stopping."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pykka

from bench.contest import WALL, Contender, Contest, Scale, WorkNotDone
from bench.port import erlang
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


class Player(InlineActor):
    """Sends a ball back until it has done so often enough; told a number, it serves."""

    def __init__(self, tally: Tally | None = None) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> None:
        _return(self._tally, self.actor_ref, message)


class ThreadPlayer(pykka.ThreadingActor):
    """The same on pykka's thread."""

    def __init__(self, tally: Tally | None = None) -> None:
        super().__init__()
        self._tally = tally

    def on_receive(self, message: Any) -> None:
        _return(self._tally, self.actor_ref, message)


def _return(tally: Tally | None, me: Any, other: Any) -> None:
    if tally is not None:
        tally.received += 1
        if tally.received == tally.expected:
            tally.complete.set()
            return
    other.tell(me)


class Mortal(InlineActor):
    """Says that it has started, and that it has stopped."""

    def __init__(self, up: Tally, down: Tally) -> None:
        super().__init__()
        self._up, self._down = up, down

    def on_start(self) -> None:
        _count(self._up, None)

    def on_stop(self) -> None:
        _count(self._down, None)


class ThreadMortal(pykka.ThreadingActor):
    """The same on pykka's thread, of which many count at once."""

    lock = threading.Lock()

    def __init__(self, up: Tally, down: Tally) -> None:
        super().__init__()
        self._up, self._down = up, down

    def on_start(self) -> None:
        with self.lock:
            _count(self._up, None)

    def on_stop(self) -> None:
        with self.lock:
            _count(self._down, None)


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
                _handed_over(),
            ]


def _handed_over() -> Contender:
    """What no mailbox can undercut: into a deque, and out of it, in one thread."""
    queue: deque[str] = deque()
    received = 0

    def run(times: int) -> None:
        nonlocal received
        put, take = queue.append, queue.popleft
        for _ in repeat(None, times):
            put("message")
        while queue:
            take()
            received += 1

    return Contender("bare deque", run, lambda: received)


@contextmanager
def burst(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system, erlang() as beam:
        sender = system.spawn(Sender, system.spawn(Receiver, ours))
        receiver = ThreadReceiver.start(theirs)
        thread = ThreadSender.start(receiver)
        with _threaded(thread, receiver):
            yield [
                _told("brama", sender.tell, ours),
                _told("pykka", thread.tell, theirs),
                *([beam.contender("erlang", "tell")] if beam else []),
            ]


@contextmanager
def ping_pong(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system, erlang() as beam:
        ping, pong = system.spawn(Player, ours), system.spawn(Player)
        thread, other = ThreadPlayer.start(theirs), ThreadPlayer.start()
        with _threaded(thread, other):
            # The pong returns the ball to `ping`, who counts.
            yield [
                _told("brama", lambda _times: pong.tell(ping), ours),
                _told("pykka", lambda _times: other.tell(thread), theirs),
                *([beam.contender("erlang", "pingpong")] if beam else []),
            ]


@contextmanager
def ask(_scale: Scale) -> Generator[list[Contender], None, None]:
    ours, theirs = Tally(), Tally()
    with ActorSystem("bench") as system, erlang() as beam:
        echo = system.spawn(Echo, ours)
        thread = ThreadEcho.start(theirs)
        with _threaded(thread):
            yield [
                Contender("brama", looped(lambda: echo.ask("?")), lambda: ours.received),
                Contender("pykka", looped(lambda: thread.ask("?")), lambda: theirs.received),
                *([beam.contender("erlang", "call")] if beam else []),
            ]


def _lives(
    name: str, start: Callable[[Tally, Tally], Any], *, stops: bool, times: int
) -> Contender:
    """So many actors are started, then told to stop; the one or the other is timed."""
    up, down = Tally(), Tally()

    def run(times: int) -> float:
        up.expect(times)
        down.expect(times)
        began = time.perf_counter()
        refs = [start(up, down) for _ in repeat(None, times)]
        up.wait()
        started = time.perf_counter()
        for ref in refs:
            ref.stop(block=False)
        down.wait()
        stopped = time.perf_counter()
        return (stopped - started if stops else started - began) / times

    return Contender(name, run, lambda: down.received if stops else up.received, times=times)


def lives(*, stops: bool) -> Any:
    @contextmanager
    def contest(scale: Scale) -> Generator[list[Contender], None, None]:
        times = int(1000 * scale.size)
        with ActorSystem("bench") as system, erlang() as beam:
            yield [
                _lives(
                    "brama", lambda *told: system.spawn(Mortal, *told), stops=stops, times=times
                ),
                _lives("pykka", ThreadMortal.start, stops=stops, times=times // 10),
                *(
                    [beam.contender("erlang", "stop" if stops else "start", times=times)]
                    if beam
                    else []
                ),
            ]

    return contest


ACTORS = (
    Contest(
        "tell", "tells of another thread, all handled", tell, unit="/s", clock=WALL, slice=0.04
    ),
    Contest(
        "burst", "tells of one actor to another, all handled", burst, "/s", clock=WALL, slice=0.04
    ),
    Contest(
        "ping-pong",
        "two actors tell each other in turns, there and back",
        ping_pong,
        "/s",
        clock=WALL,
        slice=0.02,
    ),
    Contest("ask", "a blocking ask of another thread", ask, "us", clock=WALL, slice=0.02),
    Contest("start", "an actor started, until it says so", lives(stops=False), "us", clock=WALL),
    Contest("stop", "an actor stopped, until it says so", lives(stops=True), "us", clock=WALL),
)
