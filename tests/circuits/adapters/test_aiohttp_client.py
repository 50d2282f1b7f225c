"""What only aiohttp has: web sockets, kept connections, compression, dropped responses."""

from __future__ import annotations

import asyncio
import gc

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from brama.circuits import CircuitOpenError, State
from brama.circuits.adapters.aiohttp import CircuitMiddleware, CircuitOpenClientError

pytestmark = pytest.mark.requirement("BR-32")


def settled(circuit):
    status = circuit.status()
    assert status.in_flight == 0
    return status.successes, status.failures, status.ignored


async def answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/zip":
            response = web.Response(text="x" * 10_000)
            response.enable_compression()
            return response
        case "/socket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(await socket.receive_str())
            await socket.close()
            return socket
        case "/broken":
            raise web.HTTPServiceUnavailable
        case _:
            return web.Response(text=request.method)


def with_server(catalogue, use):
    """Run `use(session, server, circuit)` against a server of aiohttp's own."""

    async def main():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            guarded = CircuitMiddleware(circuits=catalogue, circuit="web")
            async with aiohttp.ClientSession(middlewares=[guarded]) as session:
                await use(session, server, catalogue.circuit("web"))

    asyncio.run(main())


def test_kept_connections_are_used_again(catalogue):
    async def use(session, server, circuit):
        for method in ("GET", "POST", "HEAD"):
            async with session.request(method, server.make_url("/")) as response:
                await response.read()
        assert settled(circuit) == (3, 0, 0)
        assert len(session.connector._conns) == 1

    with_server(catalogue, use)


def test_a_compressed_body_is_a_success_at_its_end(catalogue):
    async def use(session, server, circuit):
        async with session.get(server.make_url("/zip")) as response:
            assert len(await response.text()) == 10_000
            assert settled(circuit) == (1, 0, 0)

    with_server(catalogue, use)


def test_a_web_socket_is_a_success_when_it_is_open(catalogue):
    async def use(session, server, circuit):
        async with session.ws_connect(server.make_url("/socket")) as socket:
            assert settled(circuit) == (1, 0, 0)
            await socket.send_str("echo")
            assert await socket.receive_str() == "echo"

    with_server(catalogue, use)


def test_a_session_that_raises_for_status_counts_once(catalogue):
    async def use(session, server, circuit):
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(server.make_url("/broken"), raise_for_status=True)
        assert settled(circuit) == (0, 1, 0)

    with_server(catalogue, use)


def test_a_response_is_what_it_was_once_the_call_is_settled(catalogue):
    async def use(session, server, circuit):
        async with session.get(server.make_url("/")) as response:
            assert isinstance(response, aiohttp.ClientResponse)
            await response.read()
        assert type(response) is aiohttp.ClientResponse
        assert not any("brama" in name for name in vars(response))

    with_server(catalogue, use)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiohttp's word
def test_a_response_that_is_dropped_half_read_is_neutral_when_its_session_is_closed(
    catalogue, server
):
    async def main():
        guarded = CircuitMiddleware(circuits=catalogue, circuit="web")
        async with aiohttp.ClientSession(middlewares=[guarded]) as session:
            response = await session.get(server.url("/drip"))
            await response.content.read(10)
            del response
            assert catalogue.circuit("web").status().in_flight == 1
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert settled(catalogue.circuit("web")) == (0, 0, 1)


def test_a_middleware_that_repeats_stands_before_and_each_attempt_is_seen(catalogue):
    async def twice(request, handler):
        for _ in range(2):
            response = await handler(request)
            await response.read()
        return response

    async def main():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        guarded = CircuitMiddleware(circuits=catalogue, circuit="web")
        async with (
            TestServer(app) as server,
            aiohttp.ClientSession(middlewares=[twice, guarded]) as session,
        ):
            await session.get(server.make_url("/broken"))
        assert settled(catalogue.circuit("web")) == (0, 2, 0)

    asyncio.run(main())


def test_one_middleware_serves_several_sessions(catalogue):
    catalogue.circuit("web", failure_threshold=2)

    async def use(session, server, circuit):
        async with aiohttp.ClientSession(middlewares=session._middlewares) as other:
            for each in (session, other):
                async with each.get(server.make_url("/broken")):
                    pass
            assert circuit.state is State.OPEN
            for each in (session, other):
                with pytest.raises(CircuitOpenClientError) as caught:
                    await each.get(server.make_url("/"))
                assert isinstance(caught.value, CircuitOpenError)

    with_server(catalogue, use)
