"""Dispatch: events from the registry to those who match, among many who do not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import brama
from bench.contest import WALL, Contender, Contest, Scale, WorkNotDone, agree
from bench.peers import peer
from bench.port import elixir
from brama.circuits import REGISTRY, Catalogue, Publish, Record, Shared
from brama.notifier import inline

__all__ = ["DISPATCH", "Hall", "contended"]

MATCHING = 10
MANY = 10_000
PATIENCE = 60.0
BATCH = 100
ROUND = 4 * BATCH
SIZES = (10, 100, 1_000, 10_000, 100_000)
MATCHES = (1, 10, 100, 1_000)
EVENTS = ("circuit_opened", "circuit_closed")


class Everybody:
    """An interest older than which no subscription is: all of them see all that happens."""

    version = 1 << 60

    def mask(self, connection: str, scope: str | None, kind: str | None) -> int:
        return 0


def nobody() -> None:
    """Hears from the registry that all is published."""


class Hall:
    """A system with `size` subscribers, of whom `matching` want what is published.

    They are inline, or else plain functions that run on worker threads.
    """

    def __init__(
        self, system: brama.System, size: int, matching: int = MATCHING, *, workers: bool = False
    ) -> None:
        self.matching = matching
        self._workers = workers
        self._registry: Any = system.actors.names.whereis(REGISTRY)
        # A circuit of its own, whose bell nobody hears: its records go to the registry from here,
        # as a connection actor would send them, so that the time begins there.
        self._circuit = Catalogue(Shared(interest=Everybody())).circuit("hot")
        self._complete = threading.Event()
        self._lock = threading.Lock()
        # Invariant: written under the lock; the subscriptions that have not got everything yet.
        self._left = 0
        self._goal = [0] * matching
        self.published = 0
        self.delivered = [0] * matching
        for number in range(size - matching):
            system.subscribe(inline(_Deaf(number).hear), events=EVENTS, connection=f"cold-{number}")
        for place in range(matching):
            hear = self._listener(place)
            system.subscribe(hear if workers else inline(hear), events=EVENTS, connection="hot")

    def publish(self, times: int) -> float:
        """Publish so many events, and wait until each was delivered to all who match.

        Returns:
            Seconds from the first word to the registry to the last delivery. Of CPU, all threads,
            when the handlers are inline: the loop never rests in between, so on a free machine
            that is the time.
        """
        clock = time.perf_counter if self._workers else time.process_time
        batches = [self._batch(min(BATCH, times - first)) for first in range(0, times, BATCH)]
        self._complete.clear()
        self._left = self.matching
        self._goal = [seen + times for seen in self.delivered]
        start = clock()
        for records in batches:
            self._registry.tell(Publish(records, nobody))
        if not self._complete.wait(PATIENCE):
            raise WorkNotDone(f"{self._left} of {self.matching} subscribers wait for an event")
        seconds = clock() - start
        self.published += times
        return seconds

    def done(self) -> int:
        """Deliveries, after everybody who matches has got every event once."""
        listeners = {f"listener_{place}": seen for place, seen in enumerate(self.delivered)}
        return agree("deliveries", published=self.published, **listeners) * self.matching

    def _batch(self, times: int) -> list[Record]:
        """The records of so many transitions; each has one event that somebody wants."""
        circuit = self._circuit
        for number in range(times):
            if number % 2:
                circuit.close_circuit()
            else:
                circuit.open_circuit(expires_in=1e6)
        breaker = circuit._breaker
        records = breaker.pending()
        breaker.log = None
        return records

    def _listener(self, place: int) -> Callable[[brama.Event], None]:
        delivered = self.delivered

        def hear(_event: brama.Event) -> None:
            # One subscription is handled by one thread at a time, so counting is exact.
            seen = delivered[place] + 1
            delivered[place] = seen
            if seen == self._goal[place]:
                with self._lock:
                    self._left -= 1
                    if not self._left:
                        self._complete.set()

        return hear


class _Deaf:
    """A subscriber that must not be called."""

    def __init__(self, number: int) -> None:
        self._number = number

    def hear(self, event: brama.Event) -> None:
        raise WorkNotDone(f"subscriber {self._number} got {event.event} of {event.connection}")


@contextmanager
def dispatch(scale: Scale) -> Generator[list[Contender], None, None]:
    """The small hall is the peer: the same matches among a tenth of the subscribers."""
    many = int(MANY * scale.size)
    with brama.System(name="large") as large, brama.System(name="small") as small:
        contenders = []
        for name, system, size in (
            ("brama", large, many),
            ("a tenth", small, many // 10),
        ):
            contenders.append(contended(name, Hall(system, size)))
        if blinker := peer("blinker"):
            contenders.append(_signals(blinker, many))
        with elixir(many) as beam:
            if beam is not None:
                times = ROUND * MATCHING
                contenders.append(beam.contender("elixir", "dispatch", times=times, size=MATCHING))
            yield contenders


def _signals(blinker: Any, size: int) -> Contender:
    """A signal with as many receivers, ten of them for the sender: called there and then."""
    signal = blinker.Signal()
    delivered = [0] * MATCHING
    sent = 0

    def deaf(number: int) -> Callable[..., None]:
        def hear(sender: object, **_fields: object) -> None:
            raise WorkNotDone(f"receiver {number} got what {sender} sent")

        return hear

    def listener(place: int) -> Callable[..., None]:
        def hear(_sender: object, **_fields: object) -> None:
            delivered[place] += 1

        return hear

    for number in range(size - MATCHING):
        signal.connect(deaf(number), sender=f"cold-{number}", weak=False)
    for place in range(MATCHING):
        signal.connect(listener(place), sender="hot", weak=False)

    def run(times: int) -> None:
        nonlocal sent
        for _ in range(times // MATCHING):
            signal.send("hot", event="circuit_opened")
        sent += times // MATCHING

    def done() -> int:
        listeners = {f"listener_{place}": seen for place, seen in enumerate(delivered)}
        return agree("deliveries", sent=sent, **listeners) * MATCHING

    return Contender("blinker", run, done, times=ROUND * MATCHING)


def contended(name: str, hall: Hall, **options: Any) -> Contender:
    """One time is one delivery, so that the figure compares with those of other registries."""
    hall.publish(2)  # until all actors of the subscriptions are up
    before = hall.done()
    matching = hall.matching

    def run(times: int) -> float:
        return hall.publish(times // matching) / times

    events = max(2, ROUND * MATCHING // matching)
    return Contender(name, run, lambda: hall.done() - before, times=events * matching, **options)


@contextmanager
def on_workers(scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        yield [contended("brama", Hall(system, int(MANY * scale.size), workers=True))]


@contextmanager
def by_subscribers(scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        yield [
            contended(
                f"{size:,}".replace(",", " "),
                Hall(stack.enter_context(brama.System()), size),
                series="brama",
                at=float(size),
                compared=size == SIZES[0],
            )
            for size in reversed(SIZES)
            if size <= SIZES[-1] * scale.size
        ]


@contextmanager
def by_matches(scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        yield [
            contended(
                str(matching),
                Hall(stack.enter_context(brama.System()), 1000, matching),
                series="brama",
                at=float(matching),
                compared=False,
            )
            for matching in MATCHES
            if matching <= MATCHES[-1] * scale.size
        ]


DISPATCH = (
    Contest(
        "dispatch",
        "deliveries of events to 10 inline subscribers among 10 000 (quick: 1 000)",
        dispatch,
        unit="/s",
        clock=WALL,
    ),
    Contest(
        "dispatch-workers",
        "the same to 10 functions on worker threads",
        on_workers,
        unit="/s",
        clock=WALL,
    ),
    Contest(
        "by-subscribers",
        "a delivery, CPU, 10 matching among so many subscribers",
        by_subscribers,
        axis="subscribers",
    ),
    Contest(
        "by-matches",
        "a delivery, CPU, with so many matching among 1 000 subscribers",
        by_matches,
        axis="matching subscribers",
        quick=False,
    ),
)
