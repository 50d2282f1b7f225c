"""Guarded functions of the four kinds.

The closed path and the refusal of the first two stand here once more, written out: a ``with``
block would cost as much again as all the rest of a guarded call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast

from .breaker import Breaker
from .errors import CircuitOpenError, new_refusal
from .permit import Permit, settle_error
from .state import State

__all__ = ["decorate"]

OPEN = State.OPEN

P = ParamSpec("P")
R = TypeVar("R")


def decorate(breaker: Breaker, function: Callable[P, R]) -> Callable[P, R]:
    """`function`, guarded by `breaker`; of the same kind and with the same signature."""
    _check(function)
    if _is(function, inspect.iscoroutinefunction):
        guarded: Any = _coroutine(breaker, cast(Any, function))
    elif _is(function, inspect.isasyncgenfunction):
        guarded = _async_generator(breaker, cast(Any, function))
    elif _is(function, inspect.isgeneratorfunction):
        guarded = _generator(breaker, cast(Any, function))
    elif _is(_innermost(function), inspect.iscoroutinefunction):
        guarded = _wrapper(breaker, function)
    else:
        guarded = _plain(breaker, function)
    return cast("Callable[P, R]", functools.update_wrapper(guarded, function))


def _check(function: object) -> None:
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(
            "a circuit decorates a function, got a coroutine object; leave out the call brackets"
        )
    if isinstance(function, classmethod | staticmethod):
        kind = type(function).__name__
        raise TypeError(
            f"a circuit decorates a function, got a {kind}; write @{kind} above the circuit"
        )
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"a circuit decorates a function, got: {function!r}")


def _is(function: Any, kind: Callable[[Any], bool]) -> bool:
    """Whether calling `function` makes what `kind` asks for, through partials and objects."""
    while isinstance(function, functools.partial):
        function = function.func
    if kind(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the function is asked about
    return call is not None and not inspect.isroutine(function) and kind(call)


def _innermost(function: Any) -> Any:
    """What stands behind partials and ``functools.wraps``."""
    while True:
        inner = inspect.unwrap(function)
        while isinstance(inner, functools.partial):
            inner = inner.func
        if inner is function:
            return inner
        function = inner


def _plain(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    shared = breaker.shared

    def guarded(*args: Any, **kwargs: Any) -> Any:
        generation = breaker.admission
        if generation is None:
            wait = breaker.reopen_at - shared.clock()
            if wait > 0.0:
                next(breaker.refused)
                raise new_refusal(
                    CircuitOpenError, breaker.name, breaker.scope, OPEN, wait, breaker.reason
                )
            with Permit(breaker):
                return function(*args, **kwargs)
        # Inside the try from the first count on: an interrupt that comes right behind it must
        # give the call back, too, and then knows no number.
        number = -1
        try:
            number = next(generation.started)
            result = function(*args, **kwargs)
        except BaseException as error:
            settle_error(breaker, generation, number, error)
            raise
        if shared.watched:
            breaker.succeeded(generation, number)
        else:
            next(generation.succeeded)
        return result

    return guarded


def _coroutine(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    shared = breaker.shared

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        generation = breaker.admission
        if generation is None:
            wait = breaker.reopen_at - shared.clock()
            if wait > 0.0:
                next(breaker.refused)
                raise new_refusal(
                    CircuitOpenError, breaker.name, breaker.scope, OPEN, wait, breaker.reason
                )
            with Permit(breaker):
                return await function(*args, **kwargs)
        number = -1
        try:
            number = next(generation.started)
            result = await function(*args, **kwargs)
        except BaseException as error:
            settle_error(breaker, generation, number, error)
            raise
        if shared.watched:
            breaker.succeeded(generation, number)
        else:
            next(generation.succeeded)
        return result

    return guarded


def _wrapper(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function around a coroutine function (``functools.wraps``).

    It may hand the coroutine on or run it itself; only what it returns can tell.
    """

    def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = Permit(breaker)
        if not permit.acquire():
            raise breaker.refusal()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            raise
        if inspect.isawaitable(result):
            return _settled(permit, result)
        permit.success()
        return result

    return guarded


async def _settled(permit: Permit, result: Awaitable[Any]) -> Any:
    with permit:
        return await result


def _generator(
    breaker: Breaker, function: Callable[..., Generator[Any, Any, Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with Permit(breaker):
            return (yield from function(*args, **kwargs))

    return guarded


def _async_generator(
    breaker: Breaker, function: Callable[..., AsyncGenerator[Any, Any]]
) -> Callable[..., AsyncGenerator[Any, Any]]:
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with Permit(breaker):
            source = function(*args, **kwargs)
            try:
                item = await source.__anext__()
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await source.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001 - thrown on, as `yield from` does
                        item = await source.athrow(error)
                    else:
                        item = await source.asend(sent)
            except StopAsyncIteration:
                return

    return guarded
