"""`brama check-telemetry`: what it sends, and what it says happened to that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from brama.telemetry import ConfigError, check_telemetry, names
from brama.telemetry.testing import OtlpReceiver

pytestmark = pytest.mark.requirement("telemetry:configuration")


def test_one_span_one_metric_and_one_log_event_arrive_and_are_said_to() -> None:
    with OtlpReceiver(grpc=True) as receiver:
        for endpoint, protocol in (
            (receiver.endpoint, "http/protobuf"),
            (receiver.grpc_endpoint, "grpc"),
        ):
            receiver.clear()
            report = check_telemetry(
                endpoint=endpoint, environ={"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
            )
            assert report.ok
            assert [finding.outcome for finding in report.findings] == ["accepted"] * 3
            (span,) = receiver.spans
            assert span.name == names.CHECK_SPAN
            assert span.trace_id in report.findings[0].what
            assert [metric.name for metric in receiver.metrics] == [names.CHECK]
            assert [log.event_name for log in receiver.logs] == [names.CHECK]
            assert all(protocol in finding.where for finding in report.findings)


def test_a_collector_that_is_not_there_is_said_to_refuse(receiver: OtlpReceiver) -> None:
    with receiver.failing("refused"):
        report = check_telemetry(endpoint=receiver.endpoint, timeout=0.2, environ={})
    assert not report.ok
    assert [finding.outcome for finding in report.findings] == ["failed"] * 3
    assert all("refused" in finding.detail for finding in report.findings)


def test_a_collector_that_does_not_answer_is_waited_for_no_longer_than_asked(
    receiver: OtlpReceiver,
) -> None:
    with receiver.failing("silent"):
        report = check_telemetry(
            endpoint=receiver.endpoint, timeout=0.3, environ={"OTEL_METRICS_EXPORTER": "none"}
        )
    assert [finding.outcome for finding in report.findings] == ["failed", "not sent", "failed"]
    assert "not done in 0.3 s" in report.findings[0].detail


REJECTED = ExportTraceServiceResponse(
    partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="too old")
).SerializeToString()
PROTOBUF = "application/x-protobuf"


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Generator[str]:
    """A server that is no collector; its address."""

    class Stranger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [
        (302, b"", {"Location": "http://127.0.0.1:1/login"}, "a redirection (302) to http://127"),
        (200, b"<html>", {"Content_Type": "text/html; charset=utf-8"}, "a page of HTML"),
        (200, REJECTED, {"Content_Type": PROTOBUF}, "1 rejected: too old"),
        (200, b"\xff\xff", {"Content_Type": PROTOBUF}, "an answer that is none of a collector"),
        (404, b"", {}, "404"),
    ],
    ids=["redirection", "page", "rejected", "garbage", "not found"],
)
def test_whoever_is_no_collector_or_takes_nothing_is_not_said_to_accept(
    status: int, body: bytes, headers: dict[str, str], says: str
) -> None:
    with answering(status, body, **headers) as endpoint:
        report = check_telemetry(endpoint=endpoint, environ={})
    assert [finding.outcome for finding in report.findings] == ["failed"] * 3
    assert all(says in finding.detail for finding in report.findings)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_success_without_a_word_is_one(status: int) -> None:
    with answering(status, b"", Content_Type="text/plain") as endpoint:
        assert check_telemetry(endpoint=endpoint, environ={}).ok


def test_what_is_not_sent_on_purpose_is_no_failure() -> None:
    report = check_telemetry(environ={"OTEL_SDK_DISABLED": "true"})
    assert report.ok
    assert {finding.outcome for finding in report.findings} == {"not sent"}
    assert {finding.detail for finding in report.findings} == {"OTEL_SDK_DISABLED is true"}


def test_a_wrong_variable_is_refused_before_anything_is_sent(receiver: OtlpReceiver) -> None:
    with pytest.raises(ConfigError):
        check_telemetry(endpoint=receiver.endpoint, environ={"OTEL_TRACES_SAMPLER": "never"})
    assert receiver.requests == []


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: text for name, text in os.environ.items() if "OTEL_" not in name}
    return subprocess.run(
        [sys.executable, "-m", "brama.cli", "check-telemetry", *arguments],
        capture_output=True,
        text=True,
        env=inherited | variables,
    )


def test_the_command_s_exit_status_tells_what_happened(receiver: OtlpReceiver) -> None:
    sent = command("--endpoint", receiver.endpoint, "--json")
    assert (sent.returncode, sent.stderr) == (0, "")
    assert json.loads(sent.stdout)["ok"] is True
    assert len(receiver.spans) == 1

    wrong = command(OTEL_TRACES_EXPORTER="smoke")
    assert wrong.returncode == 2
    assert "OTEL_TRACES_EXPORTER" in wrong.stderr

    with receiver.failing("unavailable"):
        lost = command("--endpoint", receiver.endpoint, "--timeout", "0.3")
    assert lost.returncode == 1
    assert lost.stdout.count("FAILED") == 3
