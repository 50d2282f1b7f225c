"""A collector that is down, broken or silent: nothing waits for it beyond the deadline."""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from brama.telemetry import configure, health
from brama.telemetry.health import ExportHealth
from brama.telemetry.testing import Fault, OtlpReceiver
from brama.telemetry.throttle import Throttle

Trip = Callable[..., object]
NewPython = Callable[..., subprocess.CompletedProcess[str]]
Ended = Future[tuple[subprocess.CompletedProcess[str], float]]

pytestmark = pytest.mark.requirement("telemetry:failure-behaviour")

FAULTS = pytest.mark.parametrize("fault", ["unavailable", "silent", "refused"])
SLACK = 2.0  # for a busy machine; without a deadline of ours these take 5 to 30 s


@pytest.fixture(autouse=True)
def first_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_throttle", Throttle())


@FAULTS
def test_a_flush_ends_at_its_deadline_and_says_that_it_failed(
    receiver: OtlpReceiver, trip: Trip, fault: Fault
) -> None:
    with (
        receiver.failing(fault),
        configure(endpoint=receiver.endpoint, environ={}, deadline=0.2) as telemetry,
    ):
        trip()
        begin = time.monotonic()

        assert not telemetry.force_flush(deadline=0.2)
        assert time.monotonic() - begin < 0.2 + SLACK


@FAULTS
def test_a_shutdown_ends_at_its_deadline_and_says_that_it_failed(
    receiver: OtlpReceiver, trip: Trip, fault: Fault
) -> None:
    telemetry = configure(endpoint=receiver.endpoint, environ={})
    with receiver.failing(fault):
        trip()
        begin = time.monotonic()

        assert not telemetry.shutdown(deadline=0.2)
        assert time.monotonic() - begin < 0.2 + SLACK
        assert not telemetry.shutdown()


def test_a_full_queue_of_spans_does_not_prolong_the_shutdown(
    receiver: OtlpReceiver, trip: Trip
) -> None:
    telemetry = configure(endpoint=receiver.endpoint, environ={})
    with receiver.failing("refused"):
        for _ in range(3_000):
            trip()
        begin = time.monotonic()

        assert not telemetry.shutdown(deadline=0.5)
        assert time.monotonic() - begin < 0.5 + SLACK


def test_a_flush_of_a_collector_that_came_back_delivers(receiver: OtlpReceiver, trip: Trip) -> None:
    with configure(endpoint=receiver.endpoint, environ={}) as telemetry:
        trip(new="open")
        with receiver.failing("refused"):
            assert not telemetry.force_flush(deadline=0.1)
        trip(new="half_open")

        assert telemetry.force_flush(deadline=5.0)
        assert {span.name for span in receiver.spans} == {"transition open", "transition half_open"}


ENDS = """
import brama.telemetry as t, time
t.configure()
for _ in range(3000):
    t.transition(t.capture(), connection='a', scope=None, previous='closed', new='open',
                 reason=None, time_ns=time.time_ns())
print(time.time())
"""


@pytest.fixture(scope="module")
def ended(new_python: NewPython) -> Iterator[dict[tuple[str, str], Ended]]:
    """Each kind of dead collector: its process, and when that was over. All wait at once."""

    def ended(port: int, protocol: str) -> tuple[subprocess.CompletedProcess[str], float]:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
        return new_python(ENDS, **environ), time.time()

    # The kernel's backlog accepts connections, and nobody ever answers.
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as threads:
        yield {
            (kind, protocol): threads.submit(ended, port, protocol)
            for kind, port in [("refused", 1), ("silent", silent.getsockname()[1])]
            for protocol in ["http/protobuf", "grpc"]
        }


@pytest.mark.parametrize("kind", ["refused", "silent"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_process_ends_within_two_seconds_when_the_collector_is_dead(
    kind: str, protocol: str, ended: dict[tuple[str, str], Ended]
) -> None:
    done, end = ended[kind, protocol].result()

    # Without a deadline of ours it would be 7 to 30 s; a busy machine gets some slack.
    assert end - float(done.stdout) <= 2.0 + SLACK
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_a_dead_collector_is_one_line_of_ours_and_none_of_the_sdk_s(
    receiver: OtlpReceiver, trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = configure(endpoint=receiver.endpoint, environ={})
    with receiver.failing("refused"):
        for _ in range(600):
            trip()
        telemetry.shutdown(deadline=0.4)

    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["brama.telemetry"]
    assert f"to {receiver.endpoint}/v1/" in warnings[0].getMessage()
    assert "Connection refused" in warnings[0].getMessage()


def test_the_last_words_are_those_about_the_signal_that_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = health._Hush()
    monkeypatch.setattr(health, "_hush", words)
    for message in ("Failed to export spans batch code: 401", "Failed to export logs to c:4317"):
        words.filter(logging.makeLogRecord({"name": "exporter", "msg": message}))
    for signal, url in (("traces", "http://c/v1/traces"), ("metrics", "http://c/v1/metrics")):
        ExportHealth(signal, url, Throttle()).lost(1)
    assert caplog.messages[0].endswith("last words: Failed to export spans batch code: 401")
    assert caplog.messages[1].endswith("last words: Failed to export logs to c:4317")


def test_failures_are_told_at_most_once_a_minute_with_what_was_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    traces = ExportHealth("traces", "http://c/v1/traces", Throttle(60.0, clock=lambda: now[0]))
    for now[0] in range(0, 180, 5):
        traces.lost(10)

    assert len(caplog.records) == 3
    assert " 10 lost" in caplog.messages[0]
    assert " 130 lost" in caplog.messages[1]


def test_what_was_lost_counts_from_the_last_delivery(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    traces = ExportHealth("traces", "http://c/v1/traces", Throttle(60.0, clock=lambda: now[0]))
    traces.lost(10)
    traces.delivered()
    now[0] = 60.0
    traces.lost(1)

    assert " 1 lost" in caplog.messages[1]
