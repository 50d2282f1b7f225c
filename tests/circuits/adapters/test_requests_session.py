"""What only requests has: mounted adapters, pickled responses, raw bodies."""

from __future__ import annotations

import pickle

import pytest
import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from brama.circuits.adapters.requests import CircuitAdapter

pytestmark = pytest.mark.requirement("BR-32")


def settled(circuit):
    status = circuit.status()
    assert status.in_flight == 0
    return status.successes, status.failures, status.ignored


@pytest.fixture
def circuit(catalogue):
    return catalogue.circuit("all")


@pytest.fixture
def session(circuit):
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", CircuitAdapter(circuit=circuit))
        yield session


def test_a_response_is_what_it_was_and_pickles(session, server, circuit):
    response = session.get(server.url("/ok"))
    assert type(response) is requests.Response
    assert not any("brama" in name for name in vars(response))
    assert pickle.loads(pickle.dumps(response)).content == response.content
    assert settled(circuit) == (1, 0, 0)


def test_a_response_that_streams_is_still_a_response(session, server):
    with session.get(server.url("/ok"), stream=True) as response:
        assert isinstance(response, requests.Response)
        assert type(response).__name__ == "Response"
        assert len(list(response.iter_lines())) == 1
        assert type(response) is requests.Response


def test_a_body_that_is_read_raw_is_a_success_when_it_is_closed(session, server, circuit):
    with session.get(server.url("/ok"), stream=True) as response:
        assert len(response.raw.read()) == 1000
    assert settled(circuit) == (1, 0, 0)


def test_a_body_may_be_read_and_closed_in_any_order(session, server, circuit):
    response = session.get(server.url("/ok"), stream=True)
    chunks = response.iter_content(100)
    next(chunks)
    response.close()
    response.close()
    list(chunks)
    assert settled(circuit) == (1, 0, 0)


def test_the_retries_of_the_wrapped_adapter_are_one_call(server, circuit):
    with requests.Session() as session:
        session.trust_env = False
        retrying = HTTPAdapter(max_retries=2)
        session.mount("http://", CircuitAdapter(retrying, circuit=circuit))
        with pytest.raises(requests.ConnectionError):
            session.get(server.url("/drop"))
    assert server.asked == ["/drop"] * 3
    assert settled(circuit) == (0, 1, 0)


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidHeader,
        requests.exceptions.UnrewindableBodyError,
        LookupError,
    ],
)
def test_what_is_our_own_fault_is_neutral(circuit, error):
    class Inner(BaseAdapter):
        def send(self, *_args, **_options):
            raise error

        def close(self):
            pass

    with requests.Session() as session:
        session.mount("http://", CircuitAdapter(Inner(), circuit=circuit))
        with pytest.raises(error):
            session.get("http://mock/")
    assert settled(circuit) == (0, 0, 1)


def test_the_refusal_names_its_request(session, server, circuit):
    circuit.open_circuit()
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(server.url("/ok"))
    assert caught.value.request.url == server.url("/ok")
    assert caught.value.response is None
