"""Prefork workers of a real gunicorn: each with a runtime and a telemetry of its own.

The application is loaded before the workers are forked (`--preload`): circuits, subscriptions and
the loop that serves them are inherited, and begin afresh in each worker on first use.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from brama.telemetry.testing import OtlpReceiver, Span

from .recipes import RECIPES

WORKERS = 3

SHOP = """
import json, os, threading, time
from pathlib import Path

import brama
from opentelemetry import trace

brama.circuit("parent").call(int)  # in the master: its own, and nobody else's
brama.default_system().start()     # the master has a loop, which no worker inherits
heard = threading.Event()


def listen(event):
    heard.set()


brama.subscribe(listen, events=["circuit_opened"])


def fail():
    raise TimeoutError


def work():
    api = brama.circuit(f"api-{os.getpid()}", failure_threshold=1)
    with trace.get_tracer("shop").start_as_current_span("request"):
        for function in (int, int, fail, int):
            try:
                api.call(function)
            except (TimeoutError, brama.CircuitOpenError):
                pass
    return {"pid": os.getpid(), "parent": os.getppid(), "heard": heard.wait(10),
            "threads": sorted(t.name for t in threading.enumerate())}


def app(environ, start_response):
    # Each worker takes one request at a time: none answers before all of them have got one.
    meeting = Path(environ["PATH_INFO"][1:])
    (meeting / str(os.getpid())).touch()
    end = time.monotonic() + 20
    while len(list(meeting.iterdir())) < int(environ["QUERY_STRING"]) and time.monotonic() < end:
        time.sleep(0.01)
    body = json.dumps(work()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Gunicorn:
    """A gunicorn on loopback that serves `SHOP`."""

    def __init__(self, folder: Path, receiver: OtlpReceiver) -> None:
        (folder / "shop.py").write_text(SHOP)
        (folder / "gunicorn.conf.py").write_text(RECIPES["gunicorn"])
        self._folder = folder
        self._log = folder / "log"
        self._meetings = 0
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "BRAMA_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)),
                    *("--bind", "127.0.0.1:0", "--graceful-timeout", "10", "shop:app"),
                ],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={
                    **inherited,
                    "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process",
                    "OTEL_BSP_SCHEDULE_DELAY": "50",
                    "OTEL_METRIC_EXPORT_INTERVAL": "200",
                },
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _found(self, pattern: str) -> str:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = re.search(pattern, self.log)
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in: {self.log}")

    def answers(self) -> list[dict[str, Any]]:
        """What each of the workers answers to one request."""
        url = self._found(r"Listening at: (http://\S+)")
        self._meetings += 1
        meeting = self._folder / f"meeting-{self._meetings}"
        meeting.mkdir()

        def ask(_number: int) -> dict[str, Any]:
            address = f"{url}/{meeting.name}?{WORKERS}"
            with urllib.request.urlopen(address, timeout=30) as answer:
                result: dict[str, Any] = json.load(answer)
                return result

        with ThreadPoolExecutor(WORKERS) as threads:
            return list(threads.map(ask, range(WORKERS)))

    def end(self) -> float:
        """SIGTERM; the seconds that it takes to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def named(spans: list[Span], pid: int, name: str) -> list[Span]:
    return [span for span in spans if span.name == name and span.resource["process.pid"] == pid]


def calls(receiver: OtlpReceiver, pid: int) -> dict[tuple[str, str], float]:
    """What was counted last, by circuit and outcome, of the worker with this pid."""
    found: dict[tuple[str, str], float] = {}
    for series in receiver.metrics:
        if series.name == "brama.circuit.calls" and series.resource["process.pid"] == pid:
            key = (series.attributes["pool"], series.attributes["brama.circuit.call.outcome"])
            found[key] = max(found.get(key, 0), series.value)
    return {key: count for key, count in found.items() if count}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.requirement("telemetry:fork")
def test_each_preforked_worker_guards_and_hears_and_reports_for_itself(
    tmp_path: Path, receiver: OtlpReceiver
) -> None:
    gunicorn = Gunicorn(tmp_path, receiver)
    try:
        first = gunicorn.answers()
        pids = {answer["pid"] for answer in first}
        assert len(pids) == WORKERS, gunicorn.log
        assert {answer["parent"] for answer in first} == {gunicorn.process.pid}
        assert all(answer["heard"] for answer in first)

        # What a worker did arrives while it lives, so that a sudden end does not cost it.
        victim = min(pids)
        receiver.wait_for(
            lambda it: all(
                calls(it, pid).get((f"api-{pid}", "rejected")) == 1
                and len(named(it.spans, pid, "process circuit_opened")) == 1
                for pid in pids
            ),
            timeout=20,
        )
        os.kill(victim, signal.SIGKILL)
        second = gunicorn.answers()
        replaced = {answer["pid"] for answer in second}
        assert len(replaced) == WORKERS
        assert replaced & pids == pids - {victim}
        assert all(answer["heard"] for answer in second)
        took = gunicorn.end()
    finally:
        gunicorn.process.kill()
        gunicorn.process.wait()

    assert gunicorn.process.returncode == 0, gunicorn.log
    assert took < 5.0  # two for telemetry's deadline, and the rest for the machine
    spans = receiver.spans
    assert len({span.span_id for span in spans}) == len(spans)  # none twice
    assert {span.resource["process.pid"] for span in spans} == pids | replaced
    instances = {span.resource["service.instance.id"] for span in spans}
    assert len(instances) == WORKERS + 1
    for pid in pids | replaced:
        again = 2 if pid in pids & replaced else 1
        assert len(named(spans, pid, "request")) == again
        (opened,) = named(spans, pid, "transition open")
        assert opened.attributes["brama.circuit.name"] == f"api-{pid}"
        (heard,) = named(spans, pid, "process circuit_opened")
        assert heard.trace_id == opened.trace_id
        counted = calls(receiver, pid)
        assert counted == {
            (f"api-{pid}", "success"): 2,
            (f"api-{pid}", "failure"): 1,
            # The second round finds the circuit open.
            (f"api-{pid}", "rejected"): 1 + 4 * (again - 1),
        }
