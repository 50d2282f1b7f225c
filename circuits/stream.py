"""Guarded streams: what is read piece by piece and may die halfway."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, TypeVar, cast

from .generators import async_generator, generator
from .permit import Permit

__all__ = ["GuardedStream", "aiterate", "is_stream", "iterate"]

T = TypeVar("T")


class GuardedStream(Generic[T]):
    """A source of one's own, guarded from its first step to its end.

    `brama.Circuit.guard_stream` makes it. It is used as the source is: in a ``for`` or ``async
    for`` loop, in a ``with`` or ``async with`` block, or awaited; and like a generator, once.

    The call begins when it is entered or asked for the first item, which is where
    `CircuitOpenError` is raised. Its end is a success; an exception on the way is what the policy
    says it is. A loop that is left early is neutral, as with a generator; a block that is left
    early is not, because leaving a block normally is how it ends.

    Threads: as the source.
    """

    __slots__ = ("_items", "_permit", "_source")

    def __init__(self, permit: Permit, source: Any) -> None:
        self._permit = permit
        self._source = source
        self._items: Any = None

    # Items

    def __iter__(self) -> Iterator[T]:
        if self._items is None:
            self._items = iterate(self._permit, self._source)
        return cast("Iterator[T]", self._items)

    def __next__(self) -> T:
        return next(iter(self))

    def close(self) -> None:
        """Stop reading; neutral if it was not read to its end."""
        if self._items is not None:
            self._items.close()

    def __aiter__(self) -> AsyncIterator[T]:
        if self._items is None:
            self._items = aiterate(self._permit, self._source)
        return cast("AsyncIterator[T]", self._items)

    async def __anext__(self) -> T:
        return await anext(aiter(self))

    async def aclose(self) -> None:
        """`close`, for an async source."""
        if self._items is not None:
            await self._items.aclose()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        async with self._permit:
            return await cast("Awaitable[T]", _made(self._source))

    # Blocks. The permit's block is the caller's, and so it is his frame that encloses what rides
    # on a probe.

    def __enter__(self) -> T:
        permit = self._permit
        permit.__enter__()
        permit.enclose(sys._getframe(1))
        try:
            self._source = _made(self._source)
            return cast("AbstractContextManager[T]", self._source).__enter__()
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        try:
            swallowed = bool(self._source.__exit__(kind, error, traceback))
        except BaseException as late:
            self._permit.__exit__(type(late), late, None)
            raise
        self._permit.__exit__(None, None if swallowed else error, None)
        return swallowed

    async def __aenter__(self) -> T:
        permit = self._permit
        await permit.__aenter__()
        permit.enclose(sys._getframe(1))
        try:
            self._source = _made(self._source)
            return await cast("AbstractAsyncContextManager[T]", self._source).__aenter__()
        except BaseException as error:
            permit.__exit__(type(error), error, None)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        try:
            swallowed = bool(await self._source.__aexit__(kind, error, traceback))
        except BaseException as late:
            self._permit.__exit__(type(late), late, None)
            raise
        self._permit.__exit__(None, None if swallowed else error, None)
        return swallowed

    def __repr__(self) -> str:
        return f"<GuardedStream of {self._source!r}, {self._permit!r}>"


FORMS = (
    "__iter__",
    "__aiter__",
    "__enter__",
    "__aenter__",
    "__await__",
    "__getitem__",
)


def is_stream(source: Any) -> bool:
    """Whether `source` can be read or entered as it is."""
    kind = type(source)
    return any(hasattr(kind, form) for form in FORMS)


def _made(source: Any) -> Any:
    """The source itself, or what the function that stands for it returns.

    A source that can be called, too (those of contextlib can), is none that has to be.
    """
    return source if is_stream(source) else source()


def iterate(permit: Permit, source: Any) -> Generator[Any, Any, Any]:
    """The items of `source`, inside `permit`."""
    return generator(lambda: permit, lambda: _made(source))()


def aiterate(permit: Permit, source: Any) -> AsyncGenerator[Any, Any]:
    """The items of the async `source`, inside `permit`."""
    return async_generator(lambda: permit, lambda: _made(source))()
