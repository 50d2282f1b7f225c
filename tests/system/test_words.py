"""The functions of `brama`, on the default system."""

from __future__ import annotations

import inspect
import threading

import pytest

import brama
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WITHIN = 10.0


@requirement("BR-25")
def test_register_report_and_unregister(default):
    assert brama.available("search") is False
    circuit = brama.register("search", scope="shop", failure_threshold=2)
    assert brama.circuit("search", scope="shop") is circuit
    assert brama.available("search", scope="shop") is True
    assert brama.available("search") is False
    brama.failure("search", scope="shop", reason="Timeout")
    brama.success("search", scope="shop")
    brama.failure("search", scope="shop")
    assert brama.status("search", scope="shop").failure_count == 1
    brama.failure("search", scope="shop", reason="Timeout")
    assert brama.available("search", scope="shop") is False
    status = brama.status("search", scope="shop")
    assert (status.state, status.reason, status.successes) == (brama.State.OPEN, "Timeout", 1)
    assert brama.unregister("search", scope="shop") is True
    assert brama.unregister("search", scope="shop") is False
    assert default.circuits() == ()


def test_manual_control(default):
    circuit = brama.circuit("search")
    brama.open_circuit("search", reason="deploy", expires_in=5)
    assert (circuit.status().reason, circuit.status().retry_after <= 5) == ("deploy", True)
    brama.close_circuit("search")
    assert circuit.state is brama.State.CLOSED
    brama.open_circuit("search")
    brama.reset_circuit("search")
    assert (circuit.state, circuit.status().reason) == (brama.State.CLOSED, None)


@requirement("B11")
def test_configure_one_circuit_or_all_later_ones(default):
    brama.configure(failure_threshold=3)
    circuit = brama.circuit("search", expiry=5)
    brama.configure("search", expiry=7)
    assert (circuit.status().failure_threshold, circuit.status().expiry) == (3, 7.0)


@pytest.mark.parametrize(
    "word",
    [
        brama.success,
        brama.failure,
        brama.status,
        brama.open_circuit,
        brama.close_circuit,
        brama.reset_circuit,
        lambda name, **scope: brama.configure(name, **scope, expiry=5),
    ],
)
def test_an_unknown_connection_is_named(default, word):
    with pytest.raises(brama.UnknownConnectionError) as caught:
        word("search", scope="shop")
    assert "search" in str(caught.value)
    assert "shop" in str(caught.value)


@requirement("B15")
def test_subscribe_events_and_unsubscribe(default):
    heard, names = threading.Event(), []

    def handler(event: brama.Event) -> None:
        names.append(event.event)
        heard.set()

    subscription = brama.subscribe(handler, events=["circuit_opened"], scope="shop")
    with brama.events(events=["circuit_opened"], connection="search") as events:
        brama.circuit("search", scope="shop").open_circuit()
        assert events.get(WITHIN).scope == "shop"
    assert heard.wait(WITHIN)
    assert names == ["circuit_opened"]
    assert brama.unsubscribe(subscription) == 1
    assert brama.unsubscribe() == 0
    with pytest.raises(ConfigError, match="Did you mean 'circuit_opened'"):
        brama.events(events=["circuit_open"])


def test_the_default_system_is_made_once_and_by_the_first_who_needs_it(monkeypatch):
    monkeypatch.setattr("brama.default._default", None)
    start, found = threading.Barrier(8), []

    def ask() -> None:
        start.wait(WITHIN)
        found.append(brama.default_system())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_a_wrong_variable_is_reported_at_the_first_use_and_again(monkeypatch):
    monkeypatch.setattr("brama.default._default", None)
    monkeypatch.setenv("BRAMA_EXPIRY", "soon")
    for _ in range(2):
        with pytest.raises(ConfigError, match="BRAMA_EXPIRY"):
            brama.circuit("search")
    monkeypatch.setenv("BRAMA_EXPIRY", "5")
    assert brama.circuit("search").status().expiry == 5


@requirement("BR-14")
def test_connections_are_listed_by_scope_and_state(default):
    search = brama.circuit("search", scope="shop")
    brama.circuit("stock", scope="shop").open_circuit()
    brama.circuit("mail")
    assert [circuit.name for circuit in brama.connections()] == ["search", "stock", "mail"]
    assert brama.connections(scope="shop", state="closed") == (search,)
    assert [circuit.name for circuit in brama.connections(scope=None)] == ["mail"]
    assert [circuit.name for circuit in brama.connections(state=brama.State.OPEN)] == ["stock"]
    with pytest.raises(ConfigError, match=r"state must be one of .*open.*, got: 'opened'"):
        brama.connections(state="opened")


@requirement("BR-14")
def test_the_status_of_a_scope_names_its_circuits_and_no_others(default):
    brama.circuit("search", scope="shop")
    brama.circuit("search").open_circuit()
    assert {name: one.state.value for name, one in brama.by_scope("shop").items()} == {
        "search": "closed"
    }
    everything = brama.by_scope()
    assert set(everything) == {"shop", None}
    assert everything[None]["search"].state is brama.State.OPEN
    assert brama.by_scope("nowhere") == {}


@requirement("BR-14")
def test_a_group_by_the_words_of_the_module(default):
    brama.circuit("search", failure_threshold=1)
    brama.circuit("stock", failure_threshold=1)
    group = brama.register_group("shop", ["search", "stock"])
    assert brama.groups() == (group,)
    assert brama.group_available("shop") is True
    assert brama.group_failure("shop", reason="power cut") == 2
    assert brama.group_available("shop") is False
    assert brama.group_status("shop")["stock"].reason == "power cut"
    assert brama.unregister_group("shop") is True
    assert brama.group_available("shop") is False
    with pytest.raises(brama.UnknownGroupError):
        brama.group_status("shop")


def test_each_word_is_a_method_of_a_system_with_the_same_parameters():
    words = [getattr(brama, name) for name in brama.words.__all__]

    for word in words:
        method = getattr(brama.System, word.__name__)
        parameters = list(inspect.signature(method).parameters)
        assert parameters == ["self", *inspect.signature(word).parameters], word


def test_a_system_knows_its_circuits_by_name():
    system = brama.System()
    system.register("search", scope="shop", failure_threshold=2)
    assert system.available("search", scope="shop")
    system.failure("search", scope="shop", reason="Timeout")
    system.success("search", scope="shop")
    assert system.status("search", scope="shop").failures == 1
    system.open_circuit("search", scope="shop", expires_in=5)
    assert "open" in str(system.why("search", scope="shop"))
    system.close_circuit("search", scope="shop")
    system.reset_circuit("search", scope="shop")
    assert system.status("search", scope="shop").state is brama.State.CLOSED
    with pytest.raises(brama.UnknownConnectionError):
        system.status("search")


def test_by_name_a_circuit_is_taken_out_of_the_game_and_put_back(default):
    circuit = brama.circuit("search")
    brama.force_open("search", reason="the data centre moves")
    assert (circuit.state, circuit.status().reason) == ("forced_open", "the data centre moves")
    brama.disable("search")
    assert circuit.state is brama.State.DISABLED
    brama.metrics_only("search")
    assert circuit.state is brama.State.METRICS_ONLY
    brama.close_circuit("search")
    with brama.isolate("search", reason="deploy"):
        assert not brama.available("search")
    assert brama.available("search")
