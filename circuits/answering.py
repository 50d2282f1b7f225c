"""Guarded functions that answer a refusal, or a failure, with something else than the error."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

from brama.telemetry import ConfigError

from .answer import Answer, check_items, settled
from .errors import CircuitOpenError
from .generators import answering_generator, async_generator
from .kind import Kind, kind_of
from .lasting import follow, lasts
from .permit import Permit

__all__ = ["answering"]

ASYNC = (Kind.COROUTINE, Kind.HANDING_ON, Kind.ASYNC_GENERATOR)


def answering(kind: Kind, function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    """`function`, guarded, with `answer` in place of what it cannot return.

    Raises:
        ConfigError: this kind of function cannot give such an answer.
    """
    if kind in (Kind.GENERATOR, Kind.ASYNC_GENERATOR):
        if answer.returns:
            raise ConfigError(
                "on_open", "'raise' for generators, which return nothing before they run", "return"
            )
        check_items(answer.fallback, sync=kind is Kind.GENERATOR)
    fallback = answer.fallback
    if kind not in ASYNC and callable(fallback) and kind_of(fallback) in ASYNC:
        raise ConfigError(
            "fallback", "a plain function, because the guarded one is not async", fallback
        )
    return FORMS[kind](function, answer)


def _plain(function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = answer.permit()
        try:
            permit.__enter__()
        except CircuitOpenError as refusal:
            return _now(answer, answer.refused(refusal))
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            if not isinstance(error, answer.kinds):
                raise
            return _now(answer, answer.failed(error))
        if lasts(type(result)):
            permit.suspend()
            if type(result) is CoroutineType:
                return _awaited(permit, result, answer)
            return follow(permit, result)
        return permit.conclude(result)

    return guarded


def _now(answer: Answer, made: Any) -> Any:
    """The answer of a plain function: nobody would await an awaitable."""
    if type(made) is CoroutineType and callable(answer.fallback):
        made.close()
        raise TypeError(
            f"the fallback of a plain function returned a coroutine: {answer.fallback!r}; "
            "make it a plain function, too"
        )
    return made


def _handing_on(function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    """A plain function from which a coroutine is expected: so is its answer."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = answer.permit()
        try:
            permit.__enter__()
        except CircuitOpenError as refusal:
            return settled(answer.refused(refusal))
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            if not isinstance(error, answer.kinds):
                raise
            return settled(answer.failed(error))
        if inspect.isawaitable(result):
            permit.suspend()
            return _awaited(permit, result, answer)
        return permit.conclude(result)

    return guarded


async def _awaited(permit: Permit, result: Awaitable[Any], answer: Answer) -> Any:
    try:
        with permit:
            return permit.judge(await result)
    except answer.kinds as error:
        return await settled(answer.failed(error))


def _coroutine(function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        permit = answer.permit()
        try:
            await permit.__aenter__()
        except CircuitOpenError as refusal:
            return await settled(answer.refused(refusal))
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            if not isinstance(error, answer.kinds):
                raise
            return await settled(answer.failed(error))
        return permit.conclude(result)

    return guarded


def _async_generator(function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    return async_generator(answer.permit, function, answer)


FORMS: dict[Kind, Callable[[Callable[..., Any], Answer], Callable[..., Any]]] = {
    Kind.PLAIN: _plain,
    Kind.HANDING_ON: _handing_on,
    Kind.COROUTINE: _coroutine,
    Kind.GENERATOR: answering_generator,
    Kind.ASYNC_GENERATOR: _async_generator,
}
