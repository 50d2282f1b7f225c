"""A real OTLP/HTTP receiver in the process: exporters send to it over a socket.

Its loop is asyncio's, in a daemon thread of its own, so that it can be used from plain code, and
from under any other loop, without touching it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import attrs
from aiohttp import web

from .errors import unknown
from .received import Measurement, Span, decode_metrics, decode_spans

__all__ = ["Fault", "OtlpReceiver", "Request"]

Fault = Literal["unavailable", "silent", "refused"]
_FAULTS: Final = ("unavailable", "silent", "refused")
_START: Final = 10.0
_STOP: Final = 5.0

T = TypeVar("T")


@attrs.frozen(eq=False)
class Request:
    """One export as it came in: path, headers (lower-case names), size of the inflated body."""

    path: str
    headers: dict[str, str]
    size: int


class OtlpReceiver:
    """Receives spans and metrics by OTLP over HTTP on loopback, and keeps all of them.

    Example:
        >>> with OtlpReceiver() as receiver:
        ...     telemetry = brama.telemetry.configure(endpoint=receiver.endpoint)
        ...     ...
        ...     telemetry.force_flush()
        ...     spans = receiver.wait_for(lambda r: r.spans)

    It answers as a collector does: protobuf bodies, gzip or deflate, 415 for anything else. With
    `failing` it is down, broken or silent for a while.

    Failure: a port that cannot be had raises `OSError` from ``with``.
    Threads: any.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._spans: list[Span] = []
        self._measurements: list[Measurement] = []
        self._requests: list[Request] = []
        self._fault: Fault | None = None  # Invariant: touched on the loop only.
        self._arrived = 0
        # Invariant: the lists and _arrived change under it; notified at each arrival.
        self._arrival = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="otlp-receiver", daemon=True
        )
        self._runner: web.ServerRunner | None = None
        self._recovered = asyncio.Event()  # set on the loop, when a fault ends

    # What arrived.

    @property
    def endpoint(self) -> str:
        """The base URL to give to exporters: ``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def spans(self) -> list[Span]:
        """The spans in the order of their arrival; a copy."""
        with self._arrival:
            return self._spans.copy()

    @property
    def metrics(self) -> list[Measurement]:
        """Every series of every export, in the order of arrival; a copy."""
        with self._arrival:
            return self._measurements.copy()

    @property
    def requests(self) -> list[Request]:
        """Every export that came in, also those that a fault refused; a copy."""
        with self._arrival:
            return self._requests.copy()

    def traces(self) -> dict[str, list[Span]]:
        """The spans by their trace id, each trace by start time, the earliest trace first."""
        traces: dict[str, list[Span]] = {}
        for span in sorted(self.spans, key=lambda span: span.start):
            traces.setdefault(span.trace_id, []).append(span)
        return traces

    def clear(self) -> None:
        """Forget what arrived."""
        with self._arrival:
            self._spans.clear()
            self._measurements.clear()
            self._requests.clear()

    def wait_for(self, predicate: Callable[[OtlpReceiver], T], timeout: float = 5.0) -> T:
        """Wait until `predicate`, called with the receiver at each arrival, is true; return it.

        Raises:
            TimeoutError: it did not become true within `timeout` seconds; says what is there.
        """
        end = time.monotonic() + timeout
        seen = self._arrived
        # Outside of the lock, for a predicate may flush, and so need an arrival itself.
        while not (found := predicate(self)):
            with self._arrival:
                while self._arrived == seen:
                    left = end - time.monotonic()
                    if left <= 0:
                        raise TimeoutError(self._in_vain(timeout))
                    self._arrival.wait(left)
                seen = self._arrived
        return found

    def _in_vain(self, timeout: float) -> str:
        return (
            f"what was waited for did not arrive at {self.endpoint} in {timeout} s; "
            f"there are {len(self._requests)} exports with spans "
            f"{sorted({span.name for span in self._spans})} and metrics "
            f"{sorted({metric.name for metric in self._measurements})}"
        )

    # Faults.

    @contextmanager
    def failing(self, fault: Fault) -> Generator[None]:
        """Be in trouble during the ``with`` block.

        ``unavailable`` answers 503; ``silent`` accepts and does not answer until the block ends;
        ``refused`` does not listen, so connections are refused, and listens again on the same
        port afterwards.
        """
        if fault not in _FAULTS:
            raise unknown("fault", fault, _FAULTS)
        self._run(self._break(fault))
        try:
            yield
        finally:
            self._run(self._recover())

    async def _break(self, fault: Fault) -> None:
        self._recovered.clear()
        self._fault = fault
        if fault == "refused":
            await self._close()

    async def _recover(self) -> None:
        fault, self._fault = self._fault, None
        self._recovered.set()
        if fault == "refused":
            await self._listen()

    # The server.

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._run(self._finish())
        finally:
            self._stop_loop()

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP)
        if not self._thread.is_alive():
            self._loop.close()

    async def _listen(self) -> None:
        # web.Server and not web.Application: no routes, and its runner can be made anew.
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", self._port))
        await web.SockSite(runner, listener).start()
        self._runner = runner
        self._port = listener.getsockname()[1]

    async def _close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _finish(self) -> None:
        self._recovered.set()
        await self._close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        # Inflated by aiohttp. Not `request.read()`, which refuses more than a mebibyte.
        body = await request.content.read()
        fault = self._fault
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._arrival:
            self._requests.append(Request(request.path, headers, len(body)))
            self._tell()
        if fault == "silent":
            await self._recovered.wait()
        if fault is not None:  # also after the silence: the sender has long given up
            return web.Response(status=503)
        if request.content_type != "application/x-protobuf":
            return web.Response(status=415)
        try:
            status = self._keep(request.path, body)
        except Exception:  # noqa: BLE001 - protobuf's errors have no types; the sender's fault
            status = 400
        # An empty body is a complete answer in protobuf: nothing was rejected.
        return web.Response(status=status, content_type="application/x-protobuf")

    def _tell(self) -> None:
        self._arrived += 1
        self._arrival.notify_all()

    def _keep(self, path: str, body: bytes) -> int:
        if path == "/v1/traces":
            spans = decode_spans(body)
            with self._arrival:
                self._spans.extend(spans)
                self._tell()
        elif path == "/v1/metrics":
            measurements = decode_metrics(body)
            with self._arrival:
                self._measurements.extend(measurements)
                self._tell()
        else:
            return 404
        return 200
