"""The peers: the other libraries that guard calls, when they are installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import attrs

__all__ = ["PEERS", "Breakers", "Peer", "installed", "peer"]

NEVER = 10**9
"""A threshold that no round reaches."""

FOREVER = 1_000_000
"""Seconds that an open circuit stays so."""


def peer(module: str) -> Any | None:
    """The module of a peer, or None; a contest then goes on without it."""
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


@attrs.frozen
class Breakers:
    """One breaker of a peer, in the call forms that the peer has; None where it has not.

    Attributes:
        decorate: around a function, or around a coroutine function.
        call: calls a function through the breaker.
        enter: makes what a ``with`` block enters.
        aenter: the same for ``async with``.
    """

    decorate: Callable[[Any], Any]
    decorate_async: Callable[[Any], Any] | None = None
    call: Callable[[Any], Any] | None = None
    enter: Callable[[], Any] | None = None
    aenter: Callable[[], Any] | None = None


@attrs.frozen
class Peer:
    """A library of circuit breakers.

    Attributes:
        name: in the tables.
        module: to import it by.
        package: to install it by.
        default: a breaker as one gets it.
        lasting: one that no number of failures opens.
        fragile: one that a single failure opens for good.
        refusal: what it raises then.
    """

    name: str
    module: str
    package: str
    default: Callable[[Any], Breakers]
    lasting: Callable[[Any], Breakers]
    fragile: Callable[[Any], Breakers]
    refusal: Callable[[Any], type[Exception]]


def installed() -> Iterator[tuple[Peer, Any]]:
    """The peers that are there, with their modules."""
    for one in PEERS:
        if library := peer(one.module):
            yield one, library


def _circuitbreaker(library: Any, **options: Any) -> Breakers:
    one = library.CircuitBreaker(name="bench", **options)
    return Breakers(one, one, one.call, lambda: one)


def _pybreaker(library: Any, **options: Any) -> Breakers:
    one = library.CircuitBreaker(**options)
    # Its coroutines are Tornado's: a decorated `async def` is not counted.
    return Breakers(one, None, one.call, one.calling)


def _aiobreaker(library: Any, **options: Any) -> Breakers:
    one = library.CircuitBreaker(**options)
    return Breakers(one, one, one.call)


def _purgatory(library: Any, **options: Any) -> Breakers:
    both = library.SyncCircuitBreakerFactory(**options)
    apart = library.AsyncCircuitBreakerFactory(**options)
    one = both.get_breaker("bench")
    made: list[Any] = []

    def aenter() -> Any:
        # Made on the first use: getting one takes a running loop.
        return made[0] if made else _Getting(apart, made)

    return Breakers(both("bench"), apart("bench"), None, lambda: one, aenter)


class _Getting:
    """The first entry of purgatory's asynchronous breaker, which is got by awaiting."""

    def __init__(self, factory: Any, made: list[Any]) -> None:
        self._factory = factory
        self._made = made

    async def __aenter__(self) -> Any:
        self._made.append(await self._factory.get_breaker("bench"))
        return await self._made[0].__aenter__()

    async def __aexit__(self, *exc: object) -> Any:
        return await self._made[0].__aexit__(*exc)


def _interlock(library: Any, **options: Any) -> Breakers:
    config = library.Config(**options)
    one = library.CircuitBreaker(name="bench", config=config)
    return Breakers(one, one, one.call_sync, lambda: one, lambda: one)


PEERS = (
    Peer(
        "circuitbreaker",
        "circuitbreaker",
        "circuitbreaker",
        _circuitbreaker,
        lambda library: _circuitbreaker(library, failure_threshold=NEVER),
        lambda library: _circuitbreaker(library, failure_threshold=1, recovery_timeout=FOREVER),
        lambda library: library.CircuitBreakerError,
    ),
    Peer(
        "pybreaker",
        "pybreaker",
        "pybreaker",
        _pybreaker,
        lambda library: _pybreaker(library, fail_max=NEVER),
        lambda library: _pybreaker(library, fail_max=1, reset_timeout=FOREVER),
        lambda library: library.CircuitBreakerError,
    ),
    Peer(
        "aiobreaker",
        "aiobreaker",
        "aiobreaker",
        _aiobreaker,
        lambda library: _aiobreaker(library, fail_max=NEVER),
        lambda library: _aiobreaker(
            library, fail_max=1, timeout_duration=timedelta(seconds=FOREVER)
        ),
        lambda library: library.CircuitBreakerError,
    ),
    Peer(
        "purgatory",
        "purgatory",
        "purgatory",
        _purgatory,
        lambda library: _purgatory(library, default_threshold=NEVER),
        lambda library: _purgatory(library, default_threshold=1, default_ttl=FOREVER),
        lambda library: importlib.import_module("purgatory.domain.model").OpenedState,
    ),
    Peer(
        "interlock",
        "interlock",
        "interlock-cb",
        _interlock,
        lambda library: _interlock(library, minimum_number_of_calls=NEVER),
        lambda library: _interlock(
            library, minimum_number_of_calls=1, wait_duration_in_open=float(FOREVER)
        ),
        lambda library: library.CircuitOpenError,
    ),
)
