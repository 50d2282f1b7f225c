"""The clients with their adapters, behind one face: what is true of one is true of all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import requests
import trio

from brama.circuits.adapters.aiohttp import CircuitMiddleware, CircuitOpenClientError
from brama.circuits.adapters.httpx import (
    AsyncCircuitTransport,
    CircuitOpenTransportError,
    CircuitTransport,
)
from brama.circuits.adapters.requests import CircuitAdapter, CircuitOpenConnectionError

FOREVER = 20.0


class Requests:
    errors = requests.RequestException
    refusal = CircuitOpenConnectionError
    adapter = CircuitAdapter

    def __init__(self, **options: Any) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", CircuitAdapter(**options))

    def fetch(self, url: str, *, timeout: float = FOREVER, method: str = "GET") -> int:
        with self.session:
            return self.session.request(method, url, timeout=timeout).status_code

    def peek(self, url: str, inside: Callable[[], Any] = lambda: None) -> None:
        with self.session, self.session.get(url, timeout=FOREVER, stream=True) as response:
            next(response.iter_content(100))
            inside()

    def read_slowly(self, url: str, timeout: float) -> None:
        with self.session, self.session.get(url, timeout=timeout, stream=True) as response:
            for _ in response.iter_content(100):
                pass


class Httpx:
    errors = httpx.HTTPError
    refusal = CircuitOpenTransportError
    adapter = CircuitTransport

    def __init__(self, **options: Any) -> None:
        self.options = options

    def _client(self, timeout: float = FOREVER) -> httpx.Client:
        # Loading certificates takes longer than all the rest.
        transport = CircuitTransport(httpx.HTTPTransport(verify=False), **self.options)
        return httpx.Client(transport=transport, timeout=timeout, follow_redirects=True)

    def fetch(self, url: str, *, timeout: float = FOREVER, method: str = "GET") -> int:
        with self._client(timeout) as client:
            return client.request(method, url).status_code

    def peek(self, url: str, inside: Callable[[], Any] = lambda: None) -> None:
        with self._client() as client, client.stream("GET", url) as response:
            next(response.iter_bytes(100))
            inside()

    def read_slowly(self, url: str, timeout: float) -> None:
        with self._client(timeout) as client, client.stream("GET", url) as response:
            for _ in response.iter_bytes(100):
                pass


class AsyncHttpx:
    errors = httpx.HTTPError
    refusal = CircuitOpenTransportError
    adapter = AsyncCircuitTransport

    def __init__(self, **options: Any) -> None:
        self.options = options

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return asyncio.run(function(*args))

    def client(self, timeout: float = FOREVER) -> httpx.AsyncClient:
        transport = AsyncCircuitTransport(httpx.AsyncHTTPTransport(verify=False), **self.options)
        return httpx.AsyncClient(
            transport=transport, timeout=timeout, follow_redirects=True, trust_env=False
        )

    def fetch(self, url: str, *, timeout: float = FOREVER, method: str = "GET") -> int:
        async def main() -> int:
            async with self.client(timeout) as client:
                return (await client.request(method, url)).status_code

        return self.run(main)

    def peek(self, url: str, inside: Callable[[], Any] = lambda: None) -> None:
        async def main() -> None:
            async with self.client() as client, client.stream("GET", url) as response:
                items = response.aiter_bytes(100)
                await anext(items)
                inside()
                await items.aclose()

        self.run(main)

    def read_slowly(self, url: str, timeout: float) -> None:
        async def main() -> None:
            async with self.client(timeout) as client, client.stream("GET", url) as response:
                async for _ in response.aiter_bytes(100):
                    pass

        self.run(main)

    async def read(self, url: str, begun: Callable[[], Any]) -> None:
        async with self.client() as client, client.stream("GET", url) as response:
            async for _ in response.aiter_bytes(100):
                begun()


class TrioHttpx(AsyncHttpx):
    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return trio.run(function, *args)


class Aiohttp:
    errors = (aiohttp.ClientError, TimeoutError)
    refusal = CircuitOpenClientError
    adapter = CircuitMiddleware

    def __init__(self, **options: Any) -> None:
        self.options = options

    def session(self, timeout: aiohttp.ClientTimeout | None = None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            middlewares=[CircuitMiddleware(**self.options)],
            timeout=timeout or aiohttp.ClientTimeout(total=FOREVER, ceil_threshold=math.inf),
        )

    def fetch(self, url: str, *, timeout: float = FOREVER, method: str = "GET") -> int:
        async def main() -> int:
            limit = aiohttp.ClientTimeout(total=timeout, ceil_threshold=math.inf)
            async with self.session(limit) as session, session.request(method, url) as response:
                await response.read()
                return response.status

        return asyncio.run(main())

    def peek(self, url: str, inside: Callable[[], Any] = lambda: None) -> None:
        async def main() -> None:
            async with self.session() as session, session.get(url) as response:
                await response.content.read(100)
                inside()

        asyncio.run(main())

    def read_slowly(self, url: str, timeout: float) -> None:
        async def main() -> None:
            limit = aiohttp.ClientTimeout(total=timeout, ceil_threshold=math.inf)
            async with self.session(limit) as session, session.get(url) as response:
                async for _ in response.content.iter_chunked(100):
                    pass

        asyncio.run(main())

    async def read(self, url: str, begun: Callable[[], Any]) -> None:
        async with self.session() as session, session.get(url) as response:
            async for _ in response.content.iter_chunked(100):
                begun()


CLIENTS = {
    "requests": Requests,
    "httpx": Httpx,
    "httpx on asyncio": AsyncHttpx,
    "httpx on trio": TrioHttpx,
    "aiohttp": Aiohttp,
}
