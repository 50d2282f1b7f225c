"""The scripted life of one connection, and the events that it consists of."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

import brama
from brama.circuits import EVENTS, Event
from brama.notifier import inline
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement

OF_THE_SPECIFICATION = tuple(EVENTS)[:13]

LIFE = [
    ("registration", "search"),
    ("connection_registered", "search"),
    ("success", "search"),
    ("failure", "search"),
    ("state_change", "search"),
    ("circuit_opened", "search"),
    ("expiry", "search"),
    ("state_change", "search"),
    ("circuit_half_opened", "search"),
    ("success", "search"),
    ("state_change", "search"),
    ("circuit_closed", "search"),
    ("state_change", "search"),
    ("circuit_opened", "search"),
    ("state_change", "search"),
    ("circuit_reset", "search"),
    ("connection_removed", "search"),
    ("registration", "search"),
    ("connection_registered", "search"),
    ("connection_unregistered", "search"),
]


@requirement("EV-05", "DT-09", "BR-15")
async def test_the_life_of_a_connection_is_exactly_these_events(autojump_clock):
    seen: list[Event] = []
    system = brama.System(brama.Settings())
    system.configure(cleanup_interval=1000.0, inactive_threshold=500.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        system.subscribe(inline(seen.append), events=OF_THE_SPECIFICATION)
        circuit = system.circuit("search", failure_threshold=2, expiry=10.0, jitter=0.0)
        states: list[tuple[str, str]] = []

        async def settle() -> None:
            await trio.sleep(0.01)
            states.append((circuit.state.value, str(circuit.status().failure_count)))

        circuit.call(lambda: None)
        circuit.failure("first")
        await settle()
        circuit.failure("second")
        await settle()
        await trio.sleep(10.0)
        await settle()
        circuit.call(lambda: None)
        await settle()
        circuit.open_circuit("by hand")
        circuit.reset_circuit("by hand, too")
        await settle()
        assert system.unregister("nobody") is False
        await trio.sleep(2500.0)  # one sweep to see that it rests, one to remove it
        system.circuit("search")
        assert system.unregister("search") is True
        await settle()
        system.stop()
    # A cleanup is of no connection, and so in no order with what happens to one.
    assert [(one.event, one.connection) for one in seen if one.event != "cleanup"] == LIFE
    assert [dict(one.data) for one in seen if one.event == "cleanup"] == [
        {"removed": 1, "remaining": 0}
    ]
    assert set(OF_THE_SPECIFICATION) == {event.event for event in seen}
    changes = [event for event in seen if event.event == "state_change"]
    told = [(event.data["new_state"].value, event.data["reason"]) for event in changes]
    assert told[0] == ("open", "second")
    assert [state for state, _ in told] == ["open", "half_open", "closed", "open", "closed"]
    assert told[3:] == [("open", "by hand"), ("closed", "by hand, too")]
    assert [event.data["failure_count"] for event in changes][:1] == [2]
    assert [state for state, _ in states][:4] == ["closed", "open", "half_open", "closed"]
    assert all(
        one.data["new_state"] is two.data["previous_state"] for one, two in pairwise(changes)
    )


@requirement("EV-05")
def test_there_is_no_fourteenth_event_of_the_specification_to_subscribe_to(system):
    assert len(set(OF_THE_SPECIFICATION)) == 13
    with pytest.raises(ConfigError) as caught:
        system.subscribe(print, events=["circuit_opend"])
    assert "Did you mean 'circuit_opened'?" in str(caught.value)
    assert "connection_removed" in str(caught.value)
