"""Guard aiohttp calls on asyncio, many at a time.

A search service on loopback answers 503 for a moment. The first failures open the circuit; all
other requests are refused at once. When the expiry is over a single probe goes out, however many
callers are waiting, and its success lets the others through.

    python examples/asyncio_service.py
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, ClientTimeout, web

import brama

search = brama.circuit("search", failure_threshold=5, expiry=0.3)


async def query(session: ClientSession, url: str) -> str:
    """One guarded request. An answer is no exception, so the permit is told what it means."""
    try:
        async with search.guard() as permit, session.get(url) as answer:
            if answer.status >= 500:
                permit.failure(reason=f"HTTP {answer.status}")
                return "failed"
            return await answer.text()
    except brama.CircuitOpenError:
        return "refused"


async def burst(session: ClientSession, url: str, requests: int) -> Counter[str]:
    """That many requests at once, and how they ended."""
    return Counter(await asyncio.gather(*(query(session, url) for _ in range(requests))))


async def log(events: brama.EventStream) -> None:
    """Print what the circuit does, on the loop of the service, until it is closed again."""
    async for event in events:
        print(f"* {event.connection} is {event.data['new_state']}: {event.data['reason']}")
        if event.data["new_state"] is brama.State.CLOSED:
            return


async def main() -> None:
    timeout = ClientTimeout(total=1)
    async with (
        upstream() as url,
        ClientSession(timeout=timeout) as session,
        brama.events(events=["state_change"], connection="search") as events,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(log(events))
        print("healthy:", dict(await burst(session, url, 20)))

        Upstream.status = 503
        print("breaking:", dict(await burst(session, url, 5)))
        print("broken:", dict(await burst(session, url, 1_000)))

        Upstream.status = 200
        await asyncio.sleep(search.status().retry_after)
        print("probing:", dict(await burst(session, url, 20)))
        print("healed:", dict(await burst(session, url, 20)))


class Upstream:
    """The search service."""

    status = 200

    @classmethod
    async def answer(cls, _request: web.Request) -> web.Response:
        return web.Response(status=cls.status, text="found")


@asynccontextmanager
async def upstream() -> AsyncGenerator[str]:
    """Run the search service on this loop; its address."""
    application = web.Application()
    application.router.add_get("/", Upstream.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _host, port = runner.addresses[0][:2]
    yield f"http://127.0.0.1:{port}/"
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
