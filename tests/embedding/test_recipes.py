"""Each recipe of the page on embedding, run in the framework that it is for."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import trio
from aiohttp.test_utils import TestClient, TestServer

import brama
from brama.telemetry.testing import OtlpReceiver

from .recipes import RECIPES, cooked

pytestmark = pytest.mark.requirement("telemetry:embedding")


def works(shop: brama.System) -> bool:
    """Whether the system guards calls, and its loop is there to tell of what they did."""
    with shop.events(events=["circuit_opened"]) as events:
        stock = shop.circuit("works", failure_threshold=1)
        assert stock.call(int) == 0
        stock.failure("as a test")
        return shop.actors.running and events.get(timeout=5).connection == "works"


def lines(source: str) -> int:
    """The lines of a recipe without its imports, and without the one that starts the program."""
    body = [
        one for one in ast.parse(source).body if not isinstance(one, ast.Import | ast.ImportFrom)
    ]
    text = "\n".join(ast.unparse(one) for one in body)
    own = [line for line in text.splitlines() if line.strip()]
    return len([line for line in own if not line.startswith(("asyncio.run(", "trio.run("))])


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_is_longer_than_five_lines(name: str) -> None:
    assert lines(RECIPES[name]) <= 5


def test_there_is_a_recipe_for_each_framework() -> None:
    assert set(RECIPES) == {
        "sync",
        "asyncio",
        "trio",
        "fastapi",
        "starlette",
        "aiohttp",
        "django",
        "gunicorn",
        "celery",
    }


def test_a_plain_program(capsys: pytest.CaptureFixture[str]) -> None:
    shop = cooked("sync")["shop"]
    assert capsys.readouterr().out == "TEA\n"
    assert not shop.actors.running


@pytest.mark.parametrize(("name", "said"), [("asyncio", "tea\n"), ("trio", "TEA\n")])
def test_a_program_with_a_loop(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    cooked(name)
    assert capsys.readouterr().out == said
    assert not [thread for thread in set(threading.enumerate()) - before if not thread.daemon]


class Asgi:
    """A server that speaks to an ASGI application as the specification says, on asyncio."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        self._life = asyncio.ensure_future(self.app(scope, self._said.get, self._heard.put))
        await self._tell("lifespan.startup")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._tell("lifespan.shutdown")
        await self._life

    async def _tell(self, what: str) -> None:
        await self._said.put({"type": what})
        answer = await asyncio.wait_for(self._heard.get(), 10)
        assert answer["type"] == f"{what}.complete", answer

    async def get(self, path: str) -> tuple[int, bytes]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
            "state": self.state.copy(),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


def test_fastapi() -> None:
    app = cooked("fastapi")["app"]

    @app.get("/")
    def read() -> bool:  # in one of the framework's threads
        return works(app.state.shop)

    async def serve() -> tuple[int, bytes]:
        async with Asgi(app) as server:
            return await server.get("/")

    assert asyncio.run(serve()) == (200, b"true")
    assert not app.state.shop.actors.running


def test_starlette() -> None:
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse

    app = cooked("starlette")["app"]
    seen: list[brama.System] = []

    async def read(request: Request) -> PlainTextResponse:
        seen.append(request.state.shop)
        return PlainTextResponse(str(await run_in_threadpool(works, request.state.shop)))

    app.add_route("/", read)

    async def serve() -> tuple[int, bytes]:
        async with Asgi(app) as server:
            return await server.get("/")

    assert asyncio.run(serve()) == (200, b"True")
    assert not seen[0].actors.running


def test_aiohttp() -> None:
    made = cooked("aiohttp")
    app, shop = made["app"], made["SHOP"]

    async def read(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(text=str(await asyncio.to_thread(works, request.app[shop])))

    app.router.add_get("/", read)

    async def serve() -> str:
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            return await (await client.get("/")).text()

    assert asyncio.run(serve()) == "True"
    assert not app[shop].actors.running


def inherited(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "BRAMA_"))}
    return {**kept, **more}


def test_django(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "apps.py").write_text(RECIPES["django"])
    program = """
import django
from django.conf import settings

settings.configure(INSTALLED_APPS=["shop.apps.ShopConfig"])
django.setup()
import brama

print([circuit.name for circuit in brama.default_system().circuits()])
for _ in range(3):
    brama.failure("stock", reason="Timeout")
print(brama.circuit("stock").state)
brama.default_system().stop()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, second, event = done.stdout.splitlines()
    assert (first, second) == ("['stock']", "open")
    assert "circuit_opened" in event


SHOP = """
import os, threading
from pathlib import Path

import brama
from celery import Celery
from celery.signals import worker_ready
from opentelemetry import trace

app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"
}
heard = threading.Event()
brama.subscribe(lambda event: heard.set(), events=["circuit_opened"])


def fail():
    raise TimeoutError


@app.task
def work(number):
    with trace.get_tracer("shop").start_as_current_span("task"):
        try:
            brama.circuit(f"api-{number}", failure_threshold=1).call(fail)
        except TimeoutError:
            pass
    (Path("done") / f"{number}-{os.getpid()}-{heard.wait(10)}").touch()


@worker_ready.connect
def begin(**_):
    for number in range(4):
        work.delay(number)


"""


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


@pytest.mark.soak  # its worker takes its time to come and go
def test_celery(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP + RECIPES["celery"])
    for folder in ("queue", "control", "done"):
        (tmp_path / folder).mkdir()
    log = tmp_path / "log"
    command = [sys.executable, "-m", "celery", "--app", "shop", "worker", "--concurrency", "2"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    with OtlpReceiver() as receiver:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *quiet],
                cwd=tmp_path,
                stdout=output,
                stderr=output,
                # What is made is sent when the worker ends, or never.
                env=inherited(
                    OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                    OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="process",
                    OTEL_BSP_SCHEDULE_DELAY="60000",
                ),
            )
        try:
            until(lambda: len(list((tmp_path / "done").iterdir())) == 4, process, log)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        finally:
            process.kill()
            process.wait()
        spans = receiver.spans
    did = {
        name: pid for name, pid, _ in (one.name.split("-") for one in (tmp_path / "done").iterdir())
    }
    assert {one.name.split("-")[2] for one in (tmp_path / "done").iterdir()} == {"True"}
    opened = [span for span in spans if span.name == "transition open"]
    assert {
        span.attributes["brama.circuit.name"]: str(span.resource["process.pid"]) for span in opened
    } == {f"api-{number}": pid for number, pid in did.items()}, log.read_text()
    assert len(opened) == 4
    assert str(process.pid) not in did.values()


# One object for all worlds


def test_one_circuit_serves_threads_asyncio_and_trio_at_once() -> None:
    with brama.System(name="worlds") as system:
        stock = system.circuit("stock")

        @stock
        def plain(article: str) -> str:
            return article

        @stock
        async def coroutine(article: str) -> str:
            await (trio.sleep(0) if in_trio() else asyncio.sleep(0))
            return article

        async def several() -> list[str]:
            return [await coroutine("tea") for _ in range(100)]

        results: list[list[str]] = []
        threads = [
            threading.Thread(target=lambda: results.append([plain("tea") for _ in range(100)])),
            threading.Thread(target=lambda: results.append(asyncio.run(several()))),
            threading.Thread(target=lambda: results.append(trio.run(several))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [["tea"] * 100] * 3
        assert stock.status().successes == 300
        assert inspect.signature(plain) == inspect.signature(coroutine)


def in_trio() -> bool:
    return trio.lowlevel.in_trio_run()
