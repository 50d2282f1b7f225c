"""What only httpx has: mock transports, wrapped transports, pools of its own."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from brama.circuits.adapters.httpx import AsyncCircuitTransport, CircuitTransport

pytestmark = pytest.mark.requirement("BR-32")


def settled(circuit):
    status = circuit.status()
    assert status.in_flight == 0
    return status.successes, status.failures, status.ignored


@pytest.fixture
def circuit(catalogue):
    return catalogue.circuit("mock")


def raising(error):
    def answer(request):
        raise error

    return httpx.MockTransport(answer)


def test_a_response_made_from_bytes_is_a_success_at_once(circuit):
    mock = httpx.MockTransport(lambda request: httpx.Response(200, text="hello"))
    with httpx.Client(transport=CircuitTransport(mock, circuit=circuit)) as client:
        assert client.get("http://mock/").text == "hello"
        with client.stream("GET", "http://mock/") as response:
            assert list(response.iter_text()) == ["hello"]
    assert settled(circuit) == (2, 0, 0)


def test_a_web_socket_is_a_success_when_it_is_open(circuit):
    class Wire(httpx.SyncByteStream):
        def __iter__(self):
            yield b"frame"

    mock = httpx.MockTransport(lambda request: httpx.Response(101, stream=Wire()))
    client = httpx.Client(transport=CircuitTransport(mock, circuit=circuit))
    with client, client.stream("GET", "http://mock/"):
        assert settled(circuit) == (1, 0, 0)


def test_so_it_is_on_asyncio(circuit):
    mock = httpx.MockTransport(lambda request: httpx.Response(200, text="hello"))

    async def main():
        transport = AsyncCircuitTransport(mock, circuit=circuit)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get("http://mock/")).text == "hello"

    asyncio.run(main())
    assert settled(circuit) == (1, 0, 0)


@pytest.mark.parametrize(
    "error", [httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.PoolTimeout, TypeError]
)
def test_what_is_our_own_fault_is_neutral(circuit, error):
    transport = CircuitTransport(raising(error("ours")), circuit=circuit)
    with httpx.Client(transport=transport) as client, pytest.raises(error):
        client.get("http://mock/")
    assert settled(circuit) == (0, 0, 1)


@pytest.mark.parametrize(
    "error", [httpx.ConnectTimeout, httpx.ReadError, httpx.ProxyError, httpx.RemoteProtocolError]
)
def test_what_is_not_counts(circuit, error):
    transport = CircuitTransport(raising(error("theirs")), circuit=circuit)
    with httpx.Client(transport=transport) as client, pytest.raises(error):
        client.get("http://mock/")
    assert settled(circuit) == (0, 1, 0)


def test_the_policy_of_the_circuit_has_the_last_word(catalogue):
    circuit = catalogue.circuit("mild", ignore=httpx.ReadTimeout)
    transport = CircuitTransport(raising(httpx.ReadTimeout("slow")), circuit=circuit)
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ReadTimeout):
        client.get("http://mock/")
    assert settled(circuit) == (0, 0, 1)


def test_the_refusal_of_an_inner_transport_is_neutral(catalogue, circuit):
    inner = catalogue.circuit("inner")
    inner.open_circuit()
    mock = httpx.MockTransport(lambda request: httpx.Response(200))
    transport = CircuitTransport(CircuitTransport(mock, circuit=inner), circuit=circuit)
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.TransportError):
        client.get("http://mock/")
    assert settled(circuit) == (0, 0, 1)


def test_the_refusal_names_its_request(circuit):
    circuit.open_circuit()
    mock = httpx.MockTransport(lambda request: httpx.Response(200))
    client = httpx.Client(transport=CircuitTransport(mock, circuit=circuit))
    with client, pytest.raises(httpx.TransportError) as caught:
        client.get("http://mock/path")
    assert caught.value.request.url == "http://mock/path"


def test_opening_and_closing_reach_the_wrapped_transport(circuit):
    seen = []

    class Inner(httpx.BaseTransport):
        def __enter__(self):
            seen.append("enter")
            return self

        def __exit__(self, *_):
            seen.append("exit")

        def close(self):
            seen.append("close")

    transport = CircuitTransport(Inner(), circuit=circuit)
    with httpx.Client(transport=transport):
        pass
    httpx.Client(transport=transport).close()
    assert seen == ["enter", "exit", "close"]


def test_a_body_that_breaks_after_it_was_closed_changes_nothing(circuit):
    class Body(httpx.SyncByteStream):
        def __iter__(self):
            yield b"1"
            raise httpx.ReadError("reset")

    mock = httpx.MockTransport(lambda request: httpx.Response(200, stream=Body()))
    with httpx.Client(transport=CircuitTransport(mock, circuit=circuit)) as client:
        with client.stream("GET", "http://mock/") as response:
            items = response.iter_raw()
            assert next(items) == b"1"
        with pytest.raises(httpx.ReadError):
            next(items)
    assert settled(circuit) == (1, 0, 0)
