"""What all adapters promise, tried with every client against a real server."""

from __future__ import annotations

import asyncio
import gc
import pickle
import socket
import threading
from email.utils import formatdate

import pytest
import trio

import brama
from brama.circuits import CircuitOpenError, Policy, State
from brama.telemetry import ConfigError

from .clients import Aiohttp, AsyncHttpx, Httpx, Requests, TrioHttpx

pytestmark = pytest.mark.requirement("BR-32")


def settled(circuit):
    gc.collect()
    status = circuit.status()
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)
    return status.successes, status.failures, status.ignored


SUCCESS, FAILURE, NEUTRAL = (1, 0, 0), (0, 1, 0), (0, 0, 1)


@pytest.fixture
def circuit(catalogue, server):
    """The circuit of the server's host, once there is one."""
    return lambda: catalogue.get(server.host)


# What an answer means


@pytest.mark.parametrize("path", ["/ok", "/empty", "/status/200", "/status/301", "/status/404"])
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_an_answer_below_500_is_a_success(client, server, world, catalogue, path, half_open):
    circuit = catalogue.circuit(server.host)
    if half_open:
        circuit.open_circuit()
        world.clock.advance(60)
    client().fetch(server.url(path))
    assert settled(circuit) == SUCCESS
    assert circuit.state is State.CLOSED


def test_a_head_without_a_body_is_a_success(client, server, circuit):
    assert client().fetch(server.url("/status/200"), method="HEAD") == 200
    assert settled(circuit()) == SUCCESS


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_a_host_that_is_broken_or_overloaded_fails_and_the_answer_passes(
    client, server, circuit, status
):
    assert client().fetch(server.url(f"/status/{status}")) == status
    assert settled(circuit()) == FAILURE


def test_the_reason_names_the_status(client, server, circuit):
    client(failure_threshold=1).fetch(server.url("/status/503"))
    assert circuit().status().reason == "HTTP 503 Word"


@pytest.mark.parametrize("statuses", [[404], range(400, 500), lambda status: status == 404])
def test_which_statuses_fail_may_be_said(client, server, circuit, statuses):
    guarded = client(failure_status=statuses)
    guarded.fetch(server.url("/status/404"))
    client(failure_status=statuses).fetch(server.url("/status/503"))
    assert settled(circuit()) == (1, 1, 0)


def status_of(response):
    return response.status if hasattr(response, "status") else response.status_code


def test_the_policy_s_own_functions_see_the_response_and_come_before_its_status(
    client, server, circuit
):
    def classify(outcome):
        return {404: ("failure", "gone"), 503: "success", 500: "ignore"}.get(
            status_of(outcome.result)
        )

    options = {"classify": classify, "record_result": lambda response: status_of(response) == 301}
    for status in (404, 503, 500, 502, 301, 200):
        client(**options, failure_threshold=9).fetch(server.url(f"/status/{status}"))
    assert settled(circuit()) == (2, 3, 1)
    assert circuit().status().failure_count == 0


def test_enough_failures_open_the_circuit_and_the_next_request_is_not_sent(client, server, circuit):
    for _ in range(2):
        client(failure_threshold=2).fetch(server.url("/status/503"))
    assert circuit().state is State.OPEN
    refused = client(failure_threshold=2)
    with pytest.raises(refused.refusal):
        refused.fetch(server.url("/ok"))
    assert server.asked == ["/status/503"] * 2


def test_a_probe_closes_the_circuit(client, server, circuit, world):
    client(failure_threshold=1).fetch(server.url("/status/503"))
    world.clock.advance(60)
    client(failure_threshold=1).fetch(server.url("/ok"))
    assert circuit().state is State.CLOSED


# Connections


def refusing_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_connection_that_is_refused_is_a_failure(client, catalogue):
    port = refusing_port()
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.fetch(f"http://127.0.0.1:{port}/")
    assert settled(catalogue.get(f"127.0.0.1:{port}")) == FAILURE


@pytest.mark.parametrize("path", ["/drop", "/nonsense"])
def test_a_connection_that_breaks_before_the_answer_is_a_failure(client, server, circuit, path):
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.fetch(server.url(path))
    # aiohttp asks a second time when it is hung up on, and each attempt is seen.
    attempts = len(server.asked)
    assert settled(circuit()) == (0, attempts, 0)


def test_a_host_that_never_answers_is_a_failure_when_the_time_is_over(client, server, circuit):
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.fetch(server.url("/hang"), timeout=0.1)
    assert settled(circuit()) == FAILURE


@pytest.mark.parametrize("path", ["/cut", "/cut-chunks"])
@pytest.mark.parametrize("half_open", [False, True], ids=["closed", "half_open"])
def test_a_body_that_breaks_off_is_a_failure(client, server, catalogue, world, path, half_open):
    circuit = catalogue.circuit(server.host)
    if half_open:
        circuit.open_circuit()
        world.clock.advance(60)
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.fetch(server.url(path))
    assert settled(circuit) == FAILURE


def test_a_body_that_breaks_off_while_it_is_streamed_is_a_failure(client, server, circuit):
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.read_slowly(server.url("/cut"), 20)
    assert settled(circuit()) == FAILURE


def test_a_body_that_stops_coming_is_a_failure_when_the_time_is_over(client, server, circuit):
    guarded = client()
    with pytest.raises(guarded.errors):
        guarded.read_slowly(server.url("/drip"), 0.1)
    assert settled(circuit()) == FAILURE


# Readers

# httpx leaves generators of its own to the collector, which trio remarks on.
left_by_httpx = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@left_by_httpx
def test_the_call_is_under_way_until_the_body_is_read(client, server, circuit):
    seen = []
    client().peek(server.url("/drip"), lambda: seen.append(circuit().status().in_flight))
    assert seen == [1]


@left_by_httpx
def test_a_body_that_is_closed_early_is_a_success(client, server, circuit):
    client().peek(server.url("/drip"))
    assert settled(circuit()) == SUCCESS


@left_by_httpx
def test_an_exception_of_the_reader_says_nothing_against_the_host(client, server, circuit):
    def stumble():
        raise LookupError

    with pytest.raises(LookupError):
        client().peek(server.url("/drip"), stumble)
    assert settled(circuit())[1] == 0


@pytest.mark.parametrize("kind", [Aiohttp, AsyncHttpx])
@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_reader_that_is_cancelled_is_neutral(client, server, catalogue, world, path):
    circuit = catalogue.circuit(server.host)
    circuit.open_circuit()
    world.clock.advance(60)

    async def main():
        reading = asyncio.Event()
        guarded = client()
        task = asyncio.ensure_future(guarded.read(server.url(path), reading.set))
        if path == "/drip":
            await reading.wait()
        while not server.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert settled(circuit) == NEUTRAL
    assert circuit.available()


@pytest.mark.parametrize("kind", [TrioHttpx])
@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_reader_whose_trio_scope_is_cancelled_is_neutral(client, server, circuit, path):
    async def main():
        with trio.move_on_after(0.1) as scope:
            await client().read(server.url(path), lambda: None)
        assert scope.cancelled_caught

    trio.run(main)
    assert settled(circuit()) == NEUTRAL


# The herd


def herd(results):
    refused = [result for result in results if isinstance(result, CircuitOpenError)]
    assert len(refused) == len(results) - 1


@pytest.mark.parametrize("kind", [Aiohttp, AsyncHttpx])
def test_of_ten_tasks_at_a_half_open_host_one_is_sent(client, server, catalogue, world):
    circuit = catalogue.circuit(server.host)
    circuit.open_circuit()
    world.clock.advance(60)

    async def main():
        calls = [client().read(server.url("/ok"), lambda: None) for _ in range(10)]
        return await asyncio.gather(*calls, return_exceptions=True)

    herd(asyncio.run(main()))
    assert server.asked == ["/ok"]
    assert settled(circuit) == SUCCESS
    assert circuit.state is State.CLOSED


@pytest.mark.parametrize("kind", [Requests, Httpx])
def test_of_ten_threads_at_a_half_open_host_one_is_sent(client, server, catalogue, world):
    circuit = catalogue.circuit(server.host)
    circuit.open_circuit()
    world.clock.advance(60)
    together = threading.Barrier(11)
    results = []

    def call():
        try:
            guarded = client()
            together.wait(10)
            # The probe stays out until all have asked.
            results.append(guarded.peek(server.url("/drip"), lambda: together.wait(10)))
        except Exception as error:
            results.append(error)
            together.wait(10)

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    together.wait(10)
    together.wait(10)
    for thread in threads:
        thread.join(10)
    herd(results)
    assert server.asked == ["/drip"]
    assert circuit.state is State.CLOSED


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_says_how_long_the_circuit_stays_open(client, server, circuit, status):
    client(failure_threshold=1).fetch(server.url(f"/status/{status}?Retry-After=7"))
    assert circuit().status().retry_after == 7.0


def test_retry_after_may_be_a_date(client, server, circuit, world):
    date = formatdate(world.posix + 90, usegmt=True).replace(" ", "+")
    client(failure_threshold=1).fetch(server.url(f"/status/503?Retry-After={date}"))
    assert circuit().status().retry_after == 90.0


def test_a_date_counts_from_the_date_of_the_answer(client, server, circuit):
    later, date = (formatdate(time, usegmt=True).replace(" ", "+") for time in (1030, 1000))
    client(failure_threshold=1).fetch(server.url(f"/status/503?Retry-After={later}&Date={date}"))
    assert circuit().status().retry_after == 30.0


@pytest.mark.parametrize("value", ["soon", "-5", "0", "1e99"])
def test_a_retry_after_that_makes_no_sense_is_as_if_it_was_not_there(
    client, server, circuit, value
):
    client(failure_threshold=1).fetch(server.url(f"/status/503?Retry-After={value}"))
    assert circuit().status().retry_after == 60.0


# Refusals


def test_a_refusal_is_an_error_of_the_client_and_of_brama(client, server, catalogue):
    catalogue.circuit(server.host).open_circuit("deploy", expires_in=30)
    guarded = client()
    with pytest.raises(guarded.errors) as caught:
        guarded.fetch(server.url("/ok"))
    error = caught.value
    assert isinstance(error, CircuitOpenError)
    assert isinstance(error, brama.BramaError)
    assert (error.connection, error.state) == (server.host, State.OPEN)
    assert (error.retry_after, error.reason) == (30.0, "deploy")
    assert f"circuit {server.host} is open after: deploy; the call was not made" in str(error)
    assert server.asked == []


def test_a_refusal_pickles(client, server, catalogue):
    catalogue.circuit(server.host).open_circuit("deploy", expires_in=30)
    guarded = client()
    with pytest.raises(CircuitOpenError) as caught:
        guarded.fetch(server.url("/ok"))
    restored = pickle.loads(pickle.dumps(caught.value))
    assert type(restored) is guarded.refusal
    assert (restored.args, str(restored)) == (caught.value.args, str(caught.value))


def test_refusals_hold_no_frames_of_earlier_ones(client, server, catalogue):
    catalogue.circuit(server.host).open_circuit()
    depths = set()
    for _ in range(5):
        guarded = client()
        with pytest.raises(CircuitOpenError) as caught:
            guarded.fetch(server.url("/ok"))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        trace, depth = caught.value.__traceback__, 0
        while trace is not None:
            trace, depth = trace.tb_next, depth + 1
        depths.add(depth)
    assert len(depths) == 1


# Which circuit


def test_every_host_and_port_has_a_circuit_of_its_own(client, server, catalogue):
    client().fetch(server.url("/ok"))
    client().fetch(f"http://localhost:{server.port}/ok")
    assert {circuit.name for circuit in catalogue} == {server.host, f"localhost:{server.port}"}


def test_each_hop_of_a_redirect_goes_through_the_circuit_of_its_host(client, server, catalogue):
    target = server.url("/status/503")
    client().fetch(f"http://localhost:{server.port}/to?{target}")
    assert settled(catalogue.get(f"localhost:{server.port}")) == SUCCESS
    assert settled(catalogue.get(server.host)) == FAILURE


def test_a_circuit_that_is_there_is_used_with_its_own_policy(client, server, catalogue):
    circuit = catalogue.circuit(server.host, failure_threshold=9)
    client(failure_threshold=1).fetch(server.url("/status/503"))
    assert (circuit.status().failures, circuit.state) == (1, State.CLOSED)


def test_options_scope_and_policy_are_those_of_the_circuits(client, server, catalogue):
    client(scope="shop", expiry=5.0).fetch(server.url("/ok"))
    client(policy=Policy(expiry=7.0)).fetch(server.url("/ok"))
    assert catalogue.get(server.host, scope="shop").status().expiry == 5.0
    assert catalogue.get(server.host).status().expiry == 7.0


def test_one_circuit_may_serve_all_hosts(client, server, catalogue):
    circuit = catalogue.circuit("pool")
    client(circuit=circuit).fetch(server.url("/ok"))
    client(circuit="pool").fetch(server.url("/ok"))
    assert settled(circuit) == (2, 0, 0)
    assert len(catalogue) == 1


def test_a_function_may_choose_the_circuit_or_let_a_request_pass(client, server, catalogue):
    circuit = catalogue.circuit("mine")

    def choose(request):
        path = str(request.url).partition(server.host)[2]
        return {"/ok": None, "/status/200": circuit, "/status/404": "other"}[path]

    for path in ("/ok", "/status/200", "/status/404"):
        client(circuit=choose).fetch(server.url(path))
    assert settled(circuit) == SUCCESS
    assert {circuit.name for circuit in catalogue} == {"mine", "other"}


def test_requests_that_may_be_no_probes_are_refused_until_others_have_closed_the_circuit(
    client, server, catalogue, world
):
    circuit = catalogue.circuit(server.host)
    circuit.open_circuit()
    world.clock.advance(60)
    options = {"probe": lambda request: request.method != "POST"}
    with pytest.raises(CircuitOpenError):
        client(**options).fetch(server.url("/ok"), method="POST")
    assert circuit.available()
    client(**options).fetch(server.url("/ok"))
    client(**options).fetch(server.url("/ok"), method="POST")
    assert settled(circuit) == (2, 0, 0)


def test_a_request_inside_a_guard_of_the_same_circuit_rides_on_its_probe(
    client, server, catalogue, world
):
    circuit = catalogue.circuit(server.host)
    circuit.open_circuit()
    world.clock.advance(60)
    with circuit.guard():
        client().fetch(server.url("/ok"))
    assert settled(circuit) == SUCCESS
    assert circuit.state is State.CLOSED


def test_without_a_system_the_default_one_makes_the_circuits(kind, server):
    kind().fetch(server.url("/ok"))
    assert brama.status(server.host).successes == 1
    assert brama.unregister(server.host)


def test_a_system_of_one_s_own_makes_the_circuits(kind, server):
    with brama.System() as system:
        kind(circuits=system).fetch(server.url("/ok"))
        assert system.get(server.host).status().successes == 1
    assert brama.default_system().find(server.host) is None


@pytest.mark.parametrize(("given", "found"), [({}, "service"), ({"kind": "search_index"}, "other")])
def test_the_circuits_are_of_the_kind_that_the_adapter_is_given(kind, server, given, found):
    with brama.System() as system:
        kind(circuits=system, **given).fetch(server.url("/ok"))
        assert system.get(server.host).kind == found


# Wrong options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"failure_threshold": 0}, "failure_threshold must be"),
        ({"failure_treshold": 3}, "Did you mean 'failure_threshold'?"),
        ({"failure_status": 503}, "failure_status must be"),
        ({"failure_status": ["503"]}, "failure_status must be"),
        ({"circuit": 5}, "circuit must be"),
        ({"circuit": ""}, "circuit must be"),
        ({"scope": 5}, "scope must be"),
        ({"probe": "GET"}, "probe must be"),
        ({"max_circuits": 0}, "max_circuits must be"),
        ({"kind": 5}, "kind must be"),
        ({"kind": ""}, "kind must be"),
        ({"policy": 5}, "policy must be"),
        ({"policy": Policy(), "expiry": 5.0}, "policy must be"),
    ],
)
def test_a_wrong_option_is_refused_when_the_adapter_is_made(kind, options, says):
    with pytest.raises(ConfigError) as caught:
        kind.adapter(**options)
    assert says in str(caught.value)
