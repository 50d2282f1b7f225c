"""From an upstream that fails to the handler that runs, and to the journal that has it on disk.

The upstream is a real server on loopback. It notes the time right before it hangs up on its caller,
and from there everything counts: the client's read, the guarded call, the transition, the loop.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import brama
from bench.contest import TAILS, WALL, Contender, Contest, Scale, WorkNotDone, agree
from brama.notifier import JournalOptions, inline

__all__ = ["END_TO_END", "Outage", "Storm", "Upstream"]

PATIENCE = 10.0
TRIPS = 40
REST = 0.0005
BURST = 2_000
CIRCUITS = 100
FOREVER = 1e6


class Upstream:
    """Accepts on loopback, and hangs up on whoever has asked.

    Attributes:
        failed_at: when it did so last.
        failures: how often.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self.failed_at = 0.0
        self.failures = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)

    def call(self) -> bytes:
        """What a client does: connect, ask, read; nothing read is an error of the connection."""
        with socket.create_connection(self.address, PATIENCE) as client:
            client.sendall(b"?")
            if not (answer := client.recv(16)):
                raise ConnectionResetError("the upstream has hung up")
            return answer

    def _serve(self) -> None:
        while True:
            try:
                client, _address = self._socket.accept()
            except OSError:
                return
            with client:
                client.recv(16)
                self.failures += 1
                self.failed_at = time.perf_counter()


class Outage:
    """One circuit before the upstream, and who hears when that fails."""

    def __init__(self, system: brama.System, upstream: Upstream, *, workers: bool = False) -> None:
        self._system = system
        self._upstream = upstream
        self._circuit = system.circuit("upstream", failure_threshold=1, expiry=FOREVER)
        self._guarded = self._circuit(upstream.call)
        self._heard = threading.Event()
        self._at = 0.0
        self.opened = 0
        self.closed = 0
        self.trips = 0
        system.subscribe(
            self._hear if workers else inline(self._hear),
            events=["circuit_opened", "circuit_closed"],
        )
        self.until_heard()

    def until_heard(self) -> float:
        """Seconds from the upstream's failure to the handler's first line."""
        self._fail()
        self._wait()
        seconds = self._at - self._upstream.failed_at
        self._recover()
        return seconds

    def until_durable(self) -> float:
        """Seconds from the upstream's failure until the journal has the event on disk."""
        journal = self._system.journal
        assert journal is not None
        before = journal.status().appended
        self._fail()
        # The handler is told before the journal is done; the failing call may be faster than both.
        self._wait()
        if not journal.wait(PATIENCE):
            raise WorkNotDone(f"the journal has not appended within {PATIENCE:g} s")
        seconds = time.perf_counter() - self._upstream.failed_at
        if journal.status().appended <= before:
            raise WorkNotDone("the journal has appended nothing of a transition")
        self._recover()
        return seconds

    def done(self) -> int:
        """Trips, after upstream, circuit and handler have counted the same."""
        return agree(
            "outages",
            trips=self.trips,
            failures=self._circuit.status().failures,
            heard=self.opened,
            recovered=self.closed,
        )

    def _fail(self) -> None:
        time.sleep(REST)
        self._heard.clear()
        self.trips += 1
        try:
            self._guarded()
        except ConnectionResetError:
            pass

    def _recover(self) -> None:
        self._heard.clear()
        self._circuit.close_circuit()
        self._wait()

    def _hear(self, event: brama.Event) -> None:
        if event.event == "circuit_opened":
            self.opened += 1
            self._at = time.perf_counter()
        else:
            self.closed += 1
        self._heard.set()

    def _wait(self) -> None:
        if not self._heard.wait(PATIENCE):
            raise WorkNotDone(f"a handler heard nothing of a failure for {PATIENCE:g} s")


def _trips(name: str, trip: Callable[[], float], done: Callable[[], int]) -> Contender:
    before = done()

    def run(times: int) -> list[float]:
        return [trip() for _ in repeat(None, times)]

    return Contender(name, run, lambda: done() - before, times=TRIPS, compared=False)


@contextmanager
def heard(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as plain, brama.System() as threaded, Upstream() as up:
        inline_one, worker = Outage(plain, up), Outage(threaded, up, workers=True)
        yield [
            _trips("inline", inline_one.until_heard, inline_one.done),
            _trips("on a worker", worker.until_heard, worker.done),
        ]


@contextmanager
def durable(_scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        up = stack.enter_context(Upstream())
        contenders = []
        for name, sync in (("brama", "critical"), ("no fsync", "never")):
            outage = Outage(stack.enter_context(_journaled(stack, sync)), up)
            contenders.append(_trips(name, outage.until_durable, outage.done))
        yield contenders


def _journaled(stack: ExitStack, sync: Any) -> brama.System:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="brama-bench-"))
    options = JournalOptions(Path(folder) / "events.sqlite", sync=sync)
    return brama.System(brama.Settings(journal=options))


class Storm:
    """Circuits that open and close, a handler that hears of it, and perhaps a journal."""

    def __init__(self, system: brama.System) -> None:
        self._system = system
        self._circuits = [system.circuit(str(number), scope="storm") for number in range(CIRCUITS)]
        self._complete = threading.Event()
        self._goal = -1
        self.transitions = 0
        self.heard = 0
        system.subscribe(inline(self._hear), events=["state_change"], scope="storm")
        self.rage(CIRCUITS)
        self._before = self.transitions
        self._kept = self._appended()

    def rage(self, times: int) -> None:
        """So many transitions, until the handler has heard of each and the journal has it."""
        self._complete.clear()
        self._goal = self.heard + times
        for number in range(times):
            circuit = self._circuits[self.transitions % CIRCUITS]
            if (self.transitions // CIRCUITS) % 2:
                circuit.close_circuit()
            else:
                circuit.open_circuit(expires_in=FOREVER)
            self.transitions += 1
            if number % CIRCUITS == CIRCUITS - 1:
                time.sleep(0)  # as in a service, the loop gets its turn
        if not self._complete.wait(PATIENCE * 6):
            raise WorkNotDone(f"a handler heard of {self.heard} of {self.transitions} transitions")
        if (journal := self._system.journal) is not None and not journal.wait(PATIENCE * 6):
            raise WorkNotDone("the journal has not appended everything")

    def done(self) -> int:
        made = self.transitions - self._before
        counts = {"made": made, "heard": self.heard - self._before}
        if self._system.journal is not None:
            # Each transition is two events: the change, and the opening or closing.
            events = self._appended() - self._kept
            counts["in the journal"] = events // 2 if events % 2 == 0 else -1
        return agree("transitions", **counts)

    def _appended(self) -> int:
        journal = self._system.journal
        return 0 if journal is None else journal.status().appended

    def _hear(self, _event: brama.Event) -> None:
        self.heard += 1
        if self.heard == self._goal:
            self._complete.set()


@contextmanager
def sustained(_scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        contenders = []
        for name, system in (
            ("brama", _journaled(stack, "critical")),
            ("no fsync", _journaled(stack, "never")),
            ("no journal", brama.System()),
        ):
            storm = Storm(stack.enter_context(system))
            contenders.append(Contender(name, storm.rage, storm.done, times=BURST))
        yield contenders


END_TO_END = (
    Contest(
        "upstream-handler",
        "from the upstream's failure to the handler",
        heard,
        "us",
        clock=WALL,
        quantiles=TAILS,
    ),
    Contest(
        "upstream-journal",
        "from the upstream's failure to the disk that has the event",
        durable,
        "us",
        clock=WALL,
        quantiles=TAILS,
        quick=False,
    ),
    Contest(
        "sustained",
        "transitions of 100 circuits, each heard by a handler and in the journal",
        sustained,
        "/s",
        clock=WALL,
        quick=False,
    ),
)
