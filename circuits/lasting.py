"""Results that are not over when the call returns: coroutines, generators, futures.

What a plain function returns may only be the beginning of the call. A success that was counted
then would be a guess, and so the permit goes along with the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from inspect import isawaitable
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any

from .permit import Permit
from .stream import GuardedStream, aiterate, iterate

__all__ = ["follow", "lasts", "run"]


@contextmanager
def _block() -> Generator[None]:
    yield


@asynccontextmanager
async def _async_block() -> AsyncGenerator[None]:
    yield


# Only these context managers have certainly not begun: a file or a connection is one as well, and
# is the finished result of opening it.
BLOCKS: tuple[type, ...] = (type(_block()), type(_async_block()))
GENERATORS: tuple[type, ...] = (GeneratorType, AsyncGeneratorType)

# What most calls return. To look for two attributes that are not there takes as long as a call.
OVER: frozenset[type] = frozenset(
    {bool, bytes, dict, float, frozenset, int, list, set, str, tuple, NoneType}
)


def lasts(kind: type) -> bool:
    """Whether results of this type go on after the call that returned them."""
    return kind not in OVER and (
        kind in GENERATORS
        or kind in BLOCKS
        or hasattr(kind, "__await__")
        or hasattr(kind, "add_done_callback")
    )


def run(
    permit: Permit,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    *,
    awaitable: bool = True,
) -> Any:
    """Call a plain function inside `permit`, and guard what goes on after it.

    Args:
        awaitable: whether there is somebody to await what it returns.

    Raises:
        CircuitOpenError: the call was refused.
        TypeError: there is nobody.
    """
    permit.__enter__()
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        permit.__exit__(type(error), error, None)
        raise
    if lasts(type(result)):
        if not awaitable and isawaitable(result) and not asyncio.isfuture(result):
            permit.ignore()
            permit.__exit__(None, None, None)
            if type(result) is CoroutineType:
                result.close()
            raise TypeError(
                f"call() got {result!r} of {function!r}; write: await circuit.acall(function, ...)"
            )
        permit.suspend()
        return follow(permit, result)
    return permit.conclude(result)


def follow(permit: Permit, result: Any) -> Any:
    """`result`, with a permit that is settled when it has come to its end.

    A future stays the object that it is. What else goes on is wrapped into something of its kind.
    """
    kind = type(result)
    if kind is CoroutineType:
        return _awaited(permit, result)
    if kind is GeneratorType:
        return iterate(permit, result)
    if kind is AsyncGeneratorType:
        return aiterate(permit, result)
    if hasattr(kind, "add_done_callback"):
        # The callback alone holds the permit: when the future is given up, so is the call.
        result.add_done_callback(_Done(permit))
        return result
    if kind in BLOCKS or hasattr(kind, "__aenter__"):
        return GuardedStream(permit, result)
    return _awaited(permit, result)


async def _awaited(permit: Permit, result: Awaitable[Any]) -> Any:
    with permit:
        return permit.judge(await result)


class _Done:
    """Settles a permit as its future ended."""

    __slots__ = ("_permit",)

    def __init__(self, permit: Permit) -> None:
        self._permit = permit

    def __call__(self, future: Any) -> None:
        if future.cancelled():
            self._permit.ignore()
            return
        # Asking an asyncio future for its exception would say that somebody has seen to it, and
        # silence the "exception was never retrieved" that is due when nobody does.
        error = future._exception if asyncio.isfuture(future) else future.exception()
        self._permit.__exit__(None if error is None else type(error), error, None)
