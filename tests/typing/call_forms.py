"""What type checkers make of every call form.

Read by them and never run: `make types` fails on a line that they take for something else, and on a
wrong line that they do not notice.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Literal, assert_type

import brama
from brama import Circuit, Options, Permit, Status

Refused = tuple[Literal["error"], Status]


async def functions(circuit: Circuit) -> None:
    @circuit
    def plain(a: int, *, b: str = "") -> bytes:
        return b""

    assert_type(plain(1, b=""), bytes)
    plain("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain(1, c=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    @circuit
    async def coroutine(a: int) -> bytes:
        return b""

    assert_type(await coroutine(1), bytes)

    @circuit
    def generator(a: int) -> Generator[int, str, bytes]:
        yield a
        return b""

    assert_type(generator(1), Generator[int, str, bytes])

    @circuit
    async def async_generator(a: int) -> AsyncGenerator[int, str]:
        yield a

    assert_type(async_generator(1), AsyncGenerator[int, str])

    guarded = circuit(functools.partial(plain, b=""))
    assert_type(guarded(1), bytes)


typed = brama.circuit("typed")


class Client:
    @typed
    def get(self, path: str) -> bytes:
        return path.encode()

    @classmethod
    @typed
    def make(cls, path: str) -> Client:
        return cls()

    @staticmethod
    @typed
    async def add(a: int, b: int) -> int:
        return a + b


async def methods(client: Client) -> None:
    assert_type(client.get("/"), bytes)
    assert_type(Client.make("/"), Client)
    assert_type(await Client.add(1, 2), int)
    client.get(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def answers(circuit: Circuit) -> None:
    @circuit(fallback=b"cached", fallback_on=(OSError, TimeoutError), probe=False)
    def plain(a: int) -> bytes:
        return b""

    assert_type(plain(1), bytes)

    @circuit(on_open="return")
    def returning(a: int) -> bytes:
        return b""

    assert_type(returning(1), bytes | Refused)

    @circuit(on_open="return", probe=False)
    async def awaited(a: int) -> bytes:
        return b""

    assert_type(await awaited(1), bytes | Refused)
    assert_type(circuit(returning, fallback=b"")(1), bytes | Refused)
    circuit(returning, on_open="rise")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def calls(circuit: Circuit, fetch: Callable[[int], Coroutine[Any, Any, bytes]]) -> None:
    def plain(a: int, *, b: str = "") -> bytes:
        return b""

    assert_type(circuit.call(plain, 1, b=""), bytes)
    assert_type(await circuit.acall(fetch, 1), bytes)
    circuit.call(plain, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with circuit.guard(probe=False) as permit:
        assert_type(permit, Permit)
    async with circuit.guard() as permit:
        assert_type(permit, Permit)
    assert_type(circuit.try_acquire(), Permit | None)


@contextmanager
def response() -> Generator[bytes]:
    yield b""


@asynccontextmanager
async def async_response() -> AsyncGenerator[bytes]:
    yield b""


async def streams(circuit: Circuit, rows: Iterator[int], messages: AsyncIterator[str]) -> None:
    for row in circuit.guard_stream(rows):
        assert_type(row, int)
    async for message in circuit.guard_stream(messages):
        assert_type(message, str)
    with circuit.guard_stream(response()) as body:
        assert_type(body, bytes)
    async with circuit.guard_stream(async_response()) as body:
        assert_type(body, bytes)
    connect: Callable[[], AbstractAsyncContextManager[bytes]] = async_response
    async with circuit.guard_stream(connect) as body:
        assert_type(body, bytes)
    for _ in circuit.guard_stream(5):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass


def options(shared: Options) -> None:
    brama.circuit("search", scope="shop", failure_threshold=3, expiry=timedelta(seconds=30))
    brama.circuit("search", ignore=LookupError, record=(OSError, lambda error: "5" in str(error)))
    brama.circuit("search", **shared)
    brama.circuit("search", failure_treshold=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    brama.circuit("search", expiry="30")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    brama.configure(expiry=10.0, cleanup_interval=60.0)
    brama.configure("search", expire=10.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    brama.Settings(expiry=10.0, journal="sqlite:///events.sqlite")
    brama.Settings(expire=10.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
