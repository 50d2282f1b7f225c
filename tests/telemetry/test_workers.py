"""Forked workers with telemetry on, collectors in trouble, and the end of the process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from brama.telemetry import providers
from brama.telemetry.testing import Fault, OtlpReceiver

NewPython = Callable[..., Any]

PREFORK = """
import os, sys, time
import brama, brama.telemetry
from opentelemetry import trace

telemetry = brama.telemetry.configure()
parent = brama.circuit("parent", failure_threshold=1)
parent.call(int)

def fail():
    raise TimeoutError

def work(name):
    with brama.events(events=["circuit_opened"]) as events:
        circuit = brama.circuit(name, failure_threshold=1)
        with trace.get_tracer("shop").start_as_current_span("request"):
            for _ in range(3):
                try:
                    circuit.call(fail)
                except (TimeoutError, brama.CircuitOpenError):
                    pass
        events.get(timeout=5)

workers = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(f"worker-{number}")
            status = 0 if telemetry.force_flush(5.0) else 2
        finally:
            os._exit(status)
    workers.append(pid)
statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
assert telemetry.force_flush(5.0)
print(statuses)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_three_prefork_workers_report_what_they_did_and_the_parent_what_it_did(
    new_python: NewPython, protocol: str
) -> None:
    with OtlpReceiver(grpc=True) as receiver:
        grpc = protocol == "grpc"
        done = new_python(
            PREFORK,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_endpoint if grpc else receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            PYTHONWARNINGS="ignore",
            GRPC_VERBOSITY="NONE",
        )
        assert (done.returncode, done.stdout.strip()) == (0, "[0, 0, 0]"), done.stderr
        spans = receiver.spans
        calls: dict[tuple[str, str], float] = {}
        for series in receiver.metrics:
            if series.name == "brama.circuit.calls":
                key = (series.attributes["pool"], series.attributes["brama.circuit.call.outcome"])
                calls[key] = max(calls.get(key, 0), series.value)
    opened = [span for span in spans if span.name == "transition open"]
    assert sorted(span.attributes["brama.circuit.name"] for span in opened) == [
        "worker-0",
        "worker-1",
        "worker-2",
    ]
    assert len({span.span_id for span in spans}) == len(spans)  # none twice
    refused = [span for span in spans if span.name.startswith("call worker-")]
    assert len(refused) == 6
    assert {link.span_id for span in refused for link in span.links} == {
        span.span_id for span in opened
    }
    for number in range(3):
        assert calls[f"worker-{number}", "failure"] == 1
        assert calls[f"worker-{number}", "rejected"] == 2
    assert calls["parent", "success"] == 1


BUSY = """
import time
import brama, brama.telemetry

brama.telemetry.configure()
circuit = brama.circuit("search", failure_threshold=2, expiry=0.05)

def fail():
    raise TimeoutError

slowest = 0.0
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for function in (int, fail, fail, int):
        began = time.perf_counter()
        try:
            circuit.call(function)
        except (TimeoutError, brama.CircuitOpenError):
            pass
        slowest = max(slowest, time.perf_counter() - began)
    time.sleep(0.01)
print(circuit.status().opened_count > 3, slowest < 1.0, flush=True)
print(time.time())
"""


@pytest.mark.soak
@pytest.mark.requirement("telemetry:failure-behaviour")
@pytest.mark.parametrize("fault", ["refused", "silent", "unavailable"])
def test_a_service_does_not_notice_its_collector_s_trouble_and_ends_in_two_seconds(
    new_python: NewPython, fault: Fault
) -> None:
    with OtlpReceiver() as receiver, receiver.failing(fault):
        done = new_python(
            BUSY,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_METRIC_EXPORT_INTERVAL="200",
        )
        ended = time.time()
    said, at = done.stdout.split("\n")[:2]
    assert (done.returncode, said) == (0, "True True"), done.stderr
    assert ended - float(at) < 2.5  # two, and what starting to wait costs on a busy machine
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.requirement("telemetry:failure-behaviour")
def test_what_is_made_after_the_collector_came_back_arrives(
    receiver: OtlpReceiver, new_python: NewPython
) -> None:
    code = """
import sys, time
import brama.telemetry as t
telemetry = t.configure(deadline=0.5)
def trip(name):
    t.transition(t.capture(), connection=name, scope=None, previous="closed", new="open",
                 reason=None, time_ns=time.time_ns())
trip("during")
print("tripped", telemetry.force_flush(0.5), flush=True)
"""
    with receiver.failing("unavailable"):
        done = new_python(code, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert done.stdout == "tripped False\n"
    done = new_python(code, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert done.stdout == "tripped True\n"
    assert "during" in {span.attributes.get("brama.circuit.name") for span in receiver.spans}
    assert [log.event_name for log in receiver.logs] == ["brama.circuit.state.changed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_that_is_forked_while_providers_are_chosen_can_choose_its_own() -> None:
    providers._lock.acquire()  # as another thread might hold it at the moment of the fork
    try:
        child = os.fork()
        if child == 0:
            chosen = threading.Thread(target=providers.choose, args=(None, None), daemon=True)
            chosen.start()
            chosen.join(5)
            os._exit(1 if chosen.is_alive() else 0)
    finally:
        providers._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
