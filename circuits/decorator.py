"""Guarded functions of the four kinds.

The closed path and the refusal of the first two stand here once more, written out: a ``with``
block would cost as much again as all the rest of a guarded call. Functions that answer a refusal
themselves are in `brama.circuits.answering`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import NoneType
from typing import Any, ParamSpec, TypeVar, cast

from brama.telemetry import watching

from .answer import Answer
from .answering import answering
from .breaker import Breaker
from .errors import CircuitOpenError, new_refusal
from .generators import async_generator, generator
from .kind import Kind, kind_of
from .lasting import follow, lasts, run
from .permit import Permit
from .settle import settle_error, settle_result
from .spanned import SpannedPermit, permit_for
from .tracing import tell_refusal

__all__ = ["decorate"]

P = ParamSpec("P")
R = TypeVar("R")


def decorate(
    breaker: Breaker, function: Callable[P, R], answer: Answer | None = None
) -> Callable[P, R]:
    """`function`, guarded by `breaker`; of the same kind and with the same signature.

    Args:
        answer: what the function answers in place of a result; None: errors are raised.
    """
    guarded: Any
    if isinstance(function, classmethod | staticmethod):
        guarded = type(function)(decorate(breaker, function.__func__, answer))
        return cast("Callable[P, R]", guarded)
    if isinstance(function, functools.partialmethod):
        inner = decorate(breaker, function.func, answer)
        guarded = functools.partialmethod(inner, *function.args, **function.keywords)
        return cast("Callable[P, R]", guarded)
    _check(function)
    kind = kind_of(function)
    if answer is not None:
        guarded = answering(kind, function, answer)
    else:
        guarded = KINDS[kind](breaker, cast(Any, function))
    return cast("Callable[P, R]", functools.update_wrapper(guarded, function))


def _check(function: object) -> None:
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(
            "a circuit decorates a function, got a coroutine object; leave out the call brackets"
        )
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"a circuit decorates a function, got: {function!r}")


def _plain(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    shared = breaker.shared
    # The type that was returned last and does not last: to look closely at every result would
    # cost as much as the rest of the call. Threads: any of them may write it, always one that
    # has been looked at.
    usual: type = NoneType

    def guarded(*args: Any, **kwargs: Any) -> Any:
        nonlocal usual
        if watching.calls:
            return run(SpannedPermit(breaker), function, args, kwargs)
        generation = breaker.admission
        if generation is None:
            meter = breaker.meter
            if meter is None:
                wait = breaker.reopen_at - shared.clock()
                if wait > 0.0:
                    next(breaker.refused)
                    if shared.watched_refusals:
                        breaker.rejected()
                    if watching.refusals:
                        tell_refusal(breaker, breaker.state, wait, breaker.reason)
                    raise new_refusal(
                        CircuitOpenError,
                        breaker.name,
                        breaker.scope,
                        breaker.state,
                        wait,
                        breaker.reason,
                    )
                return run(Permit(breaker), function, args, kwargs)
            metered: int | None = -1
            try:
                metered = breaker.begin(meter)
                if metered is None:
                    return run(Permit(breaker), function, args, kwargs)
                result = function(*args, **kwargs)
            except BaseException as error:
                if metered is not None:
                    settle_error(breaker, meter, metered, error)
                raise
            if type(result) is not usual:
                if lasts(type(result)):
                    return follow(Permit.of(breaker, meter, metered), result)
                usual = type(result)
            if meter.judging:
                settle_result(breaker, meter, metered, result)
                return result
            began = meter.flight.pop(metered, None)
            if began is not None:  # `Breaker.finish` once more, for a call that is timed
                now = shared.clock()
                if (
                    now - began < meter.slow_after
                    and now < meter.until
                    and not meter.hung
                    and not shared.watched
                ):
                    next(meter.succeeded)
                    return result
                meter.flight[metered] = began
            breaker.finish(meter, metered)
            return result
        # Inside the try from the first count on: an interrupt that comes right behind it must
        # give the call back, too, and then knows no number.
        number = -1
        try:
            number = next(generation.started)
            result = function(*args, **kwargs)
        except BaseException as error:
            settle_error(breaker, generation, number, error)
            raise
        if type(result) is not usual:
            if lasts(type(result)):
                return follow(Permit.of(breaker, generation, number), result)
            usual = type(result)
        if shared.watched:
            breaker.succeeded(generation, number)
        else:
            next(generation.succeeded)
        return result

    return guarded


def _coroutine(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    shared = breaker.shared

    async def permitted(args: Any, kwargs: Any) -> Any:
        async with permit_for(breaker) as permit:
            return permit.judge(await function(*args, **kwargs))

    async def guarded(*args: Any, **kwargs: Any) -> Any:
        if watching.calls:
            return await permitted(args, kwargs)
        generation = breaker.admission
        if generation is None:
            meter = breaker.meter
            if meter is None:
                wait = breaker.reopen_at - shared.clock()
                if wait > 0.0:
                    next(breaker.refused)
                    if shared.watched_refusals:
                        breaker.rejected()
                    if watching.refusals:
                        tell_refusal(breaker, breaker.state, wait, breaker.reason)
                    raise new_refusal(
                        CircuitOpenError,
                        breaker.name,
                        breaker.scope,
                        breaker.state,
                        wait,
                        breaker.reason,
                    )
                return await permitted(args, kwargs)
            metered: int | None = -1
            try:
                metered = breaker.begin(meter)
                if metered is None:
                    return await permitted(args, kwargs)
                result = await function(*args, **kwargs)
            except BaseException as error:
                if metered is not None:
                    settle_error(breaker, meter, metered, error)
                raise
            if meter.judging:
                settle_result(breaker, meter, metered, result)
                return result
            began = meter.flight.pop(metered, None)
            if began is not None:  # `Breaker.finish` once more, for a call that is timed
                now = shared.clock()
                if (
                    now - began < meter.slow_after
                    and now < meter.until
                    and not meter.hung
                    and not shared.watched
                ):
                    next(meter.succeeded)
                    return result
                meter.flight[metered] = began
            breaker.finish(meter, metered)
            return result
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


def _generator(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    return generator(functools.partial(permit_for, breaker), function)


def _async_generator(breaker: Breaker, function: Callable[..., Any]) -> Callable[..., Any]:
    return async_generator(functools.partial(permit_for, breaker), function)


KINDS: dict[Kind, Callable[[Breaker, Any], Callable[..., Any]]] = {
    Kind.PLAIN: _plain,
    Kind.HANDING_ON: _plain,
    Kind.COROUTINE: _coroutine,
    Kind.GENERATOR: _generator,
    Kind.ASYNC_GENERATOR: _async_generator,
}
