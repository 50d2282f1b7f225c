"""The receiver of the tests is itself a real one."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from brama.telemetry import ConfigError, Telemetry
from brama.telemetry.testing import OtlpReceiver, Scope, Span, render_tree

Trip = Callable[..., object]


def post(url: str, body: bytes = b"", kind: str = "application/x-protobuf") -> int:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def span(name: str, span_id: str, parent_id: str | None, start: int, **changes: object) -> Span:
    fields = {
        "name": name,
        "kind": "INTERNAL",
        "trace_id": "t",
        "span_id": span_id,
        "parent_id": parent_id,
        "start": start,
        "end": start + 1_500_000,
        "status": "UNSET",
        "status_message": "",
        "attributes": {},
        "events": (),
        "links": (),
        "scope": Scope("s", "1", ""),
        "resource": {},
    }
    return Span(**(fields | changes))


def test_it_answers_as_a_collector_does(receiver: OtlpReceiver) -> None:
    traces = f"{receiver.endpoint}/v1/traces"

    assert post(traces) == 200
    assert post(traces, b"{}", kind="application/json") == 415
    assert post(traces, b"not protobuf") == 400
    assert post(f"{receiver.endpoint}/v1/unknown") == 404


def test_an_export_may_be_larger_than_a_mebibyte(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip(reason="x" * (2 << 20))

    assert telemetry.force_flush()
    assert len(receiver.spans[0].attributes["brama.circuit.reason"]) == 2 << 20


def test_in_trouble_it_answers_503_and_afterwards_again(receiver: OtlpReceiver) -> None:
    with receiver.failing("unavailable"):
        assert post(f"{receiver.endpoint}/v1/traces") == 503

    assert post(f"{receiver.endpoint}/v1/traces") == 200


def test_refusing_it_does_not_listen_and_afterwards_does_on_the_same_port(
    receiver: OtlpReceiver,
) -> None:
    endpoint = receiver.endpoint
    with receiver.failing("refused"), pytest.raises(urllib.error.URLError) as caught:
        post(f"{endpoint}/v1/traces")

    assert isinstance(caught.value.reason, ConnectionRefusedError)
    assert receiver.endpoint == endpoint
    assert post(f"{endpoint}/v1/traces") == 200


def test_an_unknown_fault_is_refused_by_name(receiver: OtlpReceiver) -> None:
    with pytest.raises(ConfigError) as caught, receiver.failing("refuse"):
        pass

    assert "Did you mean 'refused'?" in str(caught.value)


def test_waiting_in_vain_tells_what_did_arrive(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()
    telemetry.force_flush()

    with pytest.raises(TimeoutError) as caught:
        receiver.wait_for(lambda r: len(r.spans) > 1, timeout=0.01)

    assert "['transition open']" in str(caught.value)


def test_waiting_may_flush_what_it_waits_for(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()

    assert receiver.wait_for(lambda r: telemetry.force_flush() and r.spans)


def test_traces_are_grouped_and_in_the_order_of_time(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip(time_ns=2_000, new="half_open")
    trip(time_ns=1_000, new="open")
    telemetry.force_flush()

    names = [[span.name for span in spans] for spans in receiver.traces().values()]
    assert names == [["transition open"], ["transition half_open"]]


def test_leaving_it_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with OtlpReceiver() as receiver:
        assert post(f"{receiver.endpoint}/v1/traces") == 200

    assert threading.active_count() == before


def test_a_trace_is_drawn_as_a_tree() -> None:
    spans = [
        span("process b", "5", "3", 40, status="ERROR", attributes={"error.type": "KeyError"}),
        span("call", "1", "elsewhere", 0, status="ERROR"),
        span("process a", "4", "3", 30, kind="CONSUMER"),
        span("publish", "3", "2", 20, kind="PRODUCER"),
        span("after", "6", "1", 50),
        span("transition open", "2", "1", 10),
    ]

    assert render_tree(spans) == (
        "call  INTERNAL  ERROR  1.5 ms\n"
        "├─ transition open  INTERNAL  1.5 ms\n"
        "│  └─ publish  PRODUCER  1.5 ms\n"
        "│     ├─ process a  CONSUMER  1.5 ms\n"
        "│     └─ process b  INTERNAL  ERROR KeyError  1.5 ms\n"
        "└─ after  INTERNAL  1.5 ms"
    )
