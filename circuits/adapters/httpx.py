"""Circuits inside httpx: transports that guard the transport they wrap.

Example:
    >>> import httpx
    >>> from brama.circuits.adapters.httpx import CircuitTransport
    >>> client = httpx.Client(transport=CircuitTransport(failure_threshold=3, expiry=10.0))

The rules are those of `brama.circuits.adapters`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from ..errors import CircuitOpenError
from ..permit import Permit
from .gate import Gate, Wrapper, host_name

__all__ = ["AsyncCircuitTransport", "CircuitOpenTransportError", "CircuitTransport"]


SWITCHING_PROTOCOLS = 101


class CircuitOpenTransportError(CircuitOpenError, httpx.TransportError):
    """A request was refused by its circuit: it was not sent.

    A `brama.CircuitOpenError` and an ``httpx.TransportError``, and none of its leaves: those name
    causes that were never there.

    Attributes:
        request: the request.
    """

    def __init__(self, refusal: CircuitOpenError, request: httpx.Request | None = None) -> None:
        httpx.TransportError.__init__(self, "", request=request)
        self.args = refusal.args

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self.args  # a request may hold a stream, which does not pickle


def _restored(*values: Any) -> CircuitOpenTransportError:
    return CircuitOpenTransportError(CircuitOpenError(*values))


class _Guards(Gate[httpx.Request]):
    """What the two transports have in common."""

    failures = (httpx.TransportError, ConnectionError, TimeoutError)
    # What is wrong with the request itself; of an exhausted pool the calls that hold it will tell.
    neutral = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.PoolTimeout)

    def _host(self, request: httpx.Request) -> str:
        url = request.url
        return host_name(url.scheme, url.host, url.port)

    def _is_open(self, permit: Permit, response: httpx.Response) -> bool:
        """Whether the body is still to tell how the call went."""
        if self._answered(
            permit, response, response.status_code, response.headers, response.reason_phrase
        ):
            return False
        if (
            response.status_code == SWITCHING_PROTOCOLS  # a web socket: what comes is no body
            or response.is_closed  # made from bytes, by a mock for example
            or response.is_stream_consumed
        ):
            permit.success()
            return False
        return True


class CircuitTransport(_Guards, Wrapper[httpx.Request, httpx.BaseTransport], httpx.BaseTransport):
    """A transport that sends requests through circuits.

    Example:
        >>> transport = CircuitTransport(
        ...     httpx.HTTPTransport(retries=1),
        ...     probe=lambda request: request.method in ("GET", "HEAD"),
        ...     failure_threshold=3,
        ... )
        >>> client = httpx.Client(transport=transport)

    Args:
        transport: the one that sends them; an ``httpx.HTTPTransport()`` by default.
        circuits, circuit, scope, policy, kind, failure_status, probe, max_circuits, options:
            see `brama.circuits.adapters`.

    Raises:
        ConfigError: one of them is wrong.

    Threads: as the transport that it wraps.
    """

    def _usual(self) -> httpx.BaseTransport:
        return httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, if its circuit admits it.

        Raises:
            CircuitOpenTransportError: it does not.
        """
        permit = self._guard(request)
        if permit is None:
            return self._transport.handle_request(request)
        try:
            permit.__enter__()
        except CircuitOpenError as refusal:
            raise CircuitOpenTransportError(refusal, request) from None
        try:
            response = self._transport.handle_request(request)
        except BaseException as error:
            self._failed(permit, error)
            raise
        permit.suspend()
        if self._is_open(permit, response):
            assert isinstance(response.stream, httpx.SyncByteStream)
            response.stream = _Body(response.stream, self, permit)
        return response

    def close(self) -> None:
        """Close the transport that it wraps."""
        self._transport.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)


class AsyncCircuitTransport(
    _Guards, Wrapper[httpx.Request, httpx.AsyncBaseTransport], httpx.AsyncBaseTransport
):
    """`CircuitTransport` for ``httpx.AsyncClient``, on asyncio and trio.

    Example:
        >>> client = httpx.AsyncClient(transport=AsyncCircuitTransport(failure_threshold=3))

    Args:
        transport: the one that sends the requests; an ``httpx.AsyncHTTPTransport()`` by default.
        circuits, circuit, scope, policy, kind, failure_status, probe, max_circuits, options:
            see `brama.circuits.adapters`.
    """

    def _usual(self) -> httpx.AsyncBaseTransport:
        return httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, if its circuit admits it.

        Raises:
            CircuitOpenTransportError: it does not.
        """
        permit = self._guard(request)
        if permit is None:
            return await self._transport.handle_async_request(request)
        try:
            await permit.__aenter__()
        except CircuitOpenError as refusal:
            raise CircuitOpenTransportError(refusal, request) from None
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._failed(permit, error)
            raise
        permit.suspend()
        if self._is_open(permit, response):
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _AsyncBody(response.stream, self, permit)
        return response

    async def aclose(self) -> None:
        """Close the transport that it wraps."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)


class _Body(httpx.SyncByteStream):
    """The body of a response, which settles its call."""

    def __init__(
        self, stream: httpx.SyncByteStream, gate: Gate[httpx.Request], permit: Permit
    ) -> None:
        self._stream, self._gate, self._permit = stream, gate, permit

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except GeneratorExit:
            raise  # the reader has stopped; what that means is said when he closes it
        except BaseException as error:
            self._gate._failed(self._permit, error)
            raise
        self._permit.success()

    def close(self) -> None:
        try:
            self._stream.close()
        except BaseException as error:
            self._gate._failed(self._permit, error)
            raise
        self._permit.success()  # unless it was settled: the host has answered well so far


class _AsyncBody(httpx.AsyncByteStream):
    """The body of a response, which settles its call."""

    def __init__(
        self, stream: httpx.AsyncByteStream, gate: Gate[httpx.Request], permit: Permit
    ) -> None:
        self._stream, self._gate, self._permit = stream, gate, permit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._gate._failed(self._permit, error)
            raise
        self._permit.success()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException as error:
            self._gate._failed(self._permit, error)
            raise
        self._permit.success()
