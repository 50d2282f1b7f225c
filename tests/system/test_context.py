"""What the events of a failing real connection tell of it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import urlopen

import pytest
import requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once

import brama
from brama import ConfigError, State
from brama.circuits.adapters.requests import CircuitAdapter
from brama.notifier import Event, inline
from brama.telemetry.metric_names import TRUNCATED
from brama.telemetry.metrics import reading

requirement = pytest.mark.requirement

PLACE = {"device": "pump-7", "gateway": "hall 3", "region": "eu-north"}


@contextmanager
def listening(*, reset: bool) -> Iterator[int]:
    """A server that says nothing to whoever connects, or hangs up rudely."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            try:
                while True:
                    accepted, _ = server.accept()
                    held.append(accepted)
                    if reset:
                        accepted.recv(1)
                        accepted.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        accepted.close()
            except OSError:
                return  # it is closed

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()


@contextmanager
def nobody() -> Iterator[int]:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def talk(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as made:
        made.sendall(b"?")
        made.settimeout(0.05)
        return made.recv(1)


@contextmanager
def out_of_order(status: int = 503) -> Iterator[str]:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def tracing(monkeypatch):
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def placed() -> Iterator[brama.System]:
    system = brama.System(brama.Settings(metadata=PLACE, cleanup_interval=3600.0))
    yield system
    system.stop()


def told(system: brama.System, *events: str) -> list[Event]:
    heard: list[Event] = []
    system.subscribe(inline(heard.append), events=events)
    return heard


SOCKETS = {
    "refused": (nobody, "ConnectionRefusedError", "ECONNREFUSED"),
    "reset": (lambda: listening(reset=True), "ConnectionResetError", "ECONNRESET"),
    "timed out": (lambda: listening(reset=False), "TimeoutError", "ETIMEDOUT"),
}


@requirement("EV-07", "EV-11")
@pytest.mark.parametrize("how", SOCKETS)
def test_the_events_of_a_real_connection_that_fails_carry_their_context(
    placed, tracing, how, check_event
):
    upstream, error_type, error_code = SOCKETS[how]
    heard = told(placed, "failure", "state_change", "circuit_opened")
    circuit = placed.circuit(
        "upstream",
        scope="shop",
        kind="session",
        failure_threshold=2,
        metadata={"session": "s-81", "region": "eu-south"},
    )
    began = datetime.now(UTC)
    with upstream() as port:
        for _ in range(2):
            with pytest.raises(OSError), trace.get_tracer("app").start_as_current_span("request"):
                circuit.call(talk, port)
    placed.stop()
    assert [event.event for event in heard] == ["failure", "state_change", "circuit_opened"]
    assert len({event.event_id for event in heard}) == 3
    for event in heard:
        assert (event.connection, event.scope, event.kind) == ("upstream", "shop", "session")
        assert event.trace is not None
        assert event.data["metadata"] == {**PLACE, "session": "s-81", "region": "eu-south"}
        assert began <= event.timestamp <= began + timedelta(minutes=1)
        assert event.data["error_type"] == error_type
        assert event.data["error_code"] == error_code
        assert event.data["attempts"] == 0
        assert event.data["reason"].startswith(error_type)
        check_event(event.to_dict())
        assert Event.from_json(event.to_json()).data == event.data


@requirement("EV-11")
def test_an_answer_that_is_a_failure_carries_its_status(placed):
    heard = told(placed, "circuit_opened")
    with out_of_order() as url, requests.Session() as session:
        session.mount("http://", CircuitAdapter(circuits=placed, failure_threshold=1))
        session.get(url)
        with pytest.raises(OSError):
            placed.circuit("plain", failure_threshold=1).call(urlopen, url)
        raising = placed.circuit("raising", failure_threshold=1)
        with requests.Session() as plain, pytest.raises(requests.HTTPError), raising.guard():
            plain.get(url).raise_for_status()
        judged = placed.circuit(
            "judged", failure_threshold=1, record_result=lambda answer: answer.status_code >= 500
        )
        with requests.Session() as plain:
            judged.call(plain.get, url)
    placed.stop()
    assert [event.data["error_code"] for event in heard] == [503] * 4
    assert [event.data["error_type"] for event in heard] == [
        None,
        "urllib.error.HTTPError",
        "requests.exceptions.HTTPError",
        None,
    ]


@requirement("EV-11")
def test_every_reconnect_that_is_tried_is_counted_until_one_succeeds():
    heard: list[Event] = []
    now = [1000.0]
    settings = brama.Settings(clock=lambda: now[0], failure_threshold=1, expiry=10.0)
    with brama.System(settings) as system, nobody() as port:
        system.subscribe(inline(heard.append), events=["state_change"])
        circuit = system.circuit("upstream")
        for _ in range(4):
            with pytest.raises(ConnectionRefusedError):
                circuit.call(talk, port)
            now[0] += 10.0
        circuit.call(lambda: None)
        with pytest.raises(ConnectionRefusedError):
            circuit.call(talk, port)
    assert [(event.data["new_state"], event.data["attempts"]) for event in heard] == [
        ("open", 0),
        ("half_open", 0),
        ("open", 1),
        ("half_open", 1),
        ("open", 2),
        ("half_open", 2),
        ("open", 3),
        ("half_open", 3),
        ("closed", 4),
        ("open", 0),
    ]
    codes = {event.data["error_code"] for event in heard if event.data["new_state"] == "open"}
    assert codes == {"ECONNREFUSED"}
    assert {event.data["error_code"] for event in heard if event.data["new_state"] != "open"} == {
        None
    }


@requirement("EV-11")
def test_what_a_report_names_is_in_its_events(placed):
    heard = told(placed, "failure", "circuit_opened", "disconnected")
    circuit = placed.circuit("bus", failure_threshold=4)
    circuit.failure("no answer", error_type="Modbus", error_code=11)
    placed.failure("bus", reason="no answer", error_code="E-BUS")
    with circuit.guard() as permit:
        permit.failure("no answer", error_code=11)
    circuit.failure(ConnectionResetError("by peer"))
    link = circuit.link()
    link.open()
    link.close("pulled", error_code="EPIPE")
    placed.stop()
    assert [(e.event, e.data["error_type"], e.data["error_code"]) for e in heard] == [
        ("failure", "Modbus", 11),
        ("failure", None, "E-BUS"),
        ("failure", None, 11),
        ("circuit_opened", "ConnectionResetError", "ECONNRESET"),
        ("disconnected", None, "EPIPE"),
    ]


@requirement("EV-11")
def test_a_link_that_cannot_be_made_or_breaks_names_its_error(placed):
    heard = told(placed, "circuit_opened", "disconnected")
    circuit = placed.circuit("upstream", failure_threshold=1)
    with pytest.raises(ConnectionResetError), circuit.link():
        raise ConnectionResetError("by peer")

    class Unreachable:
        def __enter__(self):
            raise OSError(113, "No route to host")

        def __exit__(self, *_exc):
            raise AssertionError

    with pytest.raises(OSError), circuit.link(Unreachable()):
        pass
    placed.stop()
    assert [(event.event, event.data["error_code"]) for event in heard] == [
        ("disconnected", "ECONNRESET"),
        ("circuit_opened", "EHOSTUNREACH"),
    ]


@requirement("EV-11")
def test_an_opening_that_waits_for_the_users_expiry_function_has_its_whole_context(placed):
    heard = told(placed, "circuit_opened")
    circuit = placed.circuit("upstream", failure_threshold=1, expiry=lambda _n, _outcome: 3.0)
    with nobody() as port, pytest.raises(ConnectionRefusedError):
        circuit.call(talk, port)
    placed.stop()
    (event,) = heard
    assert event.data["metadata"] == PLACE
    assert (event.data["error_code"], event.data["retry_after"]) == ("ECONNREFUSED", 3.0)


@requirement("EV-07")
def test_the_place_of_a_process_is_in_all_that_it_tells(placed, check_event):
    heard: list[Event] = []
    placed.start()
    circuit = placed.circuit("search")
    assert circuit.status().metadata == PLACE
    placed.subscribe(inline(heard.append), snapshot=True)
    circuit.open_circuit()
    placed._alarm({"subject": "test", "status": "failing", "reason": "", "since": 0.0})
    placed.stop()
    assert {"snapshot", "circuit_opened", "alarm"} <= {event.event for event in heard}
    for event in heard:
        assert event.data["metadata"] == PLACE, event.event
        check_event(event.to_dict())


def test_circuits_without_metadata_share_that_of_the_process(placed):
    one, two = placed.circuit("one"), placed.circuit("two")
    assert one._breaker.metadata is two._breaker.metadata
    assert placed.circuit("three", metadata={"team": "red"}) is placed.circuit(
        "three", metadata={"team": "red"}
    )
    with pytest.raises(TypeError):
        one.status().metadata["device"] = "other"  # type: ignore[index]


@requirement("EV-11")
def test_metadata_beyond_20_kb_is_cut_marked_and_counted_and_the_place_stays(placed, check_event):
    heard = told(placed, "circuit_opened")
    large = {"session": "s-81", "notes": "x" * 30_000, "rows": list(range(9000))}
    placed.circuit("search", metadata=large).open_circuit("deploy")
    placed.stop()
    (event,) = heard
    before = reading(TRUNCATED)[()]
    written = event.to_dict()
    assert reading(TRUNCATED)[()] == before + 1
    data = written["data"]
    assert data["truncated"] is True
    assert len(json.dumps(data).encode()) <= 20_000
    assert {**PLACE, "session": "s-81"}.items() <= data["metadata"].items()
    assert data["metadata"]["notes"].endswith("…")
    assert (data["reason"], data["new_state"]) == ("deploy", State.OPEN)
    check_event(written)


@requirement("EV-07")
def test_the_place_may_stand_in_the_environment():
    settings = brama.Settings.from_environment(
        {"BRAMA_METADATA": "device=pump-7, gateway=hall 3,region=eu-north"}
    )
    assert settings.metadata == PLACE
    with pytest.raises(ConfigError, match="BRAMA_METADATA must be pairs such as"):
        brama.Settings.from_environment({"BRAMA_METADATA": "pump-7"})
    with pytest.raises(ConfigError, match="metadata"):
        brama.Settings(metadata=["device"])  # type: ignore[arg-type]


def test_an_older_event_without_a_code_is_valid_and_is_read(placed, check_event):
    heard = told(placed, "circuit_opened")
    placed.circuit("search").open_circuit()
    placed.stop()
    fields = heard[0].to_dict()
    for key in ("error_type", "error_code", "attempts"):
        del fields["data"][key]
    check_event(fields)
    assert Event.from_dict(fields).data["new_state"] is State.OPEN
