"""Telemetry in the tests of users: in memory, the same in every run, and gone afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import brama
import brama.telemetry
from brama.telemetry import ConfigError, flags, providers
from brama.telemetry.testing import CapturedLogs, CapturedMetrics, CapturedSpans, capture_telemetry

pytestmark = pytest.mark.requirement("telemetry:test-helpers")


def trip(name: str = "api") -> None:
    """A failing call that opens a circuit, with somebody who hears of it, and a refused one."""
    brama.subscribe(lambda event: None, events=["circuit_opened"])
    api = brama.circuit(name, failure_threshold=1, expiry=60)
    with pytest.raises(TimeoutError):
        api.call(_fail)
    with pytest.raises(brama.CircuitOpenError):
        api.call(int)


def _fail() -> None:
    raise TimeoutError("too slow")


STORY = ("transition open", "publish circuit_opened", "process circuit_opened", "call api")


@pytest.mark.parametrize("again", [1, 2])
def test_spans_are_the_same_in_every_run(
    again: int, brama_system: brama.System, brama_spans: CapturedSpans
) -> None:
    trip()
    transition, publish, process, call = brama_spans.wait_for(*STORY)
    assert (transition["id"], transition["parent"], transition["trace"]) == (1, None, 1)
    assert transition["kind"] == "INTERNAL"
    assert transition["status"] == "UNSET"
    assert transition["attributes"] == {
        "brama.circuit.name": "api",
        "pool": "api",
        "brama.circuit.state": "open",
        "brama.circuit.state.from": "closed",
        "brama.circuit.reason": "TimeoutError: too slow",
        "brama.circuit.failure_count": 1,
    }
    assert (publish["parent"], process["parent"]) == (transition["id"], publish["id"])
    assert publish["kind"] == "PRODUCER"
    assert publish["attributes"]["brama.notification.id"] == 1
    assert process["links"] == [{"id": publish["id"], "attributes": {"brama.link": "publish"}}]
    assert call["status"] == "ERROR"
    assert call["links"][0]["id"] == transition["id"]
    assert "retry_after" not in str(call["attributes"])
    assert brama_spans.tree().splitlines()[:3] == [
        "transition open",
        "  publish circuit_opened",
        "    process circuit_opened",
    ]


def test_times_and_the_sdk_s_own_objects_are_there_for_who_asks(
    brama_system: brama.System, brama_spans: CapturedSpans
) -> None:
    trip()
    brama_spans.wait_for(*STORY)
    (call,) = [each for each in brama_spans.as_dicts(times=True) if each["name"] == "call api"]
    assert 0 < call["start"] <= call["end"]
    assert 0 < call["attributes"]["brama.circuit.retry_after"] <= 60
    assert "call api" in [span.name for span in brama_spans.raw]


def test_log_events_name_their_spans(
    brama_system: brama.System, brama_logs: CapturedLogs, brama_spans: CapturedSpans
) -> None:
    trip()
    (log,) = brama_logs.wait(1)
    assert log["event"] == "brama.circuit.state.changed"
    assert (log["severity"], log["span"]) == ("WARN", "transition open")
    assert log["body"] == "circuit api: closed -> open"
    assert brama_logs.one("brama.circuit.state.changed") == log


@pytest.mark.parametrize("again", [1, 2])
def test_metrics_begin_at_zero_in_every_test(
    again: int, brama_system: brama.System, brama_metrics: CapturedMetrics
) -> None:
    assert brama_metrics.value("brama.circuit.calls") == 0
    trip()
    brama.circuit("api").reset_circuit()
    brama.circuit("api").call(int)
    calls = brama_metrics["brama.circuit.calls"]
    assert {each["attributes"]["brama.circuit.call.outcome"]: each["value"] for each in calls} == {
        "success": 1,
        "failure": 1,
        "rejected": 1,
    }
    assert brama_metrics.value("brama.circuit.calls", outcome="failure", pool="api") == 1
    assert brama_metrics.value("brama.circuit.calls", outcome="failure", pool="other") == 0
    brama_metrics.clear()
    assert brama_metrics.value("brama.circuit.calls") == 0


def test_an_unknown_metric_is_refused(brama_metrics: CapturedMetrics) -> None:
    with pytest.raises(ConfigError, match=r"brama\.circuit\.calls"):
        brama_metrics.value("brama.circuit.cals")


@pytest.mark.brama_telemetry(spans="calls")
def test_the_mark_gives_every_call_a_span(
    brama_system: brama.System, brama_spans: CapturedSpans
) -> None:
    brama.circuit("api").call(int)
    span = brama_spans.one("call api")
    assert span["attributes"]["brama.circuit.call.outcome"] == "success"


def test_spans_are_given_by_name_or_fail_the_test_with_those_that_there_are(
    brama_system: brama.System, brama_spans: CapturedSpans
) -> None:
    assert not brama_spans
    with pytest.raises(AssertionError, match="0 of 'call api'"):
        brama_spans.one("call api")
    with pytest.raises(TimeoutError, match="no call api after 0"):
        brama_spans.wait_for("call api", timeout=0)
    with pytest.raises(TimeoutError, match="0 of 1 after 0"):
        brama_spans.wait(timeout=0)
    trip()
    brama_spans.wait_for(*STORY)
    assert len(brama_spans.named("call api")) == 1
    brama_spans.clear()
    assert brama_spans.names == []


def test_no_rate_limits_what_a_test_sees(
    brama_system: brama.System, brama_spans: CapturedSpans
) -> None:
    api = brama.circuit("api")
    api.open_circuit("a test")
    for _ in range(1000):
        with pytest.raises(brama.CircuitOpenError):
            api.call(int)
    assert len(brama_spans.named("call api")) == 1000


def test_nothing_global_is_set_and_nothing_is_left() -> None:
    before = (
        providers.global_tracer_provider(),
        providers.global_meter_provider(),
        providers.global_logger_provider(),
        providers.current_meter_provider(),
        flags.options(),
        flags.watching.refusals,
        flags.watching.deliveries,
    )
    with capture_telemetry() as told:
        assert flags.watching.refusals
        assert providers.global_tracer_provider() is before[0]
    after = (
        providers.global_tracer_provider(),
        providers.global_meter_provider(),
        providers.global_logger_provider(),
        providers.current_meter_provider(),
        flags.options(),
        flags.watching.refusals,
        flags.watching.deliveries,
    )
    assert before == after
    api = brama.System(name="later").circuit("api")
    api.open_circuit()
    with pytest.raises(brama.CircuitOpenError):
        api.call(int)
    assert told.spans.names == []


def test_a_block_in_a_block_has_its_own() -> None:
    with brama.System(name="nested") as system, capture_telemetry() as outer:
        api = system.circuit("api")
        api.open_circuit("a test")
        with capture_telemetry(spans="none") as inner, pytest.raises(brama.CircuitOpenError):
            api.call(int)
        with pytest.raises(brama.CircuitOpenError):
            api.call(int)
        assert inner.spans.named("call api") == []
        assert len(outer.spans.named("call api")) == 1


def test_disabling_the_sdk_does_not_blind_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with brama.System(name="disabled") as system, capture_telemetry() as told:
        system.circuit("api").open_circuit("a test")
        told.spans.wait_for("transition open")
        told.logs.wait(1)
    import os

    assert os.environ["OTEL_SDK_DISABLED"] == "true"


def test_configure_exports_nothing_from_a_test(brama_spans: CapturedSpans) -> None:
    with brama.telemetry.configure(endpoint="http://127.0.0.1:1", spans="none") as telemetry:
        assert not telemetry.exporting
    assert flags.options().spans == "exceptional"


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigError), capture_telemetry(spans="all"):  # type: ignore[arg-type]
        pass


def test_spans_of_many_threads_arrive(brama_system: brama.System, brama_spans: Any) -> None:
    api = brama.circuit("api")
    api.open_circuit("a test")

    def refused() -> None:
        for _ in range(100):
            with pytest.raises(brama.CircuitOpenError):
                api.call(int)

    threads = [threading.Thread(target=refused) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(brama_spans.named("call api")) == 400


APP = """
import pytest
import brama
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
shop = trace.get_tracer("shop")


@pytest.mark.parametrize("again", range(4))
def test_the_application_keeps_its_provider(again, brama_system, brama_spans, brama_metrics):
    api = brama.circuit("api")
    api.open_circuit("a test")
    with shop.start_as_current_span("request") as request, pytest.raises(brama.CircuitOpenError):
        api.call(int)
    (call,) = brama_spans.wait_for("call api")
    (raw,) = [span for span in brama_spans.raw if span.name == "call api"]
    assert raw.parent.span_id == request.get_span_context().span_id
    assert isinstance(call["parent"], int)
    assert brama_metrics.value("brama.circuit.calls", outcome="rejected") == 1
    assert trace.get_tracer_provider() is provider
    assert exporter.get_finished_spans()[-1].name == "request"


def test_without_the_fixture_the_application_gets_them(brama_system):
    exporter.clear()
    api = brama.circuit("api")
    api.open_circuit("a test")
    with pytest.raises(brama.CircuitOpenError):
        api.call(int)
    assert "call api" in [span.name for span in exporter.get_finished_spans()]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="alone"),
        pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.soak),
    ],
)
def test_users_find_the_fixtures_beside_a_provider_of_their_own(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "test_users.py").write_text(APP)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_the_plug_in_loads_neither_the_sdk_nor_brama_unless_a_fixture_is_used() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import brama.pytest_plugin\n"
        "loaded = set(sys.modules) - before\n"
        "print([m for m in loaded if m.startswith(('opentelemetry.sdk', 'aiohttp'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_the_parent_in_another_provider_has_a_number(brama_spans: CapturedSpans) -> None:
    parent = trace.NonRecordingSpan(
        trace.SpanContext(5, 6, is_remote=True, trace_flags=trace.TraceFlags(1))
    )
    with brama.System(name="remote") as system, trace.use_span(parent):
        api = system.circuit("api")
        api.open_circuit("a test")
        brama_spans.wait_for("transition open")
        (span,) = [each for each in brama_spans if each["name"] == "transition open"]
    assert (span["parent"], span["id"]) == (1, 2)
