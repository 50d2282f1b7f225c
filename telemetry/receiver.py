"""A real OTLP receiver in the process: exporters send to it over a socket, by HTTP or gRPC.

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
from typing import Final, Literal, Self, TypeVar

from aiohttp import web

from .errors import unknown
from .received import Log, Measurement, Span, decode_logs, decode_metrics, decode_spans
from .request import Request

__all__ = ["Fault", "OtlpReceiver", "Request"]

Fault = Literal["unavailable", "silent", "refused"]
_FAULTS: Final = ("unavailable", "silent", "refused")
_START: Final = 10.0
_STOP: Final = 5.0

T = TypeVar("T")


class OtlpReceiver:
    """Receives spans, metrics and log records by OTLP on loopback, and keeps all of them.

    Example:
        >>> with OtlpReceiver() as receiver:
        ...     telemetry = brama.telemetry.configure(endpoint=receiver.endpoint)
        ...     ...
        ...     telemetry.force_flush()
        ...     spans = receiver.wait_for(lambda r: r.spans)

    It answers as a collector does: protobuf bodies, gzip or deflate, 415 for anything else. With
    `failing` it is down, broken or silent for a while.

    Args:
        port: where HTTP is served; 0 is any free one.
        grpc: serve gRPC as well, at `grpc_endpoint`. It has the same faults, but for
            ``refused``.

    Failure: a port that cannot be had raises `OSError` from ``with``.
    Threads: any.
    """

    def __init__(self, port: int = 0, *, grpc: bool = False) -> None:
        self._port = port
        self._grpc = grpc
        self._grpc_port = 0
        self._stop_grpc: Callable[[], None] | None = None
        self._spans: list[Span] = []
        self._measurements: list[Measurement] = []
        self._logs: list[Log] = []
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
    def grpc_endpoint(self) -> str:
        """The same for exporters that speak gRPC; asked for with ``grpc=True``."""
        return f"http://127.0.0.1:{self._grpc_port}"

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
    def logs(self) -> list[Log]:
        """The log records in the order of their arrival; a copy."""
        with self._arrival:
            return self._logs.copy()

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
            self._logs.clear()
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
            if self._grpc:
                from .grpc_receiver import serve

                self._grpc_port, self._stop_grpc = serve(self._take)
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            if self._stop_grpc is not None:
                self._stop_grpc()
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
        headers = {name.lower(): value for name, value in request.headers.items()}
        protobuf = request.content_type == "application/x-protobuf"
        status = await self._answer(Request(request.path, headers, len(body)), body, protobuf)
        if status in {415, 503}:
            return web.Response(status=status)
        # An empty body is a complete answer in protobuf: nothing was rejected.
        return web.Response(status=status, content_type="application/x-protobuf")

    def _take(self, request: Request, body: bytes) -> int:
        """What came by gRPC, in one of its threads; answered as by HTTP."""
        answer = self._answer(request, body, protobuf=True)
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    async def _answer(self, request: Request, body: bytes, protobuf: bool) -> int:
        fault = self._fault
        with self._arrival:
            self._requests.append(request)
            self._tell()
        if fault == "silent":
            await self._recovered.wait()
        if fault is not None:  # also after the silence: the sender has long given up
            return 503
        if not protobuf:
            return 415
        try:
            return self._keep(request.path, body)
        except Exception:  # noqa: BLE001 - protobuf's errors have no types; the sender's fault
            return 400

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
        elif path == "/v1/logs":
            logs = decode_logs(body)
            with self._arrival:
                self._logs.extend(logs)
                self._tell()
        else:
            return 404
        return 200
