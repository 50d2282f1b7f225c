"""`configure()`: what it sets up, what it leaves alone, and what leaves the process."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import metrics, trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from brama.telemetry import (
    ConfigError,
    Telemetry,
    answers,
    capture,
    check_telemetry,
    configure,
    export,
    flags,
    providers,
    telemetry_health,
)
from brama.telemetry.testing import OtlpReceiver

Trip = Callable[..., object]
NewPython = Callable[..., subprocess.CompletedProcess[str]]


# What it leaves alone


@pytest.mark.requirement("telemetry:api-sdk-split")
def test_the_sdk_is_loaded_by_configure_and_by_nothing_else(new_python: NewPython) -> None:
    code = (
        "import brama.telemetry, sys\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'grpc', 'aiohttp', 'requests')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "brama.telemetry.configure\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )

    done = new_python(code)

    assert done.stdout.splitlines() == ["[]", "['opentelemetry.sdk']"]


@pytest.mark.requirement("telemetry:api-sdk-split")
def test_everything_but_configure_works_where_there_is_no_sdk(new_python: NewPython) -> None:
    code = (
        "import sys\n"
        "sys.modules['opentelemetry.sdk'] = None\n"
        "import opentelemetry.trace, opentelemetry.metrics, time\n"
        "import brama.telemetry as t\n"
        "cause = t.transition(t.capture(), connection='a', scope=None, previous='closed',\n"
        "                     new='open', reason=None, time_ns=time.time_ns())\n"
        "p = t.publish(cause, event='state_change', event_id='1', connection='a', scope=None)\n"
        "with t.process(event='state_change', traceparent=p.traceparent, subscription='s',\n"
        "               connection='a', scope=None, n=1, redelivered=False):\n"
        "    print('handled')\n"
        "p.end(matched=1, queued=1)\n"
    )

    done = new_python(code)

    assert (done.stdout, done.stderr) == ("handled\n", "")


@pytest.mark.requirement("telemetry:api-sdk-split")
def test_an_application_s_own_provider_is_used_and_not_replaced(
    trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = InMemorySpanExporter()
    own = TracerProvider(shutdown_on_exit=False)
    own.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(own)

    with caplog.at_level(logging.INFO):
        telemetry = configure(environ={})
    trip()

    assert trace.get_tracer_provider() is own
    assert not telemetry.exporting
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "INFO",
            "telemetry sets nothing up: the application has its own provider, which Brama uses",
        )
    ]
    assert [span.name for span in exporter.get_finished_spans()] == ["transition open"]
    assert telemetry.shutdown()
    trip()
    assert len(exporter.get_finished_spans()) == 2


def test_an_application_s_own_meter_provider_is_respected_too() -> None:
    own = MeterProvider(shutdown_on_exit=False)
    metrics.set_meter_provider(own)

    assert not configure(environ={}).exporting
    assert trace._TRACER_PROVIDER is None


def test_a_disabled_sdk_sets_nothing_up_and_reads_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        telemetry = configure(
            environ={"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "wrong"}
        )

    assert (telemetry.exporting, capture()) == (False, None)
    assert caplog.messages == ["telemetry sets nothing up: OTEL_SDK_DISABLED is true"]


def test_a_variable_over_which_the_sdk_cannot_be_loaded_is_named(new_python: NewPython) -> None:
    code = """
import brama.telemetry
try:
    brama.telemetry.configure()
except brama.telemetry.ConfigError as error:
    print(error)
"""
    done = new_python(code, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="many")
    assert done.stdout.startswith("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a whole number")


def test_a_redirected_export_is_a_lost_one(trip: Trip) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(307)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with configure(endpoint=f"http://127.0.0.1:{server.server_port}", environ={}) as telemetry:
            trip()
            assert telemetry.force_flush() is False
        server.shutdown()
        thread.join()


def test_a_wrong_variable_is_an_error_at_the_call_and_nothing_is_set_up() -> None:
    with pytest.raises(ConfigError) as caught:
        configure(environ={"OTEL_TRACES_EXPORTER": "zipkin"})

    assert caught.value.option == "OTEL_TRACES_EXPORTER"
    assert (capture(), trace._TRACER_PROVIDER) == (None, None)


@pytest.mark.parametrize("deadline", [0, -1.0, float("inf"), float("nan"), "2"])
def test_a_deadline_is_a_number_of_seconds(deadline: float) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(environ={}, deadline=deadline)

    assert str(caught.value) == f"deadline must be a number of seconds above 0, got: {deadline!r}"


# What it sets up


def test_the_application_s_own_spans_are_exported_as_well(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with trace.get_tracer("app").start_as_current_span("charge"):
        pass

    assert telemetry.force_flush()
    assert [(span.name, span.scope.name) for span in receiver.spans] == [("charge", "app")]


def test_configured_twice_it_is_the_same_telemetry(telemetry: Telemetry) -> None:
    assert configure(environ={}) is telemetry


def test_after_a_shutdown_it_can_be_configured_again(
    telemetry: Telemetry, trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry.shutdown()
    with (
        OtlpReceiver() as second,
        caplog.at_level(logging.INFO),
        configure(endpoint=second.endpoint, environ={}) as again,
    ):
        trip()
        assert again.force_flush()
        assert [span.name for span in second.spans] == ["transition open"]
    assert "OpenTelemetry keeps the first provider" in caplog.text


def test_a_given_provider_is_used_until_the_shutdown_and_never_shut_down(trip: Trip) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with configure(tracer_provider=provider) as telemetry:
        trip()
        assert not telemetry.exporting
        assert telemetry.force_flush()
    trip()
    with provider.get_tracer("app").start_as_current_span("still alive"):
        pass

    names = [span.name for span in exporter.get_finished_spans()]
    assert names == ["transition open", "still alive"]
    assert trace._TRACER_PROVIDER is None


def test_no_signal_is_set_up_whose_exporter_is_none(receiver: OtlpReceiver, trip: Trip) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "none"}
    with configure(endpoint=receiver.endpoint, environ=environ) as telemetry:
        assert capture() is None
        trip()
        assert telemetry.force_flush()

    assert receiver.spans == []
    assert "brama.circuit.transitions" in {metric.name for metric in receiver.metrics}


def test_the_console_exporter_writes_to_standard_output(new_python: NewPython) -> None:
    code = (
        "import brama.telemetry as t\n"
        "with t.configure():\n"
        "    t.transition(t.capture(), connection='a', scope=None, previous='closed', new='open',\n"
        "                 reason=None, time_ns=1)\n"
    )
    environ = {f"OTEL_{signal}_EXPORTER": "console" for signal in ("TRACES", "METRICS", "LOGS")}

    done = new_python(code, **environ)

    assert done.stderr == ""
    assert '"name": "transition open"' in done.stdout
    assert "brama.circuit.transitions" in done.stdout
    assert "brama.circuit.state.changed" in done.stdout


def test_headers_compression_and_resource_reach_the_collector(
    receiver: OtlpReceiver, trip: Trip
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=abc",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_SERVICE_NAME": "checkout",
    }
    with configure(environ=environ):
        trip()

    assert {request.path for request in receiver.requests} == {
        "/v1/traces",
        "/v1/metrics",
        "/v1/logs",
    }
    for request in receiver.requests:
        assert request.headers["api-key"] == "abc"
        assert request.headers["content-encoding"] == "gzip"
    (span,) = receiver.spans
    assert span.resource["service.name"] == "checkout"
    assert span.resource["deployment.environment.name"] == "test"


def test_the_sampler_of_the_environment_decides(receiver: OtlpReceiver, trip: Trip) -> None:
    environ = {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}
    with configure(endpoint=receiver.endpoint, environ=environ):
        trip()

    assert receiver.spans == []


def test_the_schedule_of_the_environment_sends_without_a_flush(
    receiver: OtlpReceiver, trip: Trip
) -> None:
    environ = {"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_METRIC_EXPORT_INTERVAL": "10"}
    with configure(endpoint=receiver.endpoint, environ=environ):
        trip()
        receiver.wait_for(lambda r: r.spans and r.metrics)


def test_what_waits_is_sent_at_the_end_of_the_with_block(
    receiver: OtlpReceiver, trip: Trip
) -> None:
    with configure(endpoint=receiver.endpoint, environ={}):
        trip()

    assert [span.name for span in receiver.spans] == ["transition open"]


def test_what_waits_is_sent_at_the_end_of_the_process(
    receiver: OtlpReceiver, new_python: NewPython
) -> None:
    code = (
        "import brama.telemetry as t, time\n"
        "t.configure()\n"
        "t.transition(t.capture(), connection='a', scope=None, previous='closed', new='open',\n"
        "             reason=None, time_ns=time.time_ns())\n"
    )
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}

    done = new_python(code, **environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in receiver.spans] == ["transition open"]
    assert "brama.circuit.transitions" in {metric.name for metric in receiver.metrics}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_worker_sends_what_it_made_and_nothing_twice(
    receiver: OtlpReceiver, new_python: NewPython
) -> None:
    code = (
        "import brama.telemetry as t, os, sys, time\n"
        "def trip(new):\n"
        "    t.transition(t.capture(), connection='a', scope=None, previous='closed', new=new,\n"
        "                 reason=None, time_ns=time.time_ns())\n"
        "t.configure()\n"
        "trip('open')\n"
        "worker = os.fork()\n"
        "if worker:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))\n"
        "trip('half_open')\n"
    )

    done = new_python(code, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(span.name for span in receiver.spans) == [
        "transition half_open",
        "transition open",
    ]


# gRPC


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[str] = []

    def Export(self, request, context):  # noqa: N802 - the name in the protocol
        self.spans += [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def grpc_collector() -> Iterator[tuple[str, _Collector]]:
    collector = _Collector()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", collector
    server.stop(None).wait()


def test_spans_go_by_grpc_when_the_protocol_says_so(
    grpc_collector: tuple[str, _Collector], trip: Trip
) -> None:
    endpoint, collector = grpc_collector
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRICS_EXPORTER": "none",
    }
    with configure(endpoint=endpoint, environ=environ):
        trip()

    assert collector.spans == ["transition open"]


def test_an_export_is_told_of_until_its_end(receiver: OtlpReceiver) -> None:
    assert not telemetry_health().exporting
    with configure(endpoint=receiver.endpoint, environ={}):
        seen = telemetry_health()
        assert (seen.exporting, seen.tracing, seen.failing_since) == (True, True, None)
    assert not telemetry_health().exporting


def test_when_one_exporter_cannot_be_made_nothing_is_set_up(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(threading.enumerate())
    bad = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_METRICS_EXPORTER": "prometheus,otlp",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://localhost:4317",
        "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/there/is/none",
    }
    with pytest.raises(ConfigError, match="CERTIFICATE"):
        configure(environ=bad, spans="calls")
    assert providers.global_tracer_provider() is None
    assert providers.global_meter_provider() is None
    assert providers.global_logger_provider() is None
    assert providers.current_meter_provider() is None
    assert flags.options().spans == "exceptional"
    assert receiver.requests == []
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
    with configure(endpoint=receiver.endpoint, environ={}) as telemetry:
        assert telemetry.exporting


def test_of_two_threads_that_configure_at_once_both_get_the_same_handle(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = export._install
    installs: list[int] = []
    second: list[Telemetry] = []

    def again() -> None:
        second.append(configure(endpoint=receiver.endpoint, environ={}))

    other = threading.Thread(target=again)

    def slowly(*arguments: Any) -> Telemetry:
        installs.append(threading.get_ident())
        if len(installs) == 1:
            other.start()
            other.join(0.2)  # it waits for us, so that this never succeeds
        return install(*arguments)

    monkeypatch.setattr(export, "_install", slowly)
    with configure(endpoint=receiver.endpoint, environ={}) as first:
        other.join()
        assert second == [first]
    assert len(installs) == 1


@pytest.mark.requirement("telemetry:configuration")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_PYTHON_CONTEXT", "garbage"),
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "process,garbage"),
        ("OTEL_PROPAGATORS", "tracecontext, garbage"),
    ],
)
def test_what_is_not_installed_is_named_where_the_sdk_would_go_on_without(
    new_python: Callable[..., subprocess.CompletedProcess[str]], variable: str, value: str
) -> None:
    code = (
        "import brama.telemetry as t\n"
        "try:\n    t.configure\nexcept t.ConfigError as error:\n    print(error)"
    )
    done = new_python(code, **{variable: value})
    assert done.stdout.startswith(f"{variable} must be one of")
    assert "garbage" in done.stdout
    assert done.stderr == ""


def test_detectors_that_are_installed_are_used(
    new_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    code = "import brama.telemetry as t; print(t.configure(environ={'OTEL_SDK_DISABLED': 'true'}))"
    for names in ("process", "*", "otel, os"):
        done = new_python(code, OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=names)
        assert done.stdout == "<Telemetry not exporting>\n", done.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint", 5),
        ("endpoint", b"http://localhost:4318"),
        ("service_name", 5),
        ("tracer_provider", 5),
        ("tracer_provider", TracerProvider),
        ("meter_provider", "global"),
        ("logger_provider", object()),
        ("environ", 5),
        ("environ", {"OTEL_SDK_DISABLED": True}),
        ("span_rate", -1),
        ("deadline", True),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(option: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(**{"environ": {}, option: value})  # type: ignore[arg-type]
    assert caught.value.option == option


def test_signatures_do_not_print_the_environment() -> None:
    for function in (configure, check_telemetry):
        assert inspect.signature(function).parameters["environ"].default is None


def test_a_deadline_may_be_a_timedelta(receiver: OtlpReceiver) -> None:
    two = timedelta(seconds=2)
    telemetry = configure(endpoint=receiver.endpoint, environ={}, deadline=two)
    assert telemetry.force_flush(two)
    assert telemetry.shutdown(two)


@pytest.mark.requirement("telemetry:configuration")
def test_one_line_tells_what_goes_where_and_by_which_protocol(
    receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint.replace("//", "//user:secret@"),
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
        "OTEL_METRICS_EXPORTER": "none",
    }
    with caplog.at_level(logging.INFO), configure(environ=environ):
        pass
    (line,) = (each.getMessage() for each in caplog.records if each.name == "brama.telemetry")
    assert line == (
        f"telemetry exports traces to {receiver.endpoint}/v1/traces by http/protobuf, "
        f"logs to {receiver.endpoint} by grpc"
    )


# Certificates


@pytest.mark.requirement("telemetry:configuration")
def test_the_certificate_of_the_collector_goes_before_those_that_requests_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "of-the-host.pem")
    url = "https://collector:4318/v1/traces"
    ours = answers.session(whole=False, certificate="of-the-collector.pem")
    other = answers.session(whole=False)
    assert ours.merge_environment_settings(url, {}, False, None, None)["verify"] == (
        "of-the-collector.pem"
    )
    assert other.merge_environment_settings(url, {}, False, None, None)["verify"] == (
        "of-the-host.pem"
    )


@pytest.mark.requirement("telemetry:configuration")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("file", ["missing.pem", "text.pem"])
@pytest.mark.parametrize("kind", ["CERTIFICATE", "CLIENT_CERTIFICATE"])
def test_a_certificate_that_cannot_be_read_is_refused_at_once(
    tmp_path: Path, protocol: str, file: str, kind: str
) -> None:
    (tmp_path / "text.pem").write_text("nothing in PEM format")
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://localhost:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        f"OTEL_EXPORTER_OTLP_{kind}": str(tmp_path / file),
    }
    with pytest.raises(ConfigError, match=f"_{kind}.* must be a file in PEM format"):
        configure(environ=environ)


@pytest.mark.requirement("telemetry:configuration")
@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        ("grpc", "CERTIFICATE"),  # gRPC takes no directory of authorities
        ("grpc", "CLIENT_CERTIFICATE"),
        ("grpc", "CLIENT_KEY"),
        ("http/protobuf", "CLIENT_CERTIFICATE"),
    ],
)
def test_a_directory_in_the_place_of_a_certificate_or_a_key_is_refused_at_once(
    tmp_path: Path, protocol: str, kind: str
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://localhost:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        f"OTEL_EXPORTER_OTLP_{kind}": str(tmp_path),
    }
    with pytest.raises(ConfigError, match=f"_{kind}.*Is a directory"):
        configure(environ=environ)
