"""The circuits of one adapter are a bounded number."""

from __future__ import annotations

import pytest

from brama.circuits import ConnectionKind, State
from brama.circuits.adapters.hosts import Hosts


@pytest.fixture
def hosts(catalogue):
    return Hosts(catalogue, scope=None, policy=None, options={}, limit=3)


def names(catalogue):
    return {circuit.name for circuit in catalogue}


def test_a_host_keeps_its_circuit(hosts):
    assert hosts.circuit("a") is hosts.circuit("a")


def test_the_least_recently_used_makes_way(hosts, catalogue):
    for name in ("a", "b", "c", "a", "d"):
        hosts.circuit(name)
    assert names(catalogue) == {"a", "c", "d"}


def test_a_thousand_hosts_leave_three(hosts, catalogue):
    for number in range(1000):
        hosts.circuit(f"host-{number}").success()
    assert len(hosts) == len(catalogue) == 3


def test_open_and_busy_circuits_stay_while_others_can_go(hosts, catalogue):
    hosts.circuit("open").open_circuit()
    busy = hosts.circuit("busy").try_acquire()
    for name in "abc":
        hosts.circuit(name)
    assert names(catalogue) == {"open", "busy", "c"}
    assert catalogue.get("open").state is State.OPEN
    busy.success()
    assert catalogue.get("busy").status().successes == 1


def test_when_all_are_open_the_oldest_goes(hosts, catalogue):
    for number in range(10):
        hosts.circuit(f"host-{number}").open_circuit()
    assert names(catalogue) == {"host-7", "host-8", "host-9"}


def test_circuits_that_somebody_else_made_are_never_removed(hosts, catalogue):
    mine = catalogue.circuit("mine", failure_threshold=9)
    assert hosts.circuit("mine") is mine
    for number in range(10):
        hosts.circuit(f"host-{number}")
    assert catalogue.find("mine") is mine


def test_a_host_is_a_service(hosts):
    assert hosts.circuit("a").kind is ConnectionKind.SERVICE


def test_a_circuit_that_somebody_makes_at_the_same_moment_is_used_as_it_is(catalogue):
    class Late:
        """Finds nothing at the first look, as if the other had come right behind it."""

        looked = False

        def find(self, name, *, scope=None):
            found, self.looked = self.looked, True
            return catalogue.find(name, scope=scope) if found else None

        circuit = staticmethod(catalogue.circuit)

    mine = catalogue.circuit("mine", kind="device")
    hosts = Hosts(Late(), scope=None, policy=None, options={}, limit=3)
    assert hosts.circuit("mine") is mine
    assert len(hosts) == 0
