"""The upstreams: HTTP services on loopback that can be made to fail and to hang."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Coroutine, Iterator, Sequence
from enum import StrEnum
from typing import Any, Self

from aiohttp import web

__all__ = ["Condition", "Upstream", "Upstreams"]

_START = 5.0
_STOP = 3.0


class Condition(StrEnum):
    """How an upstream is doing."""

    HEALTHY = "healthy"
    FAILING = "answers 500"
    HANGING = "hangs"


class Upstream:
    """One HTTP service.

    Attributes:
        name: of the service.
        port: where it listens on 127.0.0.1.
        condition: how it is doing; set it with `Upstreams.put`.
        hits: requests that have reached it.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.port = 0
        self.condition = Condition.HEALTHY
        self.hits = 0
        self._random = random.Random(f"{seed} {name}")
        self._turned = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    # All below runs on the loop of `Upstreams`.

    async def listen(self) -> None:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.5)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        self._runner = runner

    async def close(self) -> None:
        self._turned.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def turn(self, condition: Condition) -> None:
        self.condition = condition
        self._turned.set()  # whoever was left hanging is answered, late
        self._turned = asyncio.Event()

    async def _answer(self, _request: web.BaseRequest) -> web.Response:
        self.hits += 1
        if self.condition is Condition.HANGING:
            await self._turned.wait()
        await asyncio.sleep(self._random.uniform(0.001, 0.006))
        if self.condition is Condition.FAILING:
            return web.Response(status=500, text="out of order\n")
        return web.Response(text="ok\n")


class Upstreams:
    """The upstreams of a demonstration, on an asyncio loop in a daemon thread of their own.

    A context manager: they listen inside the block. Iterate over it, or index it by name.

    Failure: a port that cannot be had raises `OSError` from ``with``.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self._all = {name: Upstream(name, seed) for name in names}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="upstreams", daemon=True
        )

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self._all.values())

    def __getitem__(self, name: str) -> Upstream:
        return self._all[name]

    def put(self, name: str, condition: Condition) -> None:
        """Change how an upstream is doing."""
        self._loop.call_soon_threadsafe(self._all[name].turn, condition)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            for upstream in self:
                self._await(upstream.listen(), _START)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end()

    def _end(self) -> None:
        try:
            self._await(self._close(), _STOP)
        except TimeoutError:
            pass  # the thread is a daemon
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _close(self) -> None:
        await asyncio.gather(*(upstream.close() for upstream in self))

    def _await(self, coroutine: Coroutine[Any, Any, None], timeout: float) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)
