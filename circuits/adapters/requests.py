"""Circuits inside requests: an adapter to mount.

Example:
    >>> import requests
    >>> from brama.circuits.adapters.requests import CircuitAdapter
    >>> session = requests.Session()
    >>> session.mount("https://", CircuitAdapter(failure_threshold=3, expiry=10.0))

The rules are those of `brama.circuits.adapters`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import UnrewindableBodyError
from urllib3.exceptions import HTTPError

from ..errors import CircuitOpenError
from ..permit import Permit
from .gate import Gate, Wrapper, host_name

__all__ = ["CircuitAdapter", "CircuitOpenConnectionError"]


class CircuitOpenConnectionError(CircuitOpenError, requests.ConnectionError):
    """A request was refused by its circuit: it was not sent.

    A `brama.CircuitOpenError` and a ``requests.ConnectionError``, and none of its leaves: those
    name causes that were never there.

    Attributes:
        request: the request.
        response: always None.
    """

    def __init__(
        self, refusal: CircuitOpenError, request: requests.PreparedRequest | None = None
    ) -> None:
        requests.ConnectionError.__init__(self, request=request)
        self.args = refusal.args

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, self.args  # the body of a request may be a stream, which does not pickle


def _restored(*values: Any) -> CircuitOpenConnectionError:
    return CircuitOpenConnectionError(CircuitOpenError(*values))


class CircuitAdapter(Wrapper[requests.PreparedRequest, BaseAdapter], BaseAdapter):
    """A transport adapter that sends requests through circuits.

    Example:
        >>> adapter = CircuitAdapter(HTTPAdapter(max_retries=1), failure_threshold=3)
        >>> session.mount("https://", adapter)
        >>> session.mount("http://", adapter)

    Args:
        transport: the adapter that sends them; an ``HTTPAdapter()`` by default. Its retries are
            one call.
        circuits, circuit, scope, policy, kind, failure_status, probe, max_circuits, options:
            see `brama.circuits.adapters`.

    Raises:
        ConfigError: one of them is wrong.

    Threads: as the adapter that it wraps.
    """

    failures = (requests.RequestException, HTTPError, ConnectionError, TimeoutError)
    # What is wrong with the request itself: urls, schemes and headers are ValueErrors, a body that
    # was read already is a TypeError.
    neutral = (ValueError, TypeError, UnrewindableBodyError)

    def _host(self, request: requests.PreparedRequest) -> str:
        url = urlsplit(request.url or "")
        return host_name(url.scheme, url.hostname or "", url.port)

    def _usual(self) -> BaseAdapter:
        return HTTPAdapter()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send the request, if its circuit admits it.

        Raises:
            CircuitOpenConnectionError: it does not.
        """

        def send() -> requests.Response:
            return self._transport.send(request, stream, timeout, verify, cert, proxies)

        permit = self._guard(request)
        if permit is None:
            return send()
        try:
            permit.__enter__()
        except CircuitOpenError as refusal:
            raise CircuitOpenConnectionError(refusal, request) from None
        try:
            response = send()
        except BaseException as error:
            self._failed(permit, error)
            raise
        permit.suspend()
        if not self._answered(
            permit, response, response.status_code, response.headers, response.reason
        ):
            _watch(response, self, permit)
        return response

    def close(self) -> None:
        """Close the adapter that it wraps."""
        self._transport.close()


def _watch(
    response: requests.Response, gate: Gate[requests.PreparedRequest], permit: Permit
) -> None:
    """Have the body of `response` settle the call."""
    if getattr(response, "_content_consumed", False):  # made from bytes, by a mock for example
        permit.success()
        return
    # No wrapper: whoever handles the response must find what it was. It is of the class that it
    # was of as soon as the call is settled.
    kind = type(response)
    response.__class__ = _watched(kind)
    response.__dict__["_brama"] = _Watch(gate, permit, kind)


class _Watch:
    """What a response needs to settle its call."""

    __slots__ = ("gate", "kind", "permit")

    def __init__(
        self, gate: Gate[requests.PreparedRequest], permit: Permit, kind: type[requests.Response]
    ) -> None:
        self.gate, self.permit, self.kind = gate, permit, kind

    def ended(self, response: requests.Response, error: BaseException | None = None) -> None:
        if error is None:
            self.permit.success()
        else:
            self.gate._failed(self.permit, error)
        response.__dict__.pop("_brama", None)
        response.__class__ = self.kind


class _Watched(requests.Response):
    """A response whose body settles its call."""

    _brama: _Watch

    def iter_content(
        self, chunk_size: int | None = 1, decode_unicode: bool = False
    ) -> Iterator[Any]:
        return self._settling(super().iter_content(chunk_size, decode_unicode), self._brama)

    def _settling(self, chunks: Iterator[Any], watch: _Watch) -> Iterator[Any]:
        try:
            yield from chunks
        except GeneratorExit:
            raise  # the reader has stopped; what that means is said when he closes it
        except BaseException as error:
            watch.ended(self, error)
            raise
        watch.ended(self)

    def close(self) -> None:
        watch = self._brama
        try:
            super().close()
        except BaseException as error:
            watch.ended(self, error)
            raise
        watch.ended(self)  # unless it was settled: the host has answered well so far


WATCHED: dict[Any, type[requests.Response]] = {}


def _watched(kind: type[requests.Response]) -> type[requests.Response]:
    """The class of a response of that kind while it is watched."""
    found = WATCHED.get(kind)
    if found is None:
        found = WATCHED[kind] = type(kind.__name__, (_Watched, kind), {})
    return found
