"""Circuits inside aiohttp: a client middleware.

Example:
    >>> import aiohttp
    >>> from brama.circuits.adapters.aiohttp import CircuitMiddleware
    >>> guarded = CircuitMiddleware(failure_threshold=3, expiry=10.0)
    >>> async with aiohttp.ClientSession(middlewares=[guarded]) as session: ...

The rules are those of `brama.circuits.adapters`. The call ends when the body has come, or when the
response is released, as ``async with`` does; one that is merely dropped is neutral, once its
connection is gone.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from ..errors import CircuitOpenError
from ..permit import Permit
from .gate import Gate, host_name

__all__ = ["CircuitMiddleware", "CircuitOpenClientError"]

SWITCHING_PROTOCOLS = 101


class CircuitOpenClientError(CircuitOpenError, aiohttp.ClientConnectionError):
    """A request was refused by its circuit: it was not sent.

    A `brama.CircuitOpenError` and an ``aiohttp.ClientConnectionError``, and none of its leaves:
    those name causes that were never there.
    """

    def __init__(self, refusal: CircuitOpenError) -> None:
        self.args = refusal.args

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self.args


def _restored(*values: Any) -> CircuitOpenClientError:
    return CircuitOpenClientError(CircuitOpenError(*values))


class CircuitMiddleware(Gate[ClientRequest]):
    """A client middleware that sends requests through circuits.

    Example:
        >>> guarded = CircuitMiddleware(
        ...     probe=lambda request: request.method in ("GET", "HEAD"), failure_threshold=3
        ... )
        >>> session = aiohttp.ClientSession(middlewares=[guarded])

    Each hop of a redirect is a request of its own. A middleware that repeats requests stands before
    this one, so that each attempt is seen.

    Args:
        circuits, circuit, scope, policy, kind, failure_status, probe, max_circuits, options:
            see `brama.circuits.adapters`.

    Raises:
        ConfigError: one of them is wrong.

    Threads: one middleware may serve any number of sessions and loops.
    """

    failures = (aiohttp.ClientError, ConnectionError, TimeoutError)
    neutral = (aiohttp.InvalidURL,)

    def _host(self, request: ClientRequest) -> str:
        url = request.url
        return host_name(url.scheme, url.host or "", url.port)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send the request, if its circuit admits it.

        Raises:
            CircuitOpenClientError: it does not.
        """
        permit = self._guard(request)
        if permit is None:
            return await handler(request)
        try:
            await permit.__aenter__()
        except CircuitOpenError as refusal:
            raise CircuitOpenClientError(refusal) from None
        try:
            response = await handler(request)
        except BaseException as error:
            self._failed(permit, _timed_out(request, error) or error)
            raise
        permit.suspend()
        if not self._answered(
            permit, response, response.status, response.headers, response.reason or ""
        ):
            _watch(response, self, permit)
        return response


def _timed_out(holder: Any, error: BaseException | None) -> TimeoutError | None:
    """What a cancellation is in truth, when the total time-out of the session is behind it.

    aiohttp's timer cancels the task and makes a TimeoutError of that only further out. Of what a
    request and a response know, their timer alone can tell the two apart.
    """
    if error is not None and not isinstance(error, asyncio.CancelledError):
        return None
    timer = getattr(holder, "_timer", None)
    try:
        timer.assert_timeout()  # type: ignore[union-attr]  # see below
    except TimeoutError:
        return TimeoutError("the total time-out of the request")
    except AttributeError:
        pass
    return None


def _watch(response: ClientResponse, gate: Gate[ClientRequest], permit: Permit) -> None:
    """Have the body of `response` settle the call."""
    if response.status == SWITCHING_PROTOCOLS:  # a web socket: what comes is no body
        permit.success()
        return
    # No wrapper: whoever handles the response must find what it was. It is of the class that it
    # was of as soon as the call is settled.
    kind = type(response)
    response.__class__ = _watched(kind)
    response.__dict__["_brama"] = _Watch(gate, permit, kind)
    response.content.on_eof(permit.success)


class _Watch:
    """What a response needs to settle its call."""

    __slots__ = ("gate", "kind", "permit")

    def __init__(
        self, gate: Gate[ClientRequest], permit: Permit, kind: type[ClientResponse]
    ) -> None:
        self.gate, self.permit, self.kind = gate, permit, kind

    def ended(self, response: ClientResponse) -> None:
        """Settle the call as the body was left, if its end has not done so."""
        response.__dict__.pop("_brama", None)
        response.__class__ = self.kind
        if not self.permit.pending:
            return
        error = response.content.exception() or _timed_out(response, None)
        if error is None and isinstance(sys.exc_info()[1], asyncio.CancelledError):
            error = sys.exc_info()[1]  # the reader was cancelled, and leaves his block
        if error is None:
            self.permit.success()  # closed early: the host has answered well so far
        else:
            self.gate._failed(self.permit, error)


class _Watched(ClientResponse):
    """A response that settles its call when it is left.

    The garbage collector takes another way out than these two, which is good: it may come at any
    moment, also while this thread holds the lock of the circuit.
    """

    _brama: _Watch

    def close(self) -> None:
        self._brama.ended(self)
        self.close()

    def release(self) -> Any:
        self._brama.ended(self)
        return self.release()


WATCHED: dict[Any, type[ClientResponse]] = {}


def _watched(kind: type[ClientResponse]) -> type[ClientResponse]:
    """The class of a response of that kind while it is watched."""
    found = WATCHED.get(kind)
    if found is None:
        found = WATCHED[kind] = type(kind.__name__, (_Watched, kind), {})
    return found
