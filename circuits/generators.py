"""Generators inside a permit: guarded from their first item to their end.

Each stands here once, for decorated functions, for streams, and for what a plain function returns.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Any

from .answer import Answer, settled
from .errors import CircuitOpenError
from .permit import Permit

__all__ = ["answering_generator", "async_generator", "generator"]


def generator(
    permits: Callable[[], Permit], function: Callable[..., Iterable[Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    """`function`, guarded: a generator function whose calls take a permit each."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with permits() as permit:
            source = function(*args, **kwargs)
            if isinstance(source, Generator):
                return (yield from permit.steps(source))
            items = permit.steps(source)
            for item in items:  # noqa: UP028 - `yield from` would close a file or a cursor
                yield item
            return None

    return guarded


def answering_generator(
    function: Callable[..., Generator[Any, Any, Any]], answer: Answer
) -> Callable[..., Generator[Any, Any, Any]]:
    """The same, with the items of `answer` in place of those that cannot come.

    A failure after the first item is raised: an answer would repeat what was read already.
    """

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        permit = answer.permit()
        try:
            permit.__enter__()
        except CircuitOpenError as refusal:
            return (yield from answer.refused(refusal))
        source: _Begun | None = None
        try:
            source = _Begun(permit.steps(function(*args, **kwargs)))
            result = yield from source
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            if (source is not None and source.begun) or not isinstance(error, answer.kinds):
                raise
            return (yield from answer.failed(error))
        permit.__exit__(None, None, None)
        return result

    return guarded


class _Begun(Generator[Any, Any, Any]):
    """A generator that says whether it has given an item yet."""

    __slots__ = ("_source", "begun")

    def __init__(self, source: Any) -> None:
        self._source = source
        self.begun = False

    def send(self, value: Any) -> Any:
        item = self._source.send(value)
        self.begun = True
        return item

    def throw(self, *error: Any) -> Any:
        return self._source.throw(*error)

    def close(self) -> None:
        self._source.close()


def async_generator(
    permits: Callable[[], Permit],
    function: Callable[..., AsyncIterable[Any]],
    answer: Answer | None = None,
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """`function`, guarded: an async generator function whose calls take a permit each.

    With an `answer`, its items come in place of those that cannot.
    """

    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        permit = permits()
        try:
            await permit.__aenter__()
        except CircuitOpenError as refusal:
            if answer is None:
                raise
            instead = answer.refused(refusal)
        else:
            begun = False
            try:
                source = function(*args, **kwargs)
                if isinstance(source, AsyncGenerator):
                    items: Any = permit.asteps(source)
                    item = await items.__anext__()
                    while True:
                        begun = True
                        try:
                            sent = yield item
                        except GeneratorExit:
                            await items.aclose()
                            raise
                        except BaseException as error:  # noqa: BLE001 - passed on, as `yield from` does
                            item = await items.athrow(error)
                        else:
                            item = await items.asend(sent)
                else:
                    async for item in permit.asteps(source):
                        begun = True
                        yield item
            except StopAsyncIteration:
                permit.__exit__(None, None, None)
                return
            except BaseException as error:
                permit.__exit__(type(error), error, None)
                if begun or answer is None or not isinstance(error, answer.kinds):
                    raise
                instead = answer.failed(error)
            else:
                permit.__exit__(None, None, None)
                return
        made = await settled(instead)
        if isinstance(made, AsyncIterable):
            async for item in made:
                yield item
        else:
            for item in made:
                yield item

    return guarded
