"""The callers: a small service that calls its upstreams all the time, in three styles.

Each upstream has one circuit, and plain threads, asyncio tasks and trio tasks share it. Each style
shows another way to guard a call: the decorator, ``async with circuit.guard()``, ``acall``.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial

import aiohttp
import trio
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer

from brama.circuits import Circuit, CircuitOpenError, State

from .upstreams import Upstream

__all__ = ["RUNTIMES", "Caller", "Service", "UpstreamError", "tallies"]

RUNTIMES = ("threads", "asyncio", "trio")

_SLACK = 2.0
"""Seconds beyond the deadline of a call that a caller may take to end."""


class UpstreamError(Exception):
    """An upstream answered with a status that says it is out of order."""


class Caller:
    """One loop of guarded calls, and its tally.

    Threads: the loop itself writes, anybody may read.
    """

    def __init__(
        self, runtime: str, upstream: Upstream, circuit: Circuit, deadline: float, seed: int
    ) -> None:
        self.runtime = runtime
        self.upstream = upstream
        self.circuit = circuit
        self.deadline = deadline
        self.attempts = 0
        self.succeeded = 0
        self.failed = 0
        self.refused = 0
        self.latencies: list[float] = []
        """Seconds of each successful call through the closed circuit, the span included."""
        self._random = random.Random(f"{seed} {runtime} {upstream.name}")
        self._tracer = get_tracer("brama.demo")

    def pause(self) -> float:
        """Seconds until the next call."""
        return self._random.uniform(0.015, 0.045)

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Around one guarded call: its span, a root, and its place in the tally."""
        closed = self.circuit.state is State.CLOSED
        self.attempts += 1
        begin = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"request {self.upstream.name}",
            Context(),
            kind=SpanKind.CLIENT,
            attributes={"demo.runtime": self.runtime, "server.port": self.upstream.port},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:  # noqa: BLE001 - what goes wrong is what is shown
                if isinstance(error, CircuitOpenError):
                    self.refused += 1
                else:
                    self.failed += 1
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
            else:
                self.succeeded += 1
                if closed:
                    self.latencies.append(time.perf_counter() - begin)


class Service:
    """All callers: a plain thread for each upstream, one asyncio loop, one trio loop.

    Args:
        callers: what is called, from where.
        on_asyncio: called once on the asyncio loop, before its first call.
    """

    def __init__(self, callers: Sequence[Caller], on_asyncio: Callable[[], object]) -> None:
        self.callers = tuple(callers)
        self.faults: list[str] = []
        """What ended a caller that should have gone on; empty when all is well."""
        self._on_asyncio = on_asyncio
        self._stopping = threading.Event()
        self._resting = threading.Event()  # the asyncio callers have ended; their loop goes on
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._asyncio = self._thread("asyncio", lambda: asyncio.run(self._call_from_asyncio()))
        self._others = [
            self._thread("trio", lambda: trio.run(self._call_from_trio)),
            *(
                self._thread("call", partial(self._call_from_thread, caller))
                for caller in self._of("threads")
            ),
        ]

    def start(self) -> None:
        """Begin to call."""
        for thread in (self._asyncio, *self._others):
            thread.start()

    def stop(self) -> None:
        """Finish the calls under way and begin no other. The asyncio loop goes on, for handlers."""
        self._stopping.set()
        end = time.monotonic() + max(caller.deadline for caller in self.callers) + _SLACK
        for thread in self._others:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        if self._asyncio.ident is not None:
            self._resting.wait(max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Stop, and end the asyncio loop, too."""
        self.stop()
        loop, leave = self._loop, self._leave
        if loop is not None and leave is not None:
            try:
                loop.call_soon_threadsafe(leave.set)
            except RuntimeError:
                pass  # it has ended already
        if self._asyncio.ident is not None:
            self._asyncio.join(_SLACK)

    def _of(self, runtime: str) -> list[Caller]:
        return [caller for caller in self.callers if caller.runtime == runtime]

    def _thread(self, name: str, target: Callable[[], object]) -> threading.Thread:
        def main() -> None:
            try:
                target()
            except Exception as error:  # noqa: BLE001 - the expectations report it
                self.faults.append(f"{name}: {error!r}")
            finally:
                if name == "asyncio":
                    self._resting.set()

        return threading.Thread(target=main, name=f"service-{name}", daemon=True)

    # Plain threads: the decorator.

    def _call_from_thread(self, caller: Caller) -> None:
        @caller.circuit
        def fetch() -> None:
            _fetch(caller.upstream.port, caller.deadline)

        while not self._stopping.wait(caller.pause()):
            with caller.attempt():
                fetch()

    # asyncio: a guard around the call.

    async def _call_from_asyncio(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        self._on_asyncio()
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(
                *(self._call_from_task(caller, session) for caller in self._of("asyncio"))
            )
        self._resting.set()
        await self._leave.wait()

    async def _call_from_task(self, caller: Caller, session: aiohttp.ClientSession) -> None:
        url = f"http://127.0.0.1:{caller.upstream.port}/"
        timeout = aiohttp.ClientTimeout(total=caller.deadline)
        while not self._stopping.is_set():
            await asyncio.sleep(caller.pause())
            with caller.attempt():
                async with caller.circuit.guard(), session.get(url, timeout=timeout) as response:
                    await response.read()
                    _check(response.status)

    # trio: a function that is called through the circuit.

    async def _call_from_trio(self) -> None:
        async with trio.open_nursery() as nursery:
            for caller in self._of("trio"):
                nursery.start_soon(self._call_from_trio_task, caller)

    async def _call_from_trio_task(self, caller: Caller) -> None:
        while not self._stopping.is_set():
            await trio.sleep(caller.pause())
            with caller.attempt():
                await caller.circuit.acall(_afetch, caller.upstream.port, caller.deadline)


def _check(status: int) -> None:
    if status >= 500:
        raise UpstreamError(f"HTTP {status}")


def _fetch(port: int, deadline: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=deadline)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        _check(response.status)
    finally:
        connection.close()


async def _afetch(port: int, deadline: float) -> None:
    with trio.fail_after(deadline):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join([part async for part in stream])
    _check(int(answer.split(maxsplit=2)[1]))


def tallies(callers: Sequence[Caller]) -> dict[str, dict[str, int]]:
    """The tallies summed up by runtime."""
    return {
        runtime: {
            field: sum(getattr(caller, field) for caller in callers if caller.runtime == runtime)
            for field in ("attempts", "succeeded", "failed", "refused")
        }
        for runtime in RUNTIMES
    }
